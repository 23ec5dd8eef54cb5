from hea_loop.stopping import IterationScore, stop_reason
from tests.small_campaign import small_campaign


def scores(*hits):
    return [IterationScore(number=i, hits=h, validated=10) for i, h in enumerate(hits, start=1)]


def test_a_campaign_without_rules_never_stops_early():
    assert stop_reason(small_campaign(), scores(0, 0, 0, 10)) is None


def test_enough_hits_over_all_iterations_stop_it():
    campaign = small_campaign(stop={"hits": 7})
    assert stop_reason(campaign, scores(3, 3)) is None
    assert "7 hits found" in stop_reason(campaign, scores(3, 4))


def test_the_hit_rate_of_the_last_iteration_stops_it_and_an_earlier_one_does_not():
    campaign = small_campaign(stop={"hit_rate": 0.5})
    assert stop_reason(campaign, scores(5, 4)) is None
    assert "iteration 2 reached 0.50" in stop_reason(campaign, scores(0, 5))


def test_iterations_that_do_not_exceed_the_best_before_stop_it():
    campaign = small_campaign(stop={"iterations_without_improvement": 2})
    assert stop_reason(campaign, scores(5, 4)) is None
    assert stop_reason(campaign, scores(5, 4, 6)) is None
    assert "none of the last 2" in stop_reason(campaign, scores(5, 4, 5))


def test_an_iteration_without_validated_candidates_has_rate_zero():
    assert IterationScore(1, 0, 0).rate == 0.0
