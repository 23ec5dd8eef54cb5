"""How well the bcc verdict is foretold from few equilibria: counted temperatures against driving forces.

    python -m benchmarks.verdict_learning [CAMPAIGN.yaml] [--seeds 1 2 3 4 5] [--smoke] [--json] [--out JSON]
    python -m benchmarks.verdict_learning --tables docs/results/verdict_learning.json

Random compositions of the campaign's palette that lie inside its predicted targets are judged by the screening tier at
the campaign's temperatures. From the first 20, 40, 80, 160 of them the verdict on 400 others is foretold, once by the
process on how many temperatures hold and once by the processes on the driving forces of the competing phases. Given are
the log loss (the mean surprise) and the area under the ROC curve (the chance that of one alloy of which the verdict
holds and one of which it does not, the right one is called likelier).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from benchmarks.tables import (
    environment,
    fill,
    load_result,
    markdown_table,
    mean_and_spread,
    plain,
    write_result,
)
from hea_loop.campaign import Campaign, load_campaign
from hea_loop.composition import Composition
from hea_loop.errors import HeaLoopError, InputError
from hea_loop.scoring import KnownValue
from hea_loop.selection import predicted_violation
from hea_loop.surrogate import fit_surrogate
from validators.calphad import load_database
from validators.calphad.verdict import screen_verdicts

__all__ = ["main", "measure"]

Array = NDArray[np.float64]

_VERDICT: Final = "single_phase_bcc"
_LEARNED: Final = (20, 40, 80, 160)
_FORETOLD: Final = 400
_DRAWN_AT_ONCE: Final = 5000
_MOST_DRAWS: Final = 100
_DOCUMENT: Final = Path("docs/surrogates.md")
_WAYS: Final = ("counted temperatures", "driving forces")


def _inside(campaign: Campaign, number: int, rng: np.random.Generator) -> list[Composition]:
    """Uniform random compositions of the palette inside what predictions decide."""
    palette, found = campaign.design_space(), list[Composition]()
    for _ in range(_MOST_DRAWS):
        drawn = palette.sample_uniform(_DRAWN_AT_ONCE, rng)
        rows = np.array([c.fraction_vector(palette.elements) for c in drawn])
        violation, _ = predicted_violation(rows, palette.elements, campaign.targets)
        found += [c for c, miss in zip(drawn, violation, strict=True) if miss <= 0]
        found = list(dict.fromkeys(found))
        if len(found) >= number:
            return found[:number]
    drawn_in_all = _DRAWN_AT_ONCE * _MOST_DRAWS
    raise InputError(
        "targets", campaign.name, f"hold for {len(found)} of {drawn_in_all} compositions", "widen them"
    )


def _answers(campaign: Campaign, alloys: Sequence[Composition]) -> list[list[KnownValue]]:
    temperatures = campaign.verdicts[_VERDICT].temperatures_K
    calphad = campaign.validators.calphad
    database = load_database(calphad.database if calphad else "refractory10")
    found = screen_verdicts(alloys, temperatures, database)
    values = [
        KnownValue(_VERDICT, float(bool(v.single_phase_bcc)), "calphad", v.temperature_K, v.driving_forces)
        for v in found
    ]
    return [values[k : k + len(temperatures)] for k in range(0, len(values), len(temperatures))]


def measure(campaign: Campaign, seed: int, learned: Sequence[int] = _LEARNED) -> list[dict[str, Any]]:
    """Foretell the verdict both ways.

    Args:
        campaign: With a verdict ``single_phase_bcc``.
        seed: Of the draw of alloys.
        learned: Numbers of equilibria learned from, each 20 or more.

    Returns:
        One row per number and way, plain values.

    Raises:
        InputError: The campaign has no such verdict, or targets that hardly any composition meets.
    """
    if _VERDICT not in campaign.verdicts:
        raise InputError("verdicts", list(campaign.verdicts), f"lack {_VERDICT}", "name a campaign with it")
    asked = campaign.model_copy(update={"targets": {}, "elasticity": "linear-combination"})
    elements = campaign.design_space().elements
    first = max(learned)
    alloys = _inside(campaign, first + _FORETOLD, np.random.default_rng(seed))
    rows = np.array([c.fraction_vector(elements) for c in alloys])
    answers = _answers(campaign, alloys)
    held = np.array([all(v.value >= 0.5 for v in values) for values in answers])
    bare = [[replace(v, driving_forces={}) for v in values] for values in answers]
    others = slice(first, None)
    out = []
    for number in learned:
        for way, given in zip(_WAYS, (bare, answers), strict=True):
            model = fit_surrogate(asked, elements, rows[:number], given[:number])
            p = np.clip(model.verdict_probability(rows[others])[_VERDICT], 1e-6, 1 - 1e-6)
            out.append(
                {
                    "seed": seed,
                    "equilibria": number,
                    "way": way,
                    "log_loss": float(-np.log(np.where(held[others], p, 1 - p)).mean()),
                    "area": _area(p, held[others]),
                    "share_single": float(held.mean()),
                }
            )
    return out


def _area(probability: Array, held: NDArray[np.bool_]) -> float:
    """Area under the receiver operating characteristic: the Mann-Whitney statistic over its largest value."""
    if held.all() or not held.any():
        return float("nan")
    statistic = mannwhitneyu(probability[held], probability[~held]).statistic
    return float(statistic / (held.sum() * (~held).sum()))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """In Markdown: mean and standard deviation over seeds."""
    cells = []
    for number in sorted({r["equilibria"] for r in rows}):
        for way in _WAYS:
            own = [r for r in rows if r["equilibria"] == number and r["way"] == way]
            cells.append(
                [
                    str(number),
                    way,
                    mean_and_spread((r["log_loss"] for r in own), "{:.3f}"),
                    mean_and_spread((r["area"] for r in own), "{:.3f}"),
                ]
            )
    headings = ["equilibria", "learned from", "log loss", "area under ROC"]
    return markdown_table(headings, cells, left=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 for what a person gave wrongly."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.verdict_learning",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("campaign", type=Path, nargs="?", default=Path("campaigns/quickstart.yaml"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="seeds of the draws")
    parser.add_argument("--smoke", action="store_true", help="one seed, 20 equilibria: does everything run?")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--out", type=Path, help="write the JSON to this file")
    parser.add_argument("--tables", type=Path, metavar="JSON", help="run nothing: write a result into docs")
    given = parser.parse_args(arguments)
    try:
        if given.tables:
            found = load_result(given.tables)
            made = found["environment"]
            stamp = f"Made {made['made_at']} by `{made['command']}`, {made['machine']}."
            fill(_DOCUMENT, {"verdict learning": f"{table(found['rows'])}\n\n{stamp}"})
            return 0
        campaign = load_campaign(given.campaign)
        seeds, learned = (given.seeds[:1], _LEARNED[:1]) if given.smoke else (given.seeds, _LEARNED)
        rows = []
        for seed in seeds:
            print(f"seed {seed}", file=sys.stderr)
            rows += measure(campaign, seed, learned)
        result = {"benchmark": "verdict_learning", "environment": environment("pycalphad"), "rows": rows}
        if given.out:
            write_result(given.out, result)
    except HeaLoopError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(plain(result), indent=1, allow_nan=False) if given.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
