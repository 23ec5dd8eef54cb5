"""Published invariants of the binaries beside those that the database gives.

    python -m benchmarks.binary_invariants [--system Nb-Zr] [--json | --markdown]

Every invariant is found by equilibria of the database's binary, with all of its phases, as an alloy would be
asked for: bisection in temperature on the phases present, compositions from the phase entries.

* eutectic, peritectic, eutectoid, monotectoid, congruent, polymorphic: the temperature at which one phase
  (``marker``) appears or disappears in an alloy of the composition ``probe_at_percent``;
* critical point: the alloy in the middle of the tie line is followed upwards until there is no gap left;
* minimum (of liquid over bcc, or of bcc over hcp): the lowest temperature at which ``marker`` is present in any
  alloy of the window around ``probe_at_percent``.

The published values, with their references, lie in ``data/binary_invariants.csv``. A difference of more
than 25 K or 5 at.%, or an invariant that the database does not have, needs a remark there; without one the
command ends with 1.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.resources import files

from hea_loop.composition import Composition
from hea_loop.errors import InputError
from validators.calphad import CalphadDatabase, load_database, phases_at
from validators.calphad.equilibrium import BCC, PhaseEntry
from validators.outcome import OutcomeStatus

__all__ = ["Compared", "Published", "compare", "main", "read_published", "table"]

_TEMPERATURE_TOLERANCE_K = 25.0
_COMPOSITION_TOLERANCE = 5.0  # at.%
_RANGES_K = (90.0, 60.0, 30.0)  # searched on either side of the published temperature
_RESOLUTION_K = 0.1
_WINDOW = 15  # at.% on either side of the probe in which a minimum is looked for
_STEP_K = 40.0  # first step upwards in a miscibility gap
_CLOSED_K = 0.5  # last one


@dataclass(frozen=True, slots=True)
class Published:
    """One invariant as published.

    Attributes:
        system: ``A-B``.
        reaction: As it is written, high-temperature side first.
        kind: Which search finds it, see the module.
        marker: The phase whose presence changes.
        element: The element that compositions are given in.
        probe: Composition of the alloy that is followed, at.% of the element.
        temperature_K: As published, K.
        at_percent: Composition as published, at.% of the element; NaN where none is compared.
        phase: The phase of that composition; empty where none is compared.
        source: Short name of the publication.
        reference: Where it was published.
        doi: Of that, where one was checked; else empty.
        looked_up: Whether the figures were read in that source or its abstract; else they are as commonly
            quoted from it.
        remark: What a reader has to know, above all why the database is off.
    """

    system: str
    reaction: str
    kind: str
    marker: str
    element: str
    probe: float
    temperature_K: float
    at_percent: float
    phase: str
    source: str
    reference: str
    doi: str
    looked_up: bool
    remark: str


@dataclass(frozen=True, slots=True)
class Compared:
    """An invariant beside what the database gives.

    Attributes:
        published: The invariant.
        temperature_K: Of the database, to 0.1 K; NaN where it has no such invariant.
        at_percent: Of the database; NaN where none is compared.
    """

    published: Published
    temperature_K: float
    at_percent: float

    @property
    def off_kelvin(self) -> float:
        """The database minus the publication, K."""
        return self.temperature_K - self.published.temperature_K

    @property
    def off_at_percent(self) -> float:
        """The database minus the publication, at.%; NaN where none is compared."""
        return self.at_percent - self.published.at_percent

    @property
    def needs_remark(self) -> bool:
        """Whether it is off by more than 25 K or 5 at.%, or missing."""
        if not math.isfinite(self.temperature_K) or abs(self.off_kelvin) > _TEMPERATURE_TOLERANCE_K:
            return True
        return abs(self.off_at_percent) > _COMPOSITION_TOLERANCE  # False for NaN: none is compared


def read_published(systems: Iterable[str] = ()) -> list[Published]:
    """The published invariants, of all systems or of those named, in the order of the table.

    Raises:
        InputError: A system that the table does not have.
    """
    text = files("benchmarks").joinpath("data", "binary_invariants.csv").read_text(encoding="utf-8")
    rows = [
        Published(
            system=r["system"],
            reaction=r["reaction"],
            kind=r["kind"],
            marker=r["marker"],
            element=r["element"],
            probe=float(r["probe_at_percent"]),
            temperature_K=float(r["T_K"]),
            at_percent=float(r["at_percent"] or "nan"),
            phase=r["phase"],
            source=r["source"],
            reference=r["reference"],
            doi=r["doi"],
            looked_up=r["looked_up"] == "yes",
            remark=r["remark"],
        )
        for r in csv.DictReader(text.splitlines())
    ]
    wanted = set(systems)
    known = {r.system for r in rows}
    if wanted - known:
        raise InputError(
            "system", min(wanted - known), "is not in the table", f"choose among {', '.join(sorted(known))}"
        )
    return [r for r in rows if not wanted or r.system in wanted]


@dataclass(frozen=True, slots=True)
class _Binary:
    """The equilibria of one binary, by at.% of one of its elements."""

    database: CalphadDatabase
    system: str
    element: str

    def entries(self, at_percent: float, temperature_K: float) -> tuple[PhaseEntry, ...]:
        """The phases there, or a tenth of a percent beside it where pycalphad does not converge."""
        first, second = self.system.split("-")
        other = first if self.element == second else second
        for x in (at_percent, at_percent + 0.1, at_percent - 0.1):
            alloy = Composition.from_fractions((self.element, other), (x / 100.0, 1.0 - x / 100.0))
            found = phases_at(alloy, temperature_K, self.database)
            if found.status is OutcomeStatus.CONVERGED:
                return found.phases
        raise RuntimeError(f"{alloy.formula} at {temperature_K:g} K: {found.message}")

    def has(self, phase: str, at_percent: float, temperature_K: float) -> bool:
        return any(e.name == phase for e in self.entries(at_percent, temperature_K))

    def gap(self, at_percent: float, temperature_K: float) -> tuple[float, float] | None:
        """The ends of the tie line of two bcc, at.%; None where there is none."""
        ends = sorted(
            e.composition[self.element] * 100
            for e in self.entries(at_percent, temperature_K)
            if e.name == BCC
        )
        return (ends[0], ends[-1]) if len(ends) > 1 else None


def _bisect(holds: Callable[[float], bool], around_K: float) -> float | None:
    """The temperature at which a statement changes; None where it is the same at both ends of every range.

    A phase that is stable in a narrow range of temperature only would be absent at both ends of a wide one.
    """
    for reach in _RANGES_K:
        low, high = around_K - reach, around_K + reach
        at_low = holds(low)
        if holds(high) != at_low:
            break
    else:
        return None
    while high - low > _RESOLUTION_K:
        middle = (low + high) / 2
        if holds(middle) == at_low:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _nearest(entries: Iterator[PhaseEntry], row: Published) -> float:
    """Composition of the wanted phase, at.%: the one nearest to the published if there are several."""
    found = [e.composition[row.element] * 100 for e in entries if e.name == row.phase]
    return min(found, key=lambda x: abs(x - row.at_percent)) if found else math.nan


def _step(binary: _Binary, row: Published) -> tuple[float, float]:
    temperature = _bisect(lambda t: binary.has(row.marker, row.probe, t), row.temperature_K)
    if temperature is None:
        return math.nan, math.nan
    near = (
        entry
        for t in (temperature + _RESOLUTION_K, temperature - _RESOLUTION_K)
        for entry in binary.entries(row.probe, t)
    )
    return temperature, _nearest(near, row) if row.phase else math.nan


def _critical(binary: _Binary, row: Published) -> tuple[float, float]:
    """Follow the middle of the tie line upwards, in steps that halve where the gap is lost."""
    # another phase may stand in its place further down, hcp for one
    starts = (row.temperature_K - down for down in _RANGES_K)
    inside = ((t, ends) for t in starts if (ends := binary.gap(row.probe, t)) is not None)
    temperature, ends = next(inside, (math.nan, (math.nan, math.nan)))
    if math.isnan(temperature):
        return math.nan, math.nan
    step = _STEP_K
    while step > _CLOSED_K:
        higher = binary.gap(sum(ends) / 2, temperature + step)
        if higher is None:
            step /= 2
        else:
            temperature, ends = temperature + step, higher
    return temperature + step / 2, sum(ends) / 2


def _minimum(binary: _Binary, row: Published) -> tuple[float, float]:
    window = [row.probe + offset for offset in range(-_WINDOW, _WINDOW + 1) if 0 < row.probe + offset < 100]

    def anywhere(temperature: float) -> bool:
        return any(binary.has(row.marker, x, temperature) for x in window)

    temperature = _bisect(anywhere, row.temperature_K)
    if temperature is None:
        return math.nan, math.nan
    above = temperature + _RESOLUTION_K
    found = [
        e.composition[binary.element] * 100
        for x in window
        for e in binary.entries(x, above)
        if e.name == row.marker
    ]
    return temperature, sum(found) / len(found)


def compare(rows: Iterable[Published], database: CalphadDatabase | None = None) -> Iterator[Compared]:
    """Find each invariant in a database, one after the other.

    Args:
        rows: What to find.
        database: The packaged one when None.

    Raises:
        RuntimeError: An equilibrium on the way did not converge; an invariant found across it would be none.
    """
    database = database or load_database()
    for row in rows:
        search = {"critical point": _critical, "minimum": _minimum}.get(row.kind, _step)
        temperature, at_percent = search(_Binary(database, row.system, row.element), row)
        if math.isnan(row.at_percent):
            at_percent = math.nan
        yield Compared(row, round(temperature, 1), round(at_percent, 1))


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else ""


def table(compared: Iterable[Compared]) -> list[str]:
    """The lines of the Markdown table: differences are ours minus published."""
    lines = [
        "| binary | invariant | T / K published | ours | off | at.% published | ours | off | source | remark |",
        "|---|---|--:|--:|--:|---|--:|--:|---|---|",
    ]
    for c in compared:
        p = c.published
        published = f"{p.at_percent:g} {p.element}" if math.isfinite(p.at_percent) else ""
        cells = [
            p.system,
            f"{p.reaction} ({p.kind})",
            f"{p.temperature_K:.0f}",
            _number(c.temperature_K, ".0f") or "none",
            _number(c.off_kelvin, "+.0f"),
            published,
            _number(c.at_percent, ".1f"),
            _number(c.off_at_percent, "+.1f"),
            p.source + ("" if p.looked_up else " *"),
            p.remark,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 where a remark is missing, 2 for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--system", action="append", default=[], help="only this binary, say Nb-Zr; repeatable"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object")
    form.add_argument("--markdown", action="store_true", help="print the table of docs/database.md")
    given = parser.parse_args(arguments)
    try:
        rows = read_published(given.system)
    except InputError as error:
        parser.exit(2, f"{error}\n")
    compared = list(compare(rows))
    unexplained = [c for c in compared if c.needs_remark and not c.published.remark]
    if given.json:
        print(
            json.dumps(
                {
                    "invariants": [
                        asdict(c) | {"off_K": c.off_kelvin, "off_at_percent": c.off_at_percent}
                        for c in compared
                    ],
                    "without_remark": [f"{c.published.system}: {c.published.reaction}" for c in unexplained],
                },
                indent=1,
            ).replace("NaN", "null")
        )
    elif given.markdown:
        print("\n".join(table(compared)))
    else:
        for c in compared:
            p = c.published
            ours = (
                f"{c.temperature_K:6.0f} K ({c.off_kelvin:+4.0f})"
                if math.isfinite(c.temperature_K)
                else "none"
            )
            shares = f"{p.at_percent:5.1f} at.% {p.element}" if math.isfinite(p.at_percent) else ""
            ours_x = f"{c.at_percent:5.1f} ({c.off_at_percent:+.1f})" if math.isfinite(c.at_percent) else ""
            print(
                f"{p.system:<6} {p.reaction:<34} {p.kind:<14} {p.temperature_K:6.0f} K, ours {ours:<16} "
                f"{shares:<13} {ours_x:<14} {p.remark}"
            )
    for c in unexplained:
        off = "none in the database" if math.isnan(c.temperature_K) else f"{c.off_kelvin:+.0f} K"
        print(f"no remark: {c.published.system}, {c.published.reaction}: {off}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    raise SystemExit(main())
