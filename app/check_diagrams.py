"""The diagrams of ``hea-loop check``: what was asked for, checked, computed and handed on."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.campaign_run import write_to
from app.diagram_files import Table, as_csv, diagram_progress, rendered
from app.diagram_output import binary_output, isopleth_output, profile_output, scheil_output, ternary_output
from app.estimates import Estimates, print_estimates
from hea_loop.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hea_loop.composition import Composition
    from validators.calphad import CalphadDatabase
    from validators.calphad.diagrams import (
        BinaryDiagram,
        Isopleth,
        PhaseProfile,
        Solidification,
        TernarySection,
    )

__all__ = ["Wanted"]


@dataclass(frozen=True, slots=True)
class _Section:
    """An isopleth as it was asked for: an element and its range, or two alloys."""

    text: str
    element: str = ""
    low: float = 0.0
    high: float = 1.0
    ends: tuple[Composition, Composition] | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the options ask for, checked before anything is computed.

    Attributes:
        alloy: The candidate.
        database: Where its thermodynamics come from.
        temperatures_K: To mark, and of the ternary sections.
        profile: Whether phase fractions against temperature are.
        scheil: Whether solidification is.
        binaries: Pairs of elements.
        isopleths: Vertical sections.
        ternaries: Triples of elements.
        keep_others: Whether ternaries keep the alloy's other elements.
        range_K: Lowest and highest temperature of the diagrams; None is theirs to choose.
        folder: Where files go.
        picture: ``png`` or ``svg``.
        confirm: Whether the profile is pycalphad's.
        write: Whether files are written.
    """

    alloy: Composition
    database: CalphadDatabase
    temperatures_K: tuple[float, ...]
    profile: bool
    scheil: bool
    binaries: tuple[tuple[str, str], ...]
    isopleths: tuple[_Section, ...]
    ternaries: tuple[tuple[str, str, str], ...]
    keep_others: bool
    range_K: tuple[float | None, float | None]
    folder: Path
    picture: str
    confirm: bool
    write: bool

    @classmethod
    def read(
        cls,
        alloys: Sequence[Composition],
        database: CalphadDatabase,
        temperatures_K: Sequence[float],
        *,
        profile: bool,
        scheil: bool,
        binary: Sequence[str],
        isopleth: Sequence[str],
        ternary: Sequence[str],
        keep_others: bool,
        span: str | None,
        out: Path | None,
        picture: str,
        confirm: bool,
        write: bool,
    ) -> Wanted | None:
        """Check the options; None where no diagram is asked for.

        Raises:
            InputError: One of them cannot be used.
        """
        asked = [
            name
            for name, value in (
                ("--profile", profile),
                ("--scheil", scheil),
                ("--binary", binary),
                ("--isopleth", isopleth),
                ("--ternary", ternary),
            )
            if value
        ]
        if not asked:
            for name, value in (("--range", span), ("--out", out), ("--keep-others", keep_others or None)):
                if value is not None:
                    raise InputError(
                        name, str(value), "has no diagram to apply to", "add --profile, or another diagram"
                    )
            return None
        if len(alloys) != 1:
            raise InputError(
                asked[0], f"{len(alloys)} compositions", "draws one alloy at a time", "give one composition"
            )
        if keep_others and not ternary:
            raise InputError("--keep-others", "True", "belongs to --ternary", "add --ternary, or drop it")
        alloy = alloys[0]
        if scheil:
            _require_solidifies(alloy, database)
        wanted = cls(
            alloy,
            database,
            tuple(temperatures_K),
            profile,
            scheil,
            tuple(_pair(text, database) for text in binary),
            tuple(_section(text, alloy, database) for text in isopleth),
            tuple(_triple(text, alloy, database, keep_others=keep_others) for text in ternary),
            keep_others,
            _range(span),
            Path() if out is None else out,
            picture,
            confirm,
            write,
        )
        if write:
            _require_writable(wanted.folder)
        return wanted

    def make(self, estimates: Estimates, *, quiet: bool) -> dict[str, Any]:
        """Compute, print unless quiet, draw and write; return all of it as plain JSON."""
        result: dict[str, Any] = {}
        files: list[str] = []
        for key, name, one in self._all(quiet=quiet):
            detail, figure, table = one
            elements, phases = detail.pop("rests_on")
            detail["estimated_parameters"] = estimates.json(elements, phases)
            if not quiet and not set(elements) <= set(self.alloy.elements):
                # what the verdicts rest on has been said; this has elements that they do not
                print_estimates(estimates, {tuple(elements): phases})
            if key in {"profile", "scheil"}:
                result[key] = detail
            else:
                result.setdefault(key, []).append(detail)
            if self.write:
                for ending, content in (
                    (self.picture, rendered(figure, self.picture)),
                    ("csv", as_csv(table)),
                ):
                    path = self.folder / f"{name}.{ending}"
                    write_to(path, content, field="--out")
                    files.append(str(path))
        result["files"] = files
        return result

    def _all(self, *, quiet: bool) -> Iterator[tuple[str, str, tuple[dict[str, Any], Figure, Table]]]:
        own = self.alloy.formula
        found: PhaseProfile | None = None
        if self.profile:
            found = self._profile()
            yield "profile", f"{own}-profile", profile_output(found, quiet=quiet)
        if self.scheil:
            yield "scheil", f"{own}-scheil", scheil_output(self._scheil(), found, quiet=quiet)
        for pair in self.binaries:
            yield (
                "binary",
                f"{'-'.join(pair)}-binary",
                binary_output(self._binary(pair), self.alloy, self.temperatures_K, quiet=quiet),
            )
        for section in self.isopleths:
            yield (
                "isopleth",
                f"{own}-isopleth-{section.text.replace(':', '-')}",
                isopleth_output(
                    self._isopleth(section), section.text, self.alloy, self.temperatures_K, quiet=quiet
                ),
            )
        for triple in self.ternaries:
            for temperature in self.temperatures_K:
                yield (
                    "ternary",
                    f"{own}-{'-'.join(triple)}-{temperature:g}K",
                    ternary_output(self._ternary(triple, temperature), self.alloy, quiet=quiet),
                )

    def _profile(self) -> PhaseProfile:
        from validators.calphad.diagrams import phase_profile

        low, high = self.range_K
        more = {} if low is None else {"low_K": low}
        with diagram_progress(f"phase profile of {self.alloy.formula}") as shown:
            return phase_profile(
                self.alloy, self.database, high_K=high, confirm=self.confirm, progress=shown, **more
            )

    def _scheil(self) -> Solidification:
        from validators.calphad.diagrams import scheil_solidification

        with diagram_progress(f"Scheil solidification of {self.alloy.formula}"):
            return scheil_solidification(self.alloy, self.database)

    def _binary(self, pair: tuple[str, str]) -> BinaryDiagram:
        from validators.calphad.diagrams import binary_diagram

        low, high = self.range_K
        more = {} if low is None else {"low_K": low}
        with diagram_progress(f"phase diagram {'-'.join(pair)}") as shown:
            return binary_diagram(pair, self.database, high_K=high, progress=shown, **more)

    def _isopleth(self, section: _Section) -> Isopleth:
        from validators.calphad.diagrams import isopleth, isopleth_between

        low, high = self.range_K
        more = {} if low is None else {"low_K": low}
        with diagram_progress(f"isopleth {section.text}") as shown:
            if section.ends is not None:
                return isopleth_between(
                    *section.ends, self.database, candidate=self.alloy, high_K=high, progress=shown, **more
                )
            return isopleth(
                self.alloy,
                section.element,
                self.database,
                low=section.low,
                high=section.high,
                high_K=high,
                progress=shown,
                **more,
            )

    def _ternary(self, triple: tuple[str, str, str], temperature_K: float) -> TernarySection:
        from validators.calphad.diagrams import ternary_section

        with diagram_progress(f"section {'-'.join(triple)} at {temperature_K:g} K") as shown:
            return ternary_section(
                triple,
                temperature_K,
                self.database,
                candidate=self.alloy,
                keep_others=self.keep_others,
                progress=shown,
            )


