"""The commands on materials: show, predict, check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.options import DatabaseUrl, Json
from app.output import note, number, print_json, print_table, print_text

if TYPE_CHECKING:
    from db.material_facts import Fact, MaterialFacts, Neighbour
    from hea_loop.composition import Composition
    from validators.calphad import CalphadDatabase, CalphadSettings

__all__ = ["check", "predict", "show"]

DEFAULT_TEMPERATURES_K = (1273.0, 1473.0, 1673.0)

Compositions = Annotated[
    list[str] | None,
    typer.Argument(metavar="COMPOSITION", help="As in HfNbTaTiZr or Nb47Ti22Si16Mo15; '-' is stdin."),
]
File = Annotated[
    Path | None,
    typer.Option("--file", help="A file with one composition per line (# starts a comment), or a CSV file."),
]
Column = Annotated[
    str | None, typer.Option("--column", help="The CSV column; default is composition, else formula.")
]


def _fact_json(fact: Fact) -> dict[str, Any]:
    return {
        "property": fact.property,
        "value": fact.value if fact.text is None else fact.text,
        "sigma": fact.sigma,
        "unit": fact.unit,
        "kind": fact.kind,
        "fidelity": fact.fidelity,
        "method": fact.method,
        "source": fact.source,
        "temperature_K": fact.temperature_K,
        "conditions": dict(fact.conditions),
        "doi": fact.doi,
        "superseded": fact.superseded,
    }


_QUALIFIED: Mapping[str, str] = {"at least": "≥ ", "estimated": "~ ", "doubtful": "? "}


def _value(fact: Fact) -> str:
    """The value as text; a lower bound, an estimate and what cannot be right are marked."""
    shown = number(fact.value) if fact.text is None else fact.text
    return _QUALIFIED.get(str(fact.conditions.get("qualifier", "")), "") + shown


def _conditions(fact: Fact) -> str:
    """What a published value holds for: test, hours, phases and processing of the material that was tested."""
    given = fact.conditions
    parts = [
        given.get("qualifier"),
        given.get("test"),
        f"{given['time_h']:g} h" if given.get("time_h") is not None else None,
        None if fact.property == "phases_observed" else "+".join(given.get("phases") or ()),
        ", ".join(step for step in given.get("processing") or () if step != "unknown"),
        None if fact.method == "as published" or given.get("qualifier") else fact.method,
    ]
    return "; ".join(str(part) for part in parts if part)


def _print_facts(found: MaterialFacts) -> None:
    from hea_loop.properties import SOURCE_KINDS

    for kind in SOURCE_KINDS:
        facts = [f for f in found.facts if f.kind == kind]
        if not facts:
            continue
        published = kind == "literature"
        print_table(
            f"{kind} ({len(facts)})",
            [
                "property!",
                "value>",
                "sigma>",
                "unit!",
                "T/K>",
                "fidelity!",
                "conditions" if published else "method",
                "DOI!",
            ],
            [
                (
                    f.property + (" (superseded)" if f.superseded else ""),
                    _value(f),
                    number(f.sigma) if f.sigma is not None else "",
                    f.unit,
                    number(f.temperature_K) if f.temperature_K is not None else "",
                    f.fidelity if f.fidelity != kind else "",
                    _conditions(f) if published else f.method,
                    f.doi,
                )
                for f in facts
            ],
        )


def _print_neighbours(neighbours: list[Neighbour]) -> None:
    print_table(
        "nearest materials in the literature",
        ["distance>", "composition!", "phases", "DOI!"],
        [
            (
                f"{n.distance:.3f}",
                n.composition.formula,
                ", ".join(n.phases) if n.measured else "computed only",
                "\n".join(n.dois),
            )
            for n in neighbours
        ],
    )


def show(
    composition: Annotated[
        str, typer.Argument(metavar="COMPOSITION", help="As in HfNbTaTiZr; quote it if it has blanks.")
    ],
    nearest: Annotated[
        int, typer.Option("--nearest", min=0, max=1000, help="How many literature alloys near it.")
    ] = 5,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show all that the store knows of a material, by source, and the literature alloys nearest to it."""
    from app.store_access import open_existing_store
    from db.material_facts import material_facts, nearest_literature
    from hea_loop.formula import parse_composition

    wanted = parse_composition(composition)
    with open_existing_store(database_url) as store, store.read() as session:
        found = material_facts(session, wanted)
        neighbours = nearest_literature(session, wanted, nearest)
    if json:
        print_json(
            {
                "composition": wanted.formula,
                "key": wanted.key,
                "fractions": wanted.fractions,
                "known": found.known,
                "facts": [_fact_json(f) for f in found.facts],
                "proposed_by": [
                    dict(zip(("campaign", "iteration", "candidate", "origin", "state"), p, strict=True))
                    for p in found.proposed_by
                ],
                "nearest": [
                    {
                        "composition": n.composition.formula,
                        "distance": n.distance,
                        "dois": list(n.dois),
                        "phases": list(n.phases),
                        "measured": n.measured,
                    }
                    for n in neighbours
                ],
            }
        )
        return
    percents = ", ".join(f"{e} {100 * x:g}" for e, x in wanted.fractions.items())
    print_text(f"{wanted.formula} ({percents} at.%)")
    if not found.known:
        print_text("the store has nothing on this material; `hea-loop predict` and `check` need no store")
    for campaign, iteration, candidate, origin, state in found.proposed_by:
        print_text(f"candidate {candidate} of {campaign}, iteration {iteration} ({origin}): {state}")
    _print_facts(found)
    _print_neighbours(neighbours)


