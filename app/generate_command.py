"""The command ``generate``: compositions for targets, by hand, without a campaign."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app.options import DatabaseUrl, Json
from app.output import note, number, print_json, print_table, print_text
from app.targets_input import Elements, Targets

if TYPE_CHECKING:
    from hea_loop.composition import Composition
    from hea_loop.feasibility_report import Feasibility
    from hea_loop.generators import Generator, TrainingData
    from hea_loop.palette import Palette

__all__ = ["DEFAULT_STRATEGY", "generate"]

DEFAULT_STRATEGY: Final = "flow-matching"
_FEWEST: Final = 20  # alloys to train on, as in a campaign
_ROUNDS: Final = 8  # times that answers are asked for until enough of them differ


def generate(
    *,
    target: Targets = None,
    strategy: Annotated[
        str, typer.Option("--strategy", metavar="S", help="The generator; docs/generators.md lists them.")
    ] = DEFAULT_STRATEGY,
    number_wanted: Annotated[
        int, typer.Option("--number", min=1, max=100_000, help="How many different compositions.")
    ] = 20,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of training and of the answers.")
    ] = 1,
    elements: Elements = None,
    campaign: Annotated[
        Path | None,
        typer.Option(
            "--campaign", help="A campaign file: its palette, and its predicted targets if none is given."
        ),
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Generate though the targets are infeasible.")
    ] = False,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Train a strategy on the literature within the palette and let it propose compositions for targets.

    Everything shown is a prediction; `hea-loop check` asks CALPHAD.
    """
    import numpy as np

    from app.feasibility_command import judge, summary_line
    from hea_loop.errors import InputError
    from hea_loop.generators import generator_named

    palette, targets = _asked(target, elements, campaign)
    try:
        generator = generator_named(strategy)
    except InputError as error:
        raise InputError("--strategy", strategy, error.problem, error.mend) from None
    found = judge(palette, targets, database_url)
    if found.verdict == "infeasible" and not anyway:
        relax = (
            ""
            if found.costliest is None
            else f" ({found.costliest.name} costs most: {found.costliest.reason})"
        )
        raise InputError(
            "--target",
            ", ".join(target or [str(campaign)]),
            f"infeasible: {found.reason}",
            f"widen a target{relax}, or insist with --anyway",
        )
    if not json:
        print_text(summary_line(found))
    data, known = _training_data(palette, list(targets), database_url, strategy)
    started = time.perf_counter()
    record = generator.fit(data, seed=seed, progress=_progress(strategy, len(data.fractions)))
    note(f"trained {strategy} on {len(data.fractions)} alloys in {time.perf_counter() - started:.1f} s")
    compositions = _answers(generator, data, targets, palette, number_wanted, seed)
    if len(compositions) < number_wanted:
        note(f"only {len(compositions)} of {number_wanted} wanted compositions differ from each other")
    rows = _described(compositions, targets, palette, np.array(data.fractions))
    inside = sum(row["inside"] for row in rows)
    if json:
        print_json(
            {
                "strategy": strategy,
                "seed": seed,
                "elements": list(palette.elements),
                "targets": {n: {"min": low, "max": high} for n, (low, high) in targets.items()},
                "feasibility": found.to_json(),
                "training": {"alloys": len(data.fractions), "seconds": record.seconds, **record.metrics},
                "inside": inside,
                "compositions": rows,
            }
        )
        return
    _print_rows(strategy, rows, targets, known, inside, found)


def _asked(
    target: list[str] | None, elements: str | None, campaign: Path | None
) -> tuple[Palette, dict[str, tuple[float | None, float | None]]]:
    from app.targets_input import elements_palette, parse_targets, targets_of
    from hea_loop.campaign import load_campaign
    from hea_loop.errors import InputError
    from hea_loop.prediction import PREDICTED_PROPERTIES

    if campaign is not None and elements is not None:
        raise InputError("--elements", elements, "stands beside --campaign", "give one of the two")
    targets = parse_targets(target or [])
    for name in targets:
        if name not in PREDICTED_PROPERTIES:
            raise InputError(
                "--target",
                name,
                "cannot be predicted, so no answer could be judged",
                f"use {', '.join(PREDICTED_PROPERTIES)}, or a campaign for what validators answer",
            )
    if campaign is None:
        palette = elements_palette(elements)
    else:
        spec = load_campaign(campaign)
        palette = spec.design_space()
        if spec.elasticity == "first-principles":
            note(f"{spec.name} says first-principles; here all is predicted by the linear combination")
        if not targets:
            targets = {n: i for n, i in targets_of(spec).items() if n in PREDICTED_PROPERTIES}
    if not targets:
        raise InputError(
            "--target", "", "is missing", "give at least one, as in --target shear_modulus=90:110"
        )
    return palette, targets


