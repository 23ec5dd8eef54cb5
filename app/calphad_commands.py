"""The commands on thermodynamic databases: build ours, see what any lacks, and where its values come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from app.options import Json
from app.output import note, print_json, print_table, print_text
from hea_loop.errors import InputError

if TYPE_CHECKING:
    from validators.calphad import CalphadDatabase
    from validators.calphad.coverage import Coverage
    from validators.calphad.tables import Parameter, Reference

__all__ = ["calphad"]

Result = TypeVar("Result")

calphad = typer.Typer(
    help="Thermodynamic databases: build ours, see what any lacks, list its values with their references.",
    no_args_is_help=True,
)

DatabaseFile = Annotated[
    Path | None, typer.Option("--database-file", help="A TDB; default is the packaged database.")
]
Elements = Annotated[
    str | None, typer.Option("--elements", metavar="Cr-Hf-...", help="Only these; default is all it has.")
]


def _elements(text: str | None) -> tuple[str, ...] | None:
    """Symbols from ``Cr-Hf-Nb``, also with commas or blanks between."""
    from hea_loop.composition import require_element

    if text is None:
        return None
    symbols = tuple(text.replace(",", " ").replace("-", " ").split())
    if not symbols:
        raise InputError("--elements", text, "names no element", "give them as in Cr-Hf-Nb")
    for symbol in symbols:
        require_element(symbol, "--elements", text)
    return tuple(dict.fromkeys(symbols))


def _loaded(database_file: Path | None) -> CalphadDatabase:
    from validators.calphad import load_database

    return load_database() if database_file is None else load_database(database_file)


def _of_elements(text: str | None, answer: Callable[[tuple[str, ...] | None], Result]) -> Result:
    """What is answered for the elements of the option, refusals under the option's name."""
    try:
        return answer(_elements(text))
    except InputError as error:
        if error.field != "elements":
            raise
        raise InputError("--elements", text, error.problem, error.mend) from None


@calphad.command()
def build(
    out: Annotated[
        Path | None, typer.Option("--out", help="The TDB; default is the database's name with .tdb.")
    ] = None,
    elements: Elements = None,
    json: Json = False,
) -> None:
    """Compile our tables to a TDB for other programs, with references and the status of each parameter."""
    from app.campaign_run import check_report_path, write_to
    from validators.calphad.build import build as compiled
    from validators.calphad.database import OWN_DATABASE

    path = out if out is not None else Path(f"{OWN_DATABASE}.tdb")
    check_report_path(path, "--out")
    built = _of_elements(elements, compiled)
    write_to(path, built.text, field="--out")
    counts = {
        "elements": len(built.elements),
        "phases": len(built.phases),
        "parameter rows": built.rows,
        "published": built.published,
        "of these untraced": built.untraced,
        "estimates": built.estimates,
        "references": built.references,
        "of these with DOI": built.references_with_doi,
        "ternaries assessed": len(built.ternaries),
    }
    if json:
        print_json(
            {
                "file": str(path),
                **{name.replace(" ", "_"): count for name, count in counts.items()},
                "element_symbols": list(built.elements),
                "phase_names": list(built.phases),
                "ternaries": ["-".join(t) for t in built.ternaries],
            }
        )
        return
    print_text(f"{path}: {' '.join(built.elements)}; {', '.join(built.phases)}")
    print_text("; ".join(f"{name} {count}" for name, count in counts.items()))


def _asked_for(
    database_file: Path | None, elements: str | None, campaign: Path | None
) -> tuple[CalphadDatabase, tuple[str, ...] | None]:
    """The database and the elements, from the options or from a campaign."""
    if campaign is None:
        return _loaded(database_file), _elements(elements)
    from hea_loop.campaign import load_campaign
    from validators.calphad import load_database

    if elements is not None:
        raise InputError("--elements", elements, "stands beside --campaign", "give one of the two")
    spec = load_campaign(campaign)
    if database_file is not None:
        database = load_database(database_file)
    elif spec.validators.calphad is not None:
        database = load_database(spec.validators.calphad.database)
    else:
        database = load_database()
    return database, spec.design_space().elements


