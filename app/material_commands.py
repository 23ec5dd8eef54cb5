"""The commands on materials: show, predict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.options import DatabaseUrl, Json
from app.output import number, print_json, print_table, print_text

if TYPE_CHECKING:
    from db.material_facts import Fact, MaterialFacts, Neighbour

__all__ = ["Column", "Compositions", "File", "predict", "show"]

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


def _rung(fact: Fact) -> str:
    """The rung of the ladder; what a potential computed is not called dft."""
    from app.fidelity_names import shown_fidelity

    return shown_fidelity(fact) if fact.fidelity == "dft" else fact.fidelity


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
                    _rung(f) if f.fidelity != kind else "",
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
