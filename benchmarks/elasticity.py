"""What the first-principles model says of a campaign that is judged by the linear combination.

    python -m benchmarks.elasticity [CAMPAIGN.yaml] [--store URL] [--number 4000] [--seed 0] [--json]

Of uniform random compositions: how many lie inside the predicted targets by either, and by both. Of the hits of a
finished run (``--store``): in how many the model's values lie inside too, and how many of them are expected to be
inside, by the model and by the linear combination with the uncertainty that each states. Nothing is validated anew.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from db.results import campaign_candidates
from db.store import open_store
from flows.planning import packaged_elastic_model
from hea_loop.acquisition.probability import Interval, probability_all
from hea_loop.campaign import Campaign, load_campaign
from hea_loop.composition import Composition
from hea_loop.elasticity import ElasticModel, learned_targets, predicted, predicted_means
from hea_loop.prediction import sigma_array

__all__ = ["HitsInDoubt", "RandomShares", "judge_hits", "random_shares"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RandomShares:
    """Uniform random compositions against the predicted targets.

    Attributes:
        number: How many.
        linear: Share inside all predicted targets by the linear combination.
        learned: The same with the elastic ones by the first-principles model.
        both: Share inside by both.
    """

    number: int
    linear: float
    learned: float
    both: float


@dataclass(frozen=True, slots=True)
class HitsInDoubt:
    """Hits by the linear combination, as the model sees them.

    Attributes:
        hits: How many.
        inside: Target to the share whose learned value lies inside.
        inside_all: Share whose learned values all lie inside.
        expected: Target to the share that the model expects to be inside in truth.
        expected_linear: Target to the same by the linear combination and its uncertainty.
        median_sigma: Target to the median standard deviation of the model, in the target's unit.
    """

    hits: int
    inside: dict[str, float]
    inside_all: float
    expected: dict[str, float]
    expected_linear: dict[str, float]
    median_sigma: dict[str, float]


def _rows(compositions: Sequence[Composition], elements: Sequence[str]) -> Array:
    return np.array([c.fraction_vector(elements) for c in compositions])


def _inside(campaign: Campaign, name: str, values: Array) -> NDArray[np.bool_]:
    return np.array([campaign.targets[name].holds(float(v)) for v in values], dtype=bool)


def random_shares(campaign: Campaign, model: ElasticModel, *, number: int, seed: int) -> RandomShares:
    """Count uniform random compositions of the palette inside the predicted targets by both kinds of prediction."""
    palette = campaign.design_space()
    x = _rows(palette.sample_uniform(number, np.random.default_rng(seed)), palette.elements)
    names = [n for n in campaign.targets if n in campaign.predictable()]
    held = []
    for chosen in (None, model):
        values = predicted_means(x, palette.elements, names, chosen)
        held.append(np.all([_inside(campaign, n, values[n]) for n in names], axis=0))
    linear, learned = held
    return RandomShares(number, float(linear.mean()), float(learned.mean()), float((linear & learned).mean()))


def judge_hits(campaign: Campaign, model: ElasticModel, hits: Sequence[Composition]) -> HitsInDoubt:
    """Hold the model against hits that the linear combination has judged."""
    elements = campaign.design_space().elements
    x = _rows(hits, elements)
    names = learned_targets([n for n in campaign.targets if n in campaign.predictable()], model)
    learned, linear = predicted(x, elements, names, model), predicted_means(x, elements, names)
    sigmas = sigma_array(x, elements, names)
    inside = {n: _inside(campaign, n, learned[n][0]) for n in names}
    expected, by_linear = {}, {}
    for name in names:
        interval = [Interval(name, campaign.targets[name].min, campaign.targets[name].max)]
        expected[name] = float(probability_all({name: learned[name]}, interval).mean())
        sigma = sigmas[name]
        if sigma is not None:
            by_linear[name] = float(probability_all({name: (linear[name], sigma)}, interval).mean())
    return HitsInDoubt(
        hits=len(hits),
        inside={n: float(held.mean()) for n, held in inside.items()},
        inside_all=float(np.all(list(inside.values()), axis=0).mean()),
        expected=expected,
        expected_linear=by_linear,
        median_sigma={n: float(np.median(learned[n][1])) for n in names},
    )


def _hits_of(url: str, name: str) -> list[Composition]:
    with open_store(url) as store, store.read() as session:
        found = campaign_candidates(session, name)
    return [c.composition for c in found if c.hit and c.origin == "strategy"]


def main(arguments: list[str] | None = None) -> None:
    """Print what the first-principles model says of a campaign's targets and hits."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("campaign", nargs="?", type=Path, default=Path("campaigns/quickstart.yaml"))
    parser.add_argument("--store", help="URL of a store with a finished run of the campaign")
    parser.add_argument("--number", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    campaign = load_campaign(given.campaign)
    model = packaged_elastic_model(campaign.model_copy(update={"elasticity": "first-principles"}))
    if model is None:
        raise ValueError("the campaign has no first-principles model")
    shares = random_shares(campaign, model, number=given.number, seed=given.seed)
    hits = _hits_of(given.store, campaign.name) if given.store else []
    groups: dict[str, list[Composition]] = {}
    if hits:
        groups["all hits"] = hits
        learned = {e for e in campaign.design_space().elements if _known(model, e)}
        groups["of learned elements only"] = [c for c in hits if set(c.elements) <= learned]
    judged = {name: judge_hits(campaign, model, group) for name, group in groups.items() if group}
    if given.json:
        print(
            json.dumps(
                {
                    "campaign": campaign.name,
                    "model": model.source,
                    "random": asdict(shares),
                    "hits": {name: asdict(found) for name, found in judged.items()},
                },
                indent=2,
            )
        )
        return
    print(f"{campaign.name}, {model.source}")
    print(
        f"inside the predicted targets, of {shares.number} uniform random compositions: {shares.linear:.2%} by the "
        f"linear combination, {shares.learned:.2%} by the model, {shares.both:.2%} by both"
    )
    for name, found in judged.items():
        print(f"{name}: {found.hits}; the model puts {found.inside_all:.1%} inside all elastic targets")
        for target, share in found.inside.items():
            linear = found.expected_linear.get(target, float("nan"))
            print(
                f"  {target}: {share:.1%} inside by the model, {found.expected[target]:.1%} expected inside by it "
                f"(sigma {found.median_sigma[target]:.3g}), {linear:.1%} by the linear combination"
            )


def _known(model: ElasticModel, element: str) -> bool:
    """Whether the model learned an element: alone it is not given the linear combination's whole uncertainty."""
    alone = np.array([[1.0]])
    mean = model.means(alone, (element,), ("shear_modulus",))["shear_modulus"]
    linear = predicted_means(alone, (element,), ("shear_modulus",))["shear_modulus"]
    return bool(mean[0] != linear[0])


if __name__ == "__main__":
    main()