def _training_data(
    palette: Palette, names: list[str], database_url: str | None, strategy: str
) -> tuple[TrainingData, list[Composition]]:
    import numpy as np

    from app.targets_input import known_alloys
    from hea_loop.errors import InputError
    from hea_loop.generators import TrainingData
    from hea_loop.prediction import predict_array

    known = known_alloys(palette, database_url)

    def predicted(x: Any) -> Any:
        values = predict_array(x, palette.elements, names)
        return np.column_stack([values[name] for name in names])

    fractions = np.array([c.fraction_vector(palette.elements) for c in known]).reshape(
        -1, len(palette.elements)
    )
    conditions = predicted(fractions) if len(known) else np.empty((0, len(names)))
    whole = np.isfinite(conditions).all(axis=1)  # omega has no value where the enthalpy of mixing is zero
    known = [c for c, kept in zip(known, whole, strict=True) if kept]
    if len(known) < _FEWEST:
        raise InputError(
            "--elements",
            "-".join(palette.elements),
            f"have only {len(known)} literature alloys within them",
            f"widen the palette: {strategy} needs {_FEWEST} to train",
        )
    data = TrainingData(
        elements=palette.elements,
        fractions=fractions[whole],
        conditions=conditions[whole],
        condition_names=tuple(names),
        closed_form=tuple(names),
        reference=predicted,
    )
    return data, known


def _progress(strategy: str, alloys: int) -> Any:
    """Say every few seconds how far training is."""
    note(f"training {strategy} on {alloys} alloys")
    last = time.monotonic()

    def tell(step: int, total: int, _metrics: object) -> None:
        nonlocal last
        if time.monotonic() - last > (1 if sys.stderr.isatty() else 5):
            last = time.monotonic()
            note(f"training: {step}/{total}")

    return tell


def _answers(
    generator: Generator,
    data: TrainingData,
    targets: dict[str, tuple[float | None, float | None]],
    palette: Palette,
    wanted: int,
    seed: int,
) -> list[Composition]:
    """Different answers; asked for again while too few differ."""
    import numpy as np

    from hea_loop.composition import Composition
    from hea_loop.generators import conditions_for_targets

    found: dict[Composition, None] = {}
    for k in range(_ROUNDS):
        rng = np.random.default_rng([seed, k])
        conditions = conditions_for_targets(data, targets, wanted, rng)
        fractions = generator.generate(conditions, seed=int(rng.integers(2**31)), palette=palette)
        found |= dict.fromkeys(Composition.from_fractions(palette.elements, row) for row in fractions)
        if len(found) >= wanted:
            break
    return list(found)[:wanted]


def _described(
    compositions: list[Composition],
    targets: dict[str, tuple[float | None, float | None]],
    palette: Palette,
    known: Any,
) -> list[dict[str, Any]]:
    """Predicted values, whether they lie inside, and the distance to the nearest known alloy."""
    import numpy as np

    from hea_loop.composition import Composition
    from hea_loop.prediction import predict
    from hea_loop.target_intervals import checked_intervals

    intervals = checked_intervals(targets)
    rows = []
    for composition in compositions:
        x = np.array(composition.fraction_vector(palette.elements))
        distance = 0.5 * np.abs(known - x).sum(axis=1)
        nearest = int(distance.argmin())
        values = {p.property: p for p in predict([composition], list(targets))}
        holds = {n: n in values and low <= values[n].value <= high for n, (low, high) in intervals.items()}
        rows.append(
            {
                "composition": composition.formula,
                "inside": all(holds.values()),
                "values": {
                    n: {
                        "value": p.value,
                        "sigma": p.sigma,
                        "unit": p.unit,
                        "method": p.method,
                        "fidelity": "prediction",
                        "inside": holds[n],
                    }
                    for n, p in values.items()
                },
                "novelty": float(distance[nearest]),
                "nearest": Composition.from_fractions(palette.elements, known[nearest]).formula,
            }
        )
    return rows


def _print_rows(
    strategy: str,
    rows: list[dict[str, Any]],
    targets: dict[str, tuple[float | None, float | None]],
    known: list[Composition],
    inside: int,
    found: Feasibility,
) -> None:
    from hea_loop.properties import PROPERTIES

    def cell(row: dict[str, Any], name: str) -> str:
        value = row["values"].get(name)
        if value is None:
            return "-"
        sigma = "" if value["sigma"] is None else f" ± {number(value['sigma'], 2)}"
        return f"{number(value['value'])}{sigma}"

    heads = [f"{n} {PROPERTIES[n].unit}".removesuffix(" 1") + ">" for n in targets]
    print_table(
        f"{strategy}: {inside} of {len(rows)} inside all targets ({found.verdict}); predicted values",
        ["composition!", *heads, "inside!", "novelty>", "nearest known!"],
        [
            (
                row["composition"],
                *(cell(row, n) for n in targets),
                "yes" if row["inside"] else "no",
                f"{row['novelty']:.3f}",
                row["nearest"],
            )
            for row in rows
        ],
    )
    methods = {f"{n}: {row['values'][n]['method']}" for row in rows for n in row["values"]}
    print_text(f"predicted by {'; '.join(sorted(methods))}")
    print_text(f"novelty: total-variation distance to the nearest of {len(known)} known alloys")