def predict(
    compositions: Compositions = None,
    file: File = None,
    column: Column = None,
    only: Annotated[
        list[str] | None, typer.Option("--property", help="Only this property; may be repeated.")
    ] = None,
    json: Json = False,
) -> None:
    """Predict properties from pure-element values. A prediction is no measurement."""
    from app.composition_input import read_compositions
    from hea_loop.prediction import predict as predict_values
    from hea_loop.properties import property_named

    wanted = read_compositions(compositions or [], file, column)
    for name in only or []:
        property_named(name, field="--property")
    values = predict_values(wanted, only or None)
    rows = [
        {
            "composition": v.composition.formula,
            "property": v.property,
            "value": v.value,
            "sigma": v.sigma,
            "unit": v.unit,
            "method": v.method,
        }
        for v in values
    ]
    if json:
        print_json(rows)
        return
    if len({v.property for v in values}) == 1:
        print_table(
            f"predictions: {values[0].property}",
            ["composition!", "value>", "sigma>", "unit!", "method"],
            [(v.composition.formula, number(v.value), number(v.sigma), v.unit, v.method) for v in values],
        )
        return
    for composition in dict.fromkeys(v.composition for v in values):
        print_table(
            f"{composition.formula}: predictions",
            ["property!", "value>", "sigma>", "unit!", "method"],
            [
                (v.property, number(v.value), number(v.sigma), v.unit, v.method)
                for v in values
                if v.composition == composition
            ],
        )


def _settings(
    database: Path | None,
    temperatures: list[float] | None,
    *,
    solidus: bool,
    allow_missing_binaries: bool,
) -> tuple[list[tuple[float, CalphadSettings]], CalphadSettings | None]:
    """One configuration for each temperature, so that each has its own outcome, and one for the solidus."""
    from hea_loop.errors import InputError
    from validators.calphad import CalphadSettings

    source: dict[str, Any] = {"allow_missing_binaries": allow_missing_binaries}
    if database is not None:
        source["database"] = str(database)
    wanted = list(dict.fromkeys(temperatures or DEFAULT_TEMPERATURES_K))
    try:
        each = [
            (t, CalphadSettings(temperatures_K=(t,), properties=("single_phase_bcc",), **source))
            for t in wanted
        ]
    except InputError as error:
        raise InputError("--temperature", error.value, error.problem, error.mend) from None
    melting = CalphadSettings(temperatures_K=(), properties=("solidus",), **source) if solidus else None
    return each, melting


def _check_one(
    composition: Composition,
    each: list[tuple[float, CalphadSettings]],
    melting: CalphadSettings | None,
) -> Iterator[dict[str, Any]]:
    from validators.calphad import validate

    onset: Mapping[str, Any] = {}
    if melting is not None:
        outcome = validate(composition, melting)
        onset = {
            "solidus_K": next((v.value for v in outcome.values), None),
            "solidus_outcome": outcome.status.value,
            "solidus_message": outcome.message,
        }
    for temperature, settings in each:
        outcome = validate(composition, settings)
        value = next(iter(outcome.values), None)
        yield {
            "composition": composition.formula,
            "temperature_K": temperature,
            "outcome": outcome.status.value,
            "single_phase_bcc": None if value is None else bool(value.value),
            "phases": [] if value is None else value.detail["phases"],
            "tier": "confirm",
            "method": outcome.method,
            "message": outcome.message,
            **onset,
        }


