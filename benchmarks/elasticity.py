"""The elastic model of campaigns against experiments, and what it says of hits that the linear combination judged.

    python -m benchmarks.elasticity [CAMPAIGN.yaml] [--store URL] [--number 4000] [--seed 0] [--left-out] [--json]

Of uniform random compositions: how many lie inside the predicted targets by either, and by both. Of the hits of a
finished run (``--store``): in how many the model's values lie inside too, and how many of them are expected to be
inside, by the model and by the linear combination with the uncertainty that each states. Nothing is validated anew.
Before that the measured Young's moduli of the packaged bcc alloys as G = E / (2 (1 + nu)), each foretold without any
experiment on its alloy system; with ``--left-out`` the first-principles alloys of each element, foretold without it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from db.elasticity import packaged_elastic_data
from db.results import campaign_candidates
from db.store import open_store
from flows.planning import packaged_elastic_model
from hea_loop.acquisition.probability import Interval, probability_all
from hea_loop.campaign import Campaign, load_campaign
from hea_loop.composition import Composition
from hea_loop.elasticity import ElasticModel, learned_targets, predicted, predicted_means
from hea_loop.prediction import sigma_array
from hea_loop.surrogates.first_principles import ElasticData, fit_first_principles
from hea_loop.surrogates.kept_models import first_principles_model

__all__ = [
    "AgainstExperiments",
    "ElementLeftOut",
    "HitsInDoubt",
    "RandomShares",
    "elements_left_out",
    "experiments",
    "judge_hits",
    "random_shares",
]

Array = NDArray[np.float64]

_G: Final = "shear_modulus"


@dataclass(frozen=True, slots=True)
class AgainstExperiments:
    """G of alloys whose Young's modulus was measured, in GPa.

    Attributes:
        alloys: How many.
        linear_mae: Mean absolute error of the linear combination.
        linear_bias: Its mean error.
        literature_mae: Of the model without experiments.
        literature_bias: Likewise.
        model_mae: Of the model with the experiments on all other alloy systems.
        model_bias: Likewise.
        model_inside: How many lie within 1.96 of its standard deviations.
        model_sigma: Median standard deviation.
    """

    alloys: int
    linear_mae: float
    linear_bias: float
    literature_mae: float
    literature_bias: float
    model_mae: float
    model_bias: float
    model_inside: int
    model_sigma: float


def experiments() -> AgainstExperiments:
    """Hold both kinds of prediction against the packaged Young's moduli."""
    data = packaged_elastic_data()
    literature = first_principles_model(data.of("literature"))
    linear, low, high, sigma, measured = [], [], [], [], []
    for row in data.of("experiment").rows:
        elements = row.composition.elements
        x = np.array([row.composition.fraction_vector(elements)])
        without = fit_first_principles(
            ElasticData(
                tuple(
                    r
                    for r in data.rows
                    if r.level != "experiment" or r.composition.system != row.composition.system
                )
            ),
            base=literature.base,
        )
        found = literature.means(x, elements, (_G, "poisson_ratio"))
        mean, spread = without.predict(x, elements, (_G,))[_G]
        measured.append(row.value / (2 * (1 + found["poisson_ratio"][0])))
        low.append(found[_G][0])
        high.append(mean[0])
        sigma.append(spread[0])
        linear.append(predicted_means(x, elements, (_G,))[_G][0])
    misses = [np.array(values) - np.array(measured) for values in (linear, low, high)]
    errors = [(float(np.abs(m).mean()), float(m.mean())) for m in misses]
    inside = int((np.abs(misses[2]) <= 1.96 * np.array(sigma)).sum())
    return AgainstExperiments(
        len(measured), *errors[0], *errors[1], *errors[2], inside, float(np.median(sigma))
    )


@dataclass(frozen=True, slots=True)
class ElementLeftOut:
    """First-principles alloys of an element, foretold by a model that has seen none of it; GPa.

    Attributes:
        element: Which.
        alloys: How many have it.
        mae: Mean absolute error of G.
        inside: Share within 1.96 standard deviations.
        sigma: Median standard deviation.
    """

    element: str
    alloys: int
    mae: float
    inside: float
    sigma: float


def elements_left_out() -> list[ElementLeftOut]:
    """Leave each element out of what the literature's level learns, and foretell the alloys that have it."""
    data = packaged_elastic_data().of("literature")
    out = []
    for element in sorted({e for r in data.rows for e in r.composition.elements}):
        rest = ElasticData(tuple(r for r in data.rows if element not in r.composition.elements))
        model = fit_first_principles(rest, widening=first_principles_model(data).base.widening)
        rows = [r for r in data.rows if r.property == _G and element in r.composition.elements]
        elements = (*model.base.elements, element)
        x = np.array([r.composition.fraction_vector(elements) for r in rows])
        mean, sigma = model.predict(x, elements, (_G,))[_G]
        missed = np.abs(mean - np.array([r.value for r in rows]))
        inside = float((missed <= 1.96 * sigma).mean())
        out.append(ElementLeftOut(element, len(rows), float(missed.mean()), inside, float(np.median(sigma))))
    return out


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
    parser.add_argument("--left-out", action="store_true", help="leave out every element in turn: minutes")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    campaign = load_campaign(given.campaign)
    model = packaged_elastic_model(campaign.model_copy(update={"elasticity": "first-principles"}))
    if model is None:
        raise ValueError("the campaign has no first-principles model")
    against = experiments()
    left_out = elements_left_out() if given.left_out else []
    shares = random_shares(campaign, model, number=given.number, seed=given.seed)
    hits = _hits_of(given.store, campaign.name) if given.store else []
    judged = judge_hits(campaign, model, hits) if hits else None
    if given.json:
        print(
            json.dumps(
                {
                    "campaign": campaign.name,
                    "model": model.source,
                    "experiments": asdict(against),
                    "left_out": [asdict(found) for found in left_out],
                    "random": asdict(shares),
                    "hits": None if judged is None else asdict(judged),
                },
                indent=2,
            )
        )
        return
    print(f"{campaign.name}, {model.source}")
    print(
        f"G of {against.alloys} measured bcc alloys, mean absolute error (mean error) in GPa: linear combination "
        f"{against.linear_mae:.1f} ({against.linear_bias:+.1f}), first-principles literature alone "
        f"{against.literature_mae:.1f} ({against.literature_bias:+.1f}), with the experiments on other systems "
        f"{against.model_mae:.1f} ({against.model_bias:+.1f}); {against.model_inside} within 1.96 sigma, median sigma "
        f"{against.model_sigma:.1f}"
    )
    for found in left_out:
        print(
            f"without {found.element}: G of its {found.alloys} alloys is missed by {found.mae:.1f}, {found.inside:.1%} "
            f"within 1.96 sigma, median sigma {found.sigma:.1f}"
        )
    print(
        f"inside the predicted targets, of {shares.number} uniform random compositions: {shares.linear:.2%} by the "
        f"linear combination, {shares.learned:.2%} by the model, {shares.both:.2%} by both"
    )
    if judged is None:
        return
    print(f"{judged.hits} hits; the model puts {judged.inside_all:.1%} inside all elastic targets")
    for target, share in judged.inside.items():
        linear = judged.expected_linear.get(target, float("nan"))
        print(
            f"  {target}: {share:.1%} inside by the model, {judged.expected[target]:.1%} expected inside by it "
            f"(sigma {judged.median_sigma[target]:.3g}), {linear:.1%} by the linear combination"
        )


if __name__ == "__main__":
    main()