def _lacks(found: Coverage) -> Iterable[tuple[str, str]]:
    """What a database lacks, as rows of a table."""
    if found.elements_lacking:
        yield "elements", ", ".join(found.elements_lacking)
    if found.structures_lacking:
        yield "structures without a phase named for them", ", ".join(found.structures_lacking)
    for phase in found.phases:
        if phase.pure_lacking:
            yield f"pure elements in {phase.name}", ", ".join(phase.pure_lacking)
    for phase in found.phases:
        if phase.binaries_lacking:
            pairs = ["-".join(pair) for pair in phase.binaries_lacking]
            yield f"binaries in {phase.name} ({len(pairs)})", ", ".join(pairs)
    for fault in found.faults:
        yield "fault", fault


def _percent_text(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.0f}%)"


@calphad.command()
def coverage(
    database_file: DatabaseFile = None,
    elements: Elements = None,
    campaign: Annotated[
        Path | None,
        typer.Option("--campaign", help="Take the palette, and the database unless given, from this file."),
    ] = None,
    json: Json = False,
) -> None:
    """Show which elements, phases and binaries a database lacks, and which ternaries were assessed."""
    from validators.calphad.coverage import coverage as covered

    database, wanted = _asked_for(database_file, elements, campaign)
    found = covered(database, wanted)
    if json:
        print_json(found.detail())
        return
    for remark in found.remarks:
        note(f"pycalphad on {found.database}: {remark}")
    low, high = found.range_K
    print_text(
        f"{found.database}: {' '.join(found.elements)}; solutions described from {low:g} to {high:g} K"
    )
    print_table(
        "structures that these elements form",
        ["phase!", "structure!", "cannot hold"],
        [(p.name, p.structure, " ".join(p.lacking)) for p in found.phases if p.structure],
    )
    others = [p.name for p in found.phases if not p.structure]
    if others:
        print_text(f"{len(others)} other phases: {', '.join(others)}")
    lacking = list(_lacks(found))
    if lacking:
        print_table("lacking", ["what", "which"], lacking)
    missing = found.binaries_lacking
    if missing:
        pairs = ", ".join("-".join(pair) for pair in missing)
        print_text(
            f"alloys with {pairs} are refused, unless missing binaries are allowed (they are then ideal)"
        )
    elif found.complete:
        print_text("no element, bcc or liquid binary is lacking")
    assessed = len(found.ternaries_assessed)
    count = assessed + len(found.ternaries_extrapolated)
    if count:
        names = ", ".join("-".join(t) for t in found.ternaries_assessed)
        print_text(f"ternaries assessed: {_percent_text(assessed, count)}{': ' if names else ''}{names}")


@calphad.command()
def ternaries(database_file: DatabaseFile = None, elements: Elements = None, json: Json = False) -> None:
    """List the ternaries with a ternary parameter in liquid or bcc; all others are extrapolated from binaries."""
    from validators.calphad.coverage import coverage as covered

    database, wanted = _loaded(database_file), _elements(elements)
    found = covered(database, wanted)
    if found.elements_lacking:
        raise InputError(
            "--elements",
            elements,
            f"{', '.join(found.elements_lacking)} not in the database {database.name}",
            f"choose among {', '.join(database.elements)}",
        )
    rows = [
        (t, sorted({p.phase for p in database.contents.parameters if p.elements == set(t)}))
        for t in found.ternaries_assessed
    ]
    if json:
        print_json(
            {
                "database": database.name,
                "assessed": [{"ternary": "-".join(t), "phases": phases} for t, phases in rows],
                "extrapolated": ["-".join(t) for t in found.ternaries_extrapolated],
            }
        )
        return
    if rows:
        print_table(
            f"ternaries assessed in {database.name}",
            ["ternary!", "phases with a ternary parameter"],
            [("-".join(t), ", ".join(phases)) for t, phases in rows],
        )
    print_text(f"{len(found.ternaries_extrapolated)} others are extrapolated from their binaries")


