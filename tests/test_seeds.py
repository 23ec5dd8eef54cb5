from hypothesis import given
from hypothesis import strategies as st

from hea_loop.seeds import derived_generator, derived_seed

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(0, 1000))
def test_the_same_purpose_of_the_same_iteration_has_the_same_stream(seed, iteration):
    one, two = (derived_generator(seed, iteration, "selection").random(4) for _ in range(2))
    assert (one == two).all()


def test_purposes_iterations_and_seeds_have_streams_of_their_own():
    seeds = {
        derived_seed(s, i, purpose)
        for s in range(20)
        for i in range(20)
        for purpose in ("training", "generation", "conditions", "selection")
    }
    assert len(seeds) == 20 * 20 * 4