# -- options ------------------------------------------------------------------------------------------------


def _elements(text: str, count: int, option: str, example: str, database: CalphadDatabase) -> tuple[str, ...]:
    from hea_loop.composition import require_element

    given = tuple(part.strip() for part in text.split("-"))
    if len(given) != count or len(set(given)) != count or not all(given):
        words = {2: "two", 3: "three"}[count]
        raise InputError(option, text, f"is not {words} different elements", f"give {words}, as in {example}")
    for element in given:
        require_element(element, option, text)
    database.require_elements(given, field=option, value=text)
    return given


def _pair(text: str, database: CalphadDatabase) -> tuple[str, str]:
    first, second = _elements(text, 2, "--binary", "Hf-Ta", database)
    return first, second


def _triple(
    text: str, alloy: Composition, database: CalphadDatabase, *, keep_others: bool
) -> tuple[str, str, str]:
    a, b, c = _elements(text, 3, "--ternary", "Nb-Ti-Zr", database)
    if keep_others and not {a, b, c} & set(alloy.elements):
        raise InputError("--ternary", text, f"has no element of {alloy.formula}", "name elements that it has")
    if keep_others:
        database.require_elements({a, b, c, *alloy.elements}, field="--ternary", value=text)
    return a, b, c


def _section(text: str, alloy: Composition, database: CalphadDatabase) -> _Section:
    from hea_loop.composition import require_element
    from hea_loop.formula import parse_composition

    parts = [part.strip() for part in text.split(":")]
    mend = "give it as Ti, Ti:0:0.5 or NbTi:NbZr"
    if len(parts) == 2:
        start, end = (parse_composition(part, field="--isopleth") for part in parts)
        database.require_elements({*start.elements, *end.elements}, field="--isopleth", value=text)
        if start == end:
            raise InputError("--isopleth", text, "is twice the same alloy", mend)
        return _Section(text, ends=(start, end))
    if len(parts) not in {1, 3}:
        raise InputError("--isopleth", text, "is no section", mend)
    element = parts[0]
    require_element(element, "--isopleth", text)
    database.require_elements({*alloy.elements, element}, field="--isopleth", value=text)
    if alloy.elements == (element,):
        raise InputError(
            "--isopleth",
            text,
            f"leaves nothing else in {alloy.formula} to vary with it",
            "vary another element",
        )
    low, high = 0.0, 1.0
    if len(parts) == 3:
        low, high = (_number(part, "--isopleth", text, mend) for part in parts[1:])
        if not 0.0 <= low < high <= 1.0:
            raise InputError("--isopleth", text, "is outside atomic fractions 0 to 1, or does not rise", mend)
    return _Section(text, element, low, high)