def _rows_of_ours(
    phase: str | None, elements: str | None, status: str | None
) -> list[tuple[Parameter, Reference]]:
    from validators.calphad.tables import load_tables

    tables = load_tables()
    references = {r.key: r for r in tables.references}
    known = tuple(e.symbol.capitalize() for e in tables.elements)
    wanted = _elements(elements)
    unknown = [e for e in wanted or () if e not in known]
    if unknown:
        raise InputError(
            "--elements", elements, f"{', '.join(unknown)} not in the tables", f"use {', '.join(known)}"
        )
    names = [p.name for p in tables.phases]
    if phase is not None and phase.upper() not in names:
        raise InputError("--phase", phase, "is not in the tables", f"choose among {', '.join(names)}")
    inside = frozenset(e.upper() for e in wanted or known)
    return [
        (row, references[row.reference])
        for row in tables.parameters
        if row.elements <= inside
        and (phase is None or row.phase == phase.upper())
        and (status is None or row.status == status)
    ]


def _constituents(row: Parameter) -> str:
    return ":".join(",".join(c.capitalize() for c in s) for s in row.constituents).replace("Va", "VA")


@calphad.command()
def parameters(
    phase: Annotated[str | None, typer.Option("--phase", help="Only this phase, as LAVES_C15.")] = None,
    elements: Elements = None,
    status: Annotated[
        Literal["published", "estimate"] | None, typer.Option("--status", help="Only these.")
    ] = None,
    json: Json = False,
) -> None:
    """List our parameters within a set of elements, each with its status, reference, DOI and remark."""
    rows = _rows_of_ours(phase, elements, status)
    if json:
        print_json(
            [
                {
                    "phase": row.phase,
                    "constituents": _constituents(row),
                    "order": row.order,
                    "kind": row.kind,
                    "expression": row.expression,
                    "T_low_K": float(row.low_K),
                    "T_high_K": float(row.high_K),
                    "status": row.status,
                    "reference": reference.key,
                    "citation": reference.citation,
                    "doi": reference.doi,
                    "attribution": reference.attribution,
                    "remark": row.remark,
                }
                for row, reference in rows
            ]
        )
        return
    if not rows:
        note("no parameter is like that")
        return
    estimates = sum(row.status == "estimate" for row, _ in rows)
    print_table(
        f"{len(rows)} parameter rows, {estimates} of them estimates; rows of one parameter are summed",
        ["phase!", "constituents!", "order>", "kind", "expression", "status!", "reference!", "DOI", "remark"],
        [
            (
                row.phase,
                _constituents(row),
                row.order,
                row.kind if row.kind != "G" else "",
                row.expression,
                row.status,
                reference.key,
                reference.doi,
                row.remark,
            )
            for row, reference in rows
        ],
    )


@calphad.command()
def references(elements: Elements = None, json: Json = False) -> None:
    """List the references of our parameters, with DOI, how sure the attribution is, and how many rows cite each."""
    rows = _rows_of_ours(None, elements, None)
    cited: dict[str, tuple[Reference, list[Parameter]]] = {}
    for row, reference in rows:
        cited.setdefault(reference.key, (reference, []))[1].append(row)
    table: list[dict[str, Any]] = [
        {
            "reference": reference.key,
            "citation": reference.citation,
            "doi": reference.doi,
            "attribution": reference.attribution,
            "rows": len(its),
        }
        for _, (reference, its) in sorted(cited.items())
    ]
    if json:
        print_json(table)
        return
    print_table(
        f"{len(table)} references of {len(rows)} parameter rows",
        ["reference!", "rows>", "attribution!", "citation", "DOI!"],
        [(r["reference"], r["rows"], r["attribution"], r["citation"], r["doi"]) for r in table],
    )
