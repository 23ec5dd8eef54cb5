"""``hea-loop check``: phase stability, and the diagrams that researchers ask for next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.material_commands import Column, Compositions, File
from app.options import Json
from app.output import note, number, print_json, print_table, print_text

if TYPE_CHECKING:
    from hea_loop.composition import Composition
    from validators.calphad import CalphadDatabase, CalphadSettings, StabilityVerdict

__all__ = ["check"]

DEFAULT_TEMPERATURES_K = (1273.0, 1473.0, 1673.0)

_SAME_END_K = 2.0  # what the searches of solidus and window may be apart at the same end


def _settings(
    database: Path | None,
    temperatures: list[float] | None,
    *,
    solidus: bool,
    allow_missing_binaries: bool,
) -> tuple[CalphadSettings, CalphadSettings | None]:
    """The configuration of the verdicts, and of the solidus where it is asked for."""
    from hea_loop.errors import InputError
    from validators.calphad import CalphadSettings

    source: dict[str, Any] = {"allow_missing_binaries": allow_missing_binaries}
    if database is not None:
        source["database"] = str(database)
    wanted = tuple(dict.fromkeys(temperatures or DEFAULT_TEMPERATURES_K))
    try:
        verdicts = CalphadSettings(temperatures_K=wanted, properties=("single_phase_bcc",), **source)
    except InputError as error:
        raise InputError("--temperature", error.value, error.problem, error.mend) from None
    melting = CalphadSettings(temperatures_K=(), properties=("solidus",), **source) if solidus else None
    return verdicts, melting


def _row(
    composition: Composition, verdict: StabilityVerdict, method: str, onset: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "composition": composition.formula,
        "temperature_K": verdict.temperature_K,
        "outcome": verdict.status.value,
        "single_phase_bcc": verdict.single_phase_bcc,
        **verdict.detail(),
        "tier": verdict.tier,
        "method": method,
        "message": verdict.message,
        **onset,
    }


def _confirmed(
    composition: Composition,
    settings: CalphadSettings,
    melting: CalphadSettings | None,
    database: CalphadDatabase,
) -> Iterator[dict[str, Any]]:
    from validators.calphad import confirm_at, validate

    onset: Mapping[str, Any] = {}
    if melting is not None:
        outcome = validate(composition, melting)
        onset = {
            "solidus_K": next((v.value for v in outcome.values), None),
            "solidus_outcome": outcome.status.value,
            "solidus_message": outcome.message,
        }
    for verdict in confirm_at(composition, settings.temperatures_K, database):
        yield _row(composition, verdict, settings.method(), onset)


def _screened(
    wanted: list[Composition],
    temperatures_K: tuple[float, ...],
    database: CalphadDatabase,
    *,
    solidus: bool,
) -> list[dict[str, Any]]:
    """The same rows from the screening tier, which answers all at once."""
    from validators.calphad import melting_range, screen_verdicts

    verdicts = screen_verdicts(wanted, temperatures_K, database)
    onsets: list[dict[str, Any]] = [{} for _ in wanted]
    if solidus:
        elements = tuple(sorted({e for c in wanted for e in c.elements}))
        melting = melting_range([c.fraction_vector(elements) for c in wanted], elements, database)
        for onset, kelvin, settled in zip(onsets, melting.solidus_K, melting.solidus_settled, strict=True):
            answered = bool(settled) and math.isfinite(kelvin)
            onset["solidus_K"] = round(float(kelvin), 1) if answered else None
            onset["solidus_outcome"] = "converged" if answered else "unconverged"
            onset["solidus_message"] = (
                "" if answered else "solidus: not found by screening, use --tier confirm"
            )
    method = f"tangent plane, {database.name} {database.content_hash[:8]}"
    count = len(temperatures_K)
    return [
        _row(composition, verdict, method, onset)
        for k, (composition, onset) in enumerate(zip(wanted, onsets, strict=True))
        for verdict in verdicts[k * count : (k + 1) * count]
    ]


def _phases_text(row: Mapping[str, Any]) -> str:
    """The phases with their fractions, where there are any: screening computes none of several phases."""
    return " + ".join(f"{p['name']} {p['fraction']:.3f}" for p in row["phases"])


def _competitor_text(row: Mapping[str, Any]) -> str:
    """What competes with bcc, how much of it there is, and what drives it."""
    if row["single_phase_bcc"] is None or not row["competing_phase"]:
        return ""
    fraction, force = row["competing_fraction"], row["driving_force_J_per_mol"]
    parts = [row["competing_phase"] if not fraction else f"{row['competing_phase']} {fraction:.3f}"]
    if force is not None:
        parts.append(f"{force:+.0f} J/mol" if abs(force) >= 10 else f"{force:+.2g} J/mol")
    return ", ".join(parts)


def _window_text(row: Mapping[str, Any]) -> str:
    """The temperatures between which bcc is alone, an open end by the sign."""
    window = row["single_phase_window"]
    if window is None:
        return "none" if row["single_phase_window_computed"] else "-"
    low, high = window["lower_K"], window["upper_K"]
    top = f"{high:.0f}" if high is not None else ""
    solidus = row.get("solidus_K")
    liquid = window["upper_phase"].startswith(("LIQUID", "IONIC_LIQ"))
    if solidus is not None and high is not None and liquid and abs(high - solidus) <= _SAME_END_K:
        top = f"{solidus:.1f}"  # both searches found the one end: it is shown as one number
    if low is None and high is None:
        return "all"
    if low is None:
        return f"< {top}"
    return f"> {low:.0f}" if high is None else f"{low:.0f}-{top}"


def _outcome_text(row: Mapping[str, Any]) -> str:
    """How the row ended, the solidus included where it has no answer."""
    parts = [row["outcome"], row["message"], row["remark"]]
    if row.get("solidus_outcome", "converged") != "converged":
        why = row["solidus_message"].removeprefix("solidus: ")
        parts.append(f"solidus {row['solidus_outcome']}" + (f": {why}" if why else ""))
    return "; ".join(part for part in parts if part)


def _print_rows(rows: list[dict[str, Any]], *, solidus: bool) -> None:
    basis = "; competitor: largest driving force; amounts not computed" if rows[0]["tier"] == "screen" else ""
    print_table(
        f"phase stability by CALPHAD ({rows[0]['method']}{basis})",
        [
            "composition!",
            "T/K>",
            "single BCC",
            "phases",
            "competitor",
            "BCC alone/K!",
            *(["solidus/K>"] if solidus else []),
            "outcome",
        ],
        [
            (
                r["composition"],
                number(r["temperature_K"]),
                {True: "yes", False: "no", None: "-"}[r["single_phase_bcc"]],
                _phases_text(r),
                _competitor_text(r),
                _window_text(r),
                *(["-" if r["solidus_K"] is None else f"{r['solidus_K']:.1f}"] if solidus else []),
                _outcome_text(r),
            )
            for r in rows
        ],
    )


def check(  # noqa: C901 - one branch per option
    compositions: Compositions = None,
    *,
    temperature: Annotated[
        list[float] | None,
        typer.Option("--temperature", help="In K; may be repeated. Default: 1273, 1473 and 1673."),
    ] = None,
    file: File = None,
    column: Column = None,
    solidus: Annotated[bool, typer.Option("--solidus", help="Also compute the solidus.")] = False,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Phase fractions against temperature, solidus, liquidus, solvus."),
    ] = False,
    scheil: Annotated[
        bool, typer.Option("--scheil", help="Scheil solidification: phases and segregation as cast.")
    ] = False,
    binary: Annotated[
        list[str] | None,
        typer.Option("--binary", metavar="A-B", help="Phase diagram of two elements; may be repeated."),
    ] = None,
    isopleth: Annotated[
        list[str] | None,
        typer.Option(
            "--isopleth",
            metavar="SECTION",
            help="Vertical section: Ti, Ti:0:0.5 (atomic fractions), or from alloy to alloy as in NbTi:NbZr.",
        ),
    ] = None,
    ternary: Annotated[
        list[str] | None,
        typer.Option("--ternary", metavar="A-B-C", help="Section of three elements at each --temperature."),
    ] = None,
    keep_others: Annotated[
        bool, typer.Option("--keep-others", help="In a ternary, keep the alloy's other elements as they are.")
    ] = False,
    span: Annotated[
        str | None, typer.Option("--range", metavar="LOW:HIGH", help="Temperatures of diagrams, in K.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for pictures and tables; default is this one.")
    ] = None,
    picture: Annotated[
        Literal["png", "svg"], typer.Option("--format", help="Format of the pictures.")
    ] = "png",
    database_file: Annotated[
        Path | None, typer.Option("--database-file", help="A TDB; default is the packaged database.")
    ] = None,
    tier: Annotated[
        Literal["screen", "confirm"],
        typer.Option("--tier", help="screen: tangent-plane test, thousands a second. confirm: pycalphad."),
    ] = "confirm",
    observed: Annotated[
        str | None,
        typer.Option(
            "--observed",
            metavar="STATE",
            help="Also the probability of being reported as single-phase BCC in a state: 'as cast', "
            "'heat treated', powder, film or unknown.",
        ),
    ] = None,
    allow_missing_binaries: Annotated[
        bool,
        typer.Option("--allow-missing-binaries", help="Take binaries that the database lacks as ideal."),
    ] = False,
    json: Json = False,
) -> None:
    """Check phase stability: a real pycalphad equilibrium at each temperature, or a fast screening.

    With --profile, --scheil, --binary, --isopleth or --ternary also draw the diagrams of one alloy: pictures
    and tables go to --out, else to this folder. With --json files are written only where --out names a folder.
    """
    from app.check_diagrams import Wanted
    from app.composition_input import read_compositions
    from app.estimates import Estimates, print_estimates
    from app.observed_output import observed_rows, print_observed

    wanted = read_compositions(compositions or [], file, column)
    settings, melting = _settings(
        database_file, temperature, solidus=solidus, allow_missing_binaries=allow_missing_binaries
    )
    database = settings.load()
    if melting is not None:
        melting.load()
    for composition in wanted:
        database.require(composition, settings.temperatures_K)
    diagrams = Wanted.read(
        wanted,
        database,
        settings.temperatures_K,
        profile=profile,
        scheil=scheil,
        binary=binary or [],
        isopleth=isopleth or [],
        ternary=ternary or [],
        keep_others=keep_others,
        span=span,
        out=out,
        picture=picture,
        confirm=tier == "confirm",
        write=out is not None or not json,
    )
    seen = observed_rows(wanted, database, observed)
    rows: list[dict[str, Any]] = []
    if tier == "screen":
        rows = _screened(wanted, settings.temperatures_K, database, solidus=solidus)
    for k, composition in enumerate(wanted if tier == "confirm" else [], start=1):
        if len(wanted) > 1:
            note(f"{k}/{len(wanted)} {composition.formula}")
        rows += list(_confirmed(composition, settings, melting, database))
    estimates = Estimates(database)
    elements = {composition.formula: composition.elements for composition in wanted}
    phases: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        mine = elements[row["composition"]]
        there = [p["name"] for p in row["phases"]] or [row["competing_phase"] or ""]
        phases.setdefault(mine, []).extend(there)
        row["estimated_parameters"] = estimates.json(mine, there)
        row.update({"observed": seen[row["composition"]]} if seen else {})
    if not json:
        _print_rows(rows, solidus=solidus)
        print_observed(seen)
        print_estimates(estimates, phases)
    if diagrams is None:
        if json:
            print_json(rows)
        return
    results = diagrams.make(estimates, quiet=json)
    if json:
        print_json({"verdicts": rows, **results})
        return
    for path in results["files"]:
        print_text(f"wrote {path}")