def _screened(
    wanted: list[Composition],
    each: list[tuple[float, CalphadSettings]],
    database: CalphadDatabase,
    *,
    solidus: bool,
) -> list[dict[str, Any]]:
    """The same rows from the screening tier, which answers all at once."""
    import math

    from validators.calphad import melting_range, screen_verdicts

    temperatures = [t for t, _ in each]
    verdicts = screen_verdicts(wanted, temperatures, database)
    onsets: list[dict[str, Any]] = [{} for _ in wanted]
    if solidus:
        elements = tuple(sorted({e for c in wanted for e in c.elements}))
        melting = melting_range([c.fraction_vector(elements) for c in wanted], elements, database)
        for onset, kelvin, settled in zip(onsets, melting.solidus_K, melting.solidus_settled, strict=True):
            answered = bool(settled) and math.isfinite(kelvin)
            onset["solidus_K"] = round(float(kelvin), 1) if answered else None
            onset["solidus_outcome"] = "converged" if answered else "unconverged"
            onset["solidus_message"] = "" if answered else "solidus: use --tier confirm"
    method = f"tangent plane, {database.name} {database.content_hash[:8]}"
    return [
        {
            "composition": composition.formula,
            "temperature_K": verdict.temperature_K,
            "outcome": verdict.status.value,
            "single_phase_bcc": verdict.single_phase_bcc,
            **verdict.detail(),
            "tier": "screen",
            "method": method,
            "message": verdict.message,
            **onset,
        }
        for k, (composition, onset) in enumerate(zip(wanted, onsets, strict=True))
        for verdict in verdicts[k * len(temperatures) : (k + 1) * len(temperatures)]
    ]


def _phases_text(row: Mapping[str, Any]) -> str:
    """The phases with their fractions, or what screening knows instead."""
    if row["tier"] == "confirm" or row["single_phase_bcc"]:
        return " + ".join(f"{p['name']} {p['fraction']:.3f}" for p in row["phases"])
    return f"{row['competing_phase']} gains {row['driving_force_J_per_mol']:.0f} J/mol"


def check(
    compositions: Compositions = None,
    *,
    temperature: Annotated[
        list[float] | None,
        typer.Option("--temperature", help="In K; may be repeated. Default: 1273, 1473 and 1673."),
    ] = None,
    file: File = None,
    column: Column = None,
    solidus: Annotated[bool, typer.Option("--solidus", help="Also compute the solidus.")] = False,
    database_file: Annotated[
        Path | None, typer.Option("--database-file", help="A TDB; default is the packaged refractory10.")
    ] = None,
    tier: Annotated[
        Literal["screen", "confirm"],
        typer.Option("--tier", help="screen: tangent-plane test, thousands a second. confirm: pycalphad."),
    ] = "confirm",
    allow_missing_binaries: Annotated[
        bool,
        typer.Option("--allow-missing-binaries", help="Take binaries that the database lacks as ideal."),
    ] = False,
    json: Json = False,
) -> None:
    """Check phase stability: a real pycalphad equilibrium at each temperature, or a fast screening."""
    from app.composition_input import read_compositions

    wanted = read_compositions(compositions or [], file, column)
    each, melting = _settings(
        database_file, temperature, solidus=solidus, allow_missing_binaries=allow_missing_binaries
    )
    database = each[0][1].load()
    if melting is not None:
        melting.load()
    for composition in wanted:
        database.require(composition, [t for t, _ in each])
    rows: list[dict[str, Any]] = []
    if tier == "screen":
        rows = _screened(wanted, each, database, solidus=solidus)
    for k, composition in enumerate(wanted if tier == "confirm" else [], start=1):
        if len(wanted) > 1:
            note(f"{k}/{len(wanted)} {composition.formula}")
        rows += list(_check_one(composition, each, melting))
    if json:
        print_json(rows)
        return
    print_table(
        f"phase stability by CALPHAD ({rows[0]['method']})",
        [
            "composition!",
            "T/K>",
            "single BCC",
            "phases",
            *(["solidus/K>"] if solidus else []),
            "outcome",
        ],
        [
            (
                r["composition"],
                number(r["temperature_K"]),
                {True: "yes", False: "no", None: "-"}[r["single_phase_bcc"]],
                _phases_text(r),
                *(["-" if r["solidus_K"] is None else number(r["solidus_K"])] if solidus else []),
                " ".join(part for part in (r["outcome"], r["message"]) if part),
            )
            for r in rows
        ],
    )
