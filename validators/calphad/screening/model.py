"""The compound-energy models of a pycalphad database, translated to arrays.

The semantics are those of ``pycalphad.Model`` (0.11): Redlich-Kister terms of any order in the order of the
constituents as they are written; a ternary parameter that stands alone with order 0 is symmetric, otherwise
its order is the index of a constituent, whose fraction gets Muggianu's correction (Hillert, Calphad 4 (1980)
1, doi 10.1016/0364-5916(80)90016-4); reciprocal parameters of order 1 and 2 belong to the second and the first
of the two mixing sublattices; magnetism after Inden, Hillert and Jarl.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from hea_loop.errors import InputError
from validators.calphad.database import CalphadDatabase
from validators.calphad.screening.polynomial import Form, Product, canonical
from validators.calphad.screening.temperature import TemperatureProgram, UnknownExpression

__all__ = ["NotVectorisable", "PhaseTerms", "Sublattice", "Translation"]

_ENERGY: Final = frozenset({"G", "L"})
_MAGNETIC: Final = frozenset({"TC", "BMAGN"})
# mobilities and diffusion: they are no part of the Gibbs energy
_IGNORED: Final = frozenset({"MQ", "MF", "DQ", "DF", "VS", "BMAG"})
_MAGNETIC_HINTS: Final = frozenset({"ihj_magnetic_afm_factor", "ihj_magnetic_structure_factor"})


Terms = dict[Product, list[tuple[int, float]]]
"""Products of linear forms, each with the rows of the parameter table that multiply it and their signs."""


class NotVectorisable(InputError):  # noqa: N818 - it names what is the matter
    """A phase or parameter of a database that screening has no arrays for: the confirming tier answers."""

    def __init__(self, database: str, problem: str) -> None:
        super().__init__("database", database, f"cannot be screened: {problem}", "use the tier confirm")
        self._arguments = (database, problem)

    def __reduce__(self) -> tuple[type[NotVectorisable], tuple[str, str]]:  # type: ignore[override]
        return type(self), self._arguments


@dataclass(frozen=True, slots=True)
class Sublattice:
    """A sublattice on which constituents mix: sites per formula unit, their names, its slice of y."""

    sites: float
    constituents: tuple[str, ...]
    start: int

    @property
    def stop(self) -> int:
        """End of its slice."""
        return self.start + len(self.constituents)


@dataclass(frozen=True, slots=True)
class PhaseTerms:
    """One phase for one set of elements.

    Attributes:
        name: The phase.
        mixing: Sublattices with two constituents or more.
        fixed: Sites per formula unit of each element on a sublattice of its own.
        layout: Per sublattice of the database the mixing one, None where a constituent is alone.
        energy: Reference and excess energy, J per mole of formula units: each product of linear forms with
            the rows of the parameters that multiply it, and their signs.
        curie: Curie temperature, K; empty without a magnetic model.
        moment: Mean magnetic moment, Bohr magnetons; likewise.
        afm_factor: What divides negative Curie temperatures and moments.
        structure_factor: The p of the magnetic model.
    """

    name: str
    mixing: tuple[Sublattice, ...]
    fixed: dict[str, float]
    layout: tuple[Sublattice | None, ...]
    energy: Terms
    curie: Terms = field(default_factory=dict)
    moment: Terms = field(default_factory=dict)
    afm_factor: float = -1.0
    structure_factor: float = 0.4

    @property
    def dof(self) -> int:
        """Number of site fractions that are free."""
        return self.mixing[-1].stop if self.mixing else 0


@dataclass(slots=True)
class _Parameter:
    constituents: tuple[tuple[str, ...], ...]
    order: int
    kind: str
    row: int
    alone: bool  # no other order of the same constituents: a ternary of order 0 is then symmetric


@dataclass(slots=True)
class _Phase:
    sites: tuple[float, ...]
    constituents: tuple[frozenset[str], ...]
    afm_factor: float | None
    structure_factor: float | None
    parameters: list[_Parameter] = field(default_factory=list)
    refused: list[tuple[frozenset[str], str]] = field(default_factory=list)  # elements needed, why


class Translation:
    """A database, translated once: one program for all coefficients, and the phases that use it.

    What cannot be translated is remembered and refused when it is needed for a set of elements.

    Args:
        database: From :func:`validators.calphad.load_database`.
    """

    def __init__(self, database: CalphadDatabase) -> None:
        from pycalphad.core.utils import wrap_symbol

        self.name = database.name
        self._parsed = database.parsed
        self.program = TemperatureProgram({wrap_symbol(k): e for k, e in database.parsed.symbols.items()})
        self._phases = {name: self._phase(name) for name in database.phases}
        self._read_parameters()

    def _phase(self, name: str) -> _Phase:
        phase = self._parsed.phases[name]
        hints = dict(phase.model_hints)
        refused = []
        if hints.get("ordered_phase") == name:
            refused.append(
                (frozenset[str](), f"an order-disorder model with {hints.get('disordered_phase')}")
            )
        refused += [
            (frozenset[str](), f"the model {hint}")
            for hint in ("ionic_liquid_2SL", "mqmqa")
            if hints.get(hint)
        ]
        if hints.get("ihj_magnetic_afm_factor") == 0:
            refused.append((frozenset[str](), "the magnetic model of Xiong"))
        try:
            sites = tuple(float(s) for s in phase.sublattices)
        except (TypeError, ValueError, RuntimeError):
            sites = tuple(1.0 for _ in phase.sublattices)
            refused.append((frozenset[str](), "site ratios that are not constant"))
        for sublattice in phase.constituents:
            refused += [
                (frozenset(s.constituents) - {"VA"}, f"the species {s.name}")
                for s in sublattice
                if s.charge != 0 or not (s.name == "VA" or dict(s.constituents) == {s.name: 1.0})
            ]
        magnetic = set(hints) >= _MAGNETIC_HINTS
        return _Phase(
            sites,
            tuple(frozenset(s.name for s in sublattice) for sublattice in phase.constituents),
            float(hints["ihj_magnetic_afm_factor"]) if magnetic else None,
            float(hints["ihj_magnetic_structure_factor"]) if magnetic else None,
            refused=refused,
        )

    def _read_parameters(self) -> None:
        rows: list[tuple[str, tuple[tuple[str, ...], ...], int, str, Any]] = []
        count: dict[Any, int] = {}
        for p in self._parsed._parameters:  # noqa: SLF001 - tinydb's table; `search` copies it for every query
            if p["phase_name"] not in self._phases:
                continue
            constituents = tuple(tuple(s.name for s in sublattice) for sublattice in p["constituent_array"])
            kind = p["parameter_type"]
            rows.append((p["phase_name"], constituents, p["parameter_order"], kind, p["parameter"]))
            key = (p["phase_name"], constituents, kind)
            count[key] = count.get(key, 0) + 1
        for name, constituents, order, kind, expression in rows:
            phase = self._phases[name]
            needed = frozenset(c for s in constituents for c in s) - {"VA", "*"}
            if kind in _IGNORED:
                continue
            if kind in _MAGNETIC and phase.afm_factor is None:
                continue  # as pycalphad: without a magnetic model these are not used
            if kind not in _ENERGY | _MAGNETIC:
                phase.refused.append((needed, f"a parameter of the type {kind}"))
                continue
            try:
                row = self.program.add(expression)
            except UnknownExpression as reason:
                phase.refused.append((needed, f"a {kind} parameter of {', '.join(needed)} with {reason}"))
                continue
            alone = count[name, constituents, kind] == 1
            phase.parameters.append(_Parameter(constituents, order, kind, row, alone))

    def ordered_upon(self, disordered: str, names: Iterable[str]) -> str:
        """The phase among these whose disordered part another one is; empty where there is none."""
        hints = ((name, self._parsed.phases[name].model_hints) for name in names)
        return next((name for name, hint in hints if hint.get("disordered_phase") == disordered), "")

    def phase_names(self, elements: Iterable[str]) -> tuple[str, ...]:
        """The phases that these elements can form, as pycalphad chooses them."""
        from pycalphad import variables as v
        from pycalphad.core.utils import filter_phases

        species = [v.Species(e.upper()) for e in (*elements, "VA")]
        return tuple(sorted(filter_phases(self._parsed, species)))

    def terms(self, name: str, elements: Iterable[str]) -> PhaseTerms:
        """One phase for one set of elements (``Nb`` or ``NB``).

        Raises:
            NotVectorisable: It has a model or a parameter that is not translated.
        """
        phase = self._phases[name]
        active = {e.upper() for e in elements} | {"VA"}
        for needed, why in phase.refused:
            if needed <= active:
                raise NotVectorisable(self.name, f"the phase {name} has {why}")
        mixing: list[Sublattice] = []
        fixed: dict[str, float] = {}
        layout: list[Sublattice | None] = []
        place: list[tuple[dict[str, int], str]] = []  # per sublattice: index of y, or the only constituent
        for sites, constituents in zip(phase.sites, phase.constituents, strict=True):
            present = tuple(sorted(constituents & active))
            if len(present) == 1:
                if present[0] != "VA":
                    fixed[present[0]] = fixed.get(present[0], 0.0) + sites
                place.append(({}, present[0]))
                layout.append(None)
                continue
            start = mixing[-1].stop if mixing else 0
            mixing.append(Sublattice(sites, present, start))
            layout.append(mixing[-1])
            place.append(({c: start + i for i, c in enumerate(present)}, ""))
        terms: dict[str, Terms] = {"G": {}, "TC": {}, "BMAGN": {}}
        for p in phase.parameters:
            if not _applies(p, place):
                continue
            interacting = any(len(s) > 1 for s in p.constituents)
            if p.kind in _ENERGY and not interacting and (p.kind != "G" or p.order != 0):
                continue  # pycalphad takes end-members from G of order 0 only
            kind = "G" if p.kind == "L" else p.kind
            for factors in self._factors(p, place, name):
                sign, product = canonical(factors)
                terms[kind].setdefault(product, []).append((p.row, sign))
        magnetic = bool(terms["TC"] and terms["BMAGN"])
        return PhaseTerms(
            name,
            tuple(mixing),
            fixed,
            tuple(layout),
            terms["G"],
            terms["TC"] if magnetic else {},
            terms["BMAGN"] if magnetic else {},
            phase.afm_factor or -1.0,
            phase.structure_factor or 0.4,
        )

    def _factors(self, p: _Parameter, place: list[tuple[dict[str, int], str]], name: str) -> list[Product]:
        """The products of linear forms that one parameter multiplies."""
        base: list[Form] = []
        mixing = [k for k, s in enumerate(p.constituents) if len(s) > 1]
        described = (
            f"the phase {name} has a parameter {':'.join(','.join(s) for s in p.constituents)};{p.order}"
        )
        if len(mixing) > 1 and max(len(s) for s in p.constituents) > 2:
            raise NotVectorisable(self.name, f"{described}, ternary on one of several mixing sublattices")
        if (len(mixing) == 2 and p.order > 2) or (len(mixing) > 2 and p.order > 0):
            raise NotVectorisable(self.name, f"{described}, reciprocal of an order without a meaning")
        ternary: list[Form] = []
        for k, constituents in enumerate(p.constituents):
            index, _ = place[k]
            if constituents[0] == "*" or not index:
                continue  # the fractions of a sublattice sum to one
            y = [index[c] for c in constituents]
            base += [(((i, 1.0),), 0.0) for i in y]
            if len(y) == 2 and p.order > 0:
                difference: Form = (((y[0], 1.0), (y[1], -1.0)), 0.0)
                if len(mixing) == 1:
                    base += [difference] * p.order
                elif k == mixing[-p.order]:
                    base.append(difference)
            if len(y) == 3:
                if p.order > 2:
                    raise NotVectorisable(self.name, f"{described}, ternary of an order above 2")
                ternary = [_muggianu(y, i) for i in range(3)]
                ternary = ternary if p.order == 0 and p.alone else [ternary[p.order]]
        return [(*base, t) for t in ternary] if ternary else [tuple(base)]


def _applies(p: _Parameter, place: list[tuple[dict[str, int], str]]) -> bool:
    """Whether all constituents of a parameter are there."""
    if len(p.constituents) != len(place):
        return False
    return all(
        constituents[0] == "*" or all(c in index or c == only for c in constituents)
        for constituents, (index, only) in zip(p.constituents, place, strict=True)
    )


def _muggianu(y: list[int], chosen: int) -> Form:
    third = 1.0 / 3.0
    return tuple((i, (1.0 if k == chosen else 0.0) - third) for k, i in enumerate(y)), third