def _number(part: str, option: str, text: str, mend: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(option, text, f"{part!r} is not a number", mend)
    return value


def _range(text: str | None) -> tuple[float | None, float | None]:
    from validators.calphad.diagrams.columns import require_range

    if text is None:
        return None, None
    mend = "give it as LOW:HIGH in K, as in 600:3200"
    parts = text.split(":")
    if len(parts) != 2:
        raise InputError("--range", text, "is not two temperatures", mend)
    low, high = (_number(part, "--range", text, mend) for part in parts)
    return require_range(low, high, "--range")


def _require_solidifies(alloy: Composition, database: CalphadDatabase) -> None:
    from validators.calphad.solidus import require_liquid

    require_liquid(database, mend="drop --scheil, or use another database")
    if len(alloy.elements) == 1:
        raise InputError(
            "--scheil",
            alloy.formula,
            "is one element, which freezes at one temperature",
            "give an alloy, or --solidus",
        )


def _require_writable(folder: Path) -> None:
    """Make the folder and write to it, before anything is computed: only that tells that files will go there.

    Permissions alone do not: of what the system refuses to hold, they know nothing.
    """
    mend = "name a folder that can be written to"
    if folder.exists() and not folder.is_dir():
        raise InputError("--out", str(folder), "is a file", mend)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".hea-loop-"):
            pass
    except OSError as error:
        raise InputError("--out", str(folder), f"cannot be written to ({error.strerror})", mend) from None
