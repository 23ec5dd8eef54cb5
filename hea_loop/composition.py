"""Compositions: the identity of a material, distances, and formulas as the field prints them.

A composition is a point on the simplex. Here it *is* its identity: integer counts of 1/1000 of an atom per
atom (0.1 at.%) that sum to exactly 1000, so that the order of elements, a common factor or the noise of
floating point never make a second material. Why 0.1 at.%: of the 1,035 distinct compositions as written in
the literature collection, 0.1 at.% keeps 1,031 apart, and each of the four pairs it merges is one alloy in
different numbers of digits (Nb30Ti30Al20Ta10Zr10 and Nb30Ti30Al20.01Ta9.99Zr9.99). A grid twice as fine
(1,030) separates none of these; 0.25 at.% (1,027), 0.5 at.% (1,021) and 1 at.% (1,010) begin to merge
alloys that their authors meant to differ, and would drop the stated additions of 0.1 to 0.4 at.% of C, B, Y
and Si.

The price of exactly 1000 parts: of three equal thirds one has 334 parts, always the first in the alphabet.
Where closeness matters, ask :meth:`Composition.distance`, not the key.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, Literal

from hea_loop.errors import InputError

__all__ = ["EXAMPLE", "RESOLUTION", "Composition", "Unit", "atomic_masses", "require_element"]

RESOLUTION: Final = 1000
"""Parts per atom that a material's identity resolves: 1000 is 0.1 at.%."""

Unit = Literal["at.%", "wt.%"]

_NOISE_DIGITS: Final = 8
"""Decimals of a part that count: floating-point noise (1e-12 of an atom is 1e-9 of a part) lies below."""

EXAMPLE: Final = "write for example HfNbTaTiZr, Nb47Ti22Si16Mo15 or 'Ti-6Al-4V wt.%'"
"""The mend of most errors about a composition."""


@lru_cache(maxsize=1)
def atomic_masses() -> dict[str, float]:
    """Symbols of the chemical elements and their standard atomic weights in g/mol, from pymatgen.

    pymatgen is imported at the first call (a few tenths of a second) and never again.
    """
    from pymatgen.core import Element

    # deuterium and tritium are listed as elements by pymatgen; nobody alloys them
    return {e.symbol: float(e.atomic_mass) for e in Element if e.symbol not in {"D", "T"}}


def require_element(symbol: str, field: str, value: object) -> None:
    """Refuse what is no symbol of a chemical element.

    Args:
        symbol: The symbol to look up.
        field: The name the error gives to what was read.
        value: What was read, for the error.

    Raises:
        InputError: There is no such element; the mend names near ones.
    """
    if symbol in atomic_masses():
        return
    import difflib

    near = difflib.get_close_matches(symbol, atomic_masses(), n=2, cutoff=0.5)
    mend = (
        f"did you mean {' or '.join(near)}?"
        if near
        else "use the symbols of the periodic table, as in HfNbTaTiZr"
    )
    raise InputError(field, value, f"{symbol!r} is not a chemical element", mend)


@dataclass(frozen=True, slots=False, order=True)
class Composition:
    """A composition at the resolution at which materials are told apart.

    Attributes:
        parts: ``(element, parts)`` sorted by symbol; the parts are positive integers that sum to
            ``RESOLUTION``. Equality and hash are those of the material.
    """

    parts: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        total = sum(n for _, n in self.parts)
        symbols = [e for e, _ in self.parts]
        if total != RESOLUTION or any(n <= 0 for _, n in self.parts) or symbols != sorted(set(symbols)):
            raise InputError(
                "parts",
                self.parts,
                f"are not sorted positive parts that sum to {RESOLUTION}",
                "build compositions with parse_composition() or Composition.from_amounts()",
            )

    @classmethod
    def from_amounts(
        cls, amounts: Mapping[str, float], *, unit: Unit = "at.%", field: str = "composition"
    ) -> Composition:
        """Round amounts of any common scale to a composition.

        Rounding is by largest remainder: every amount is rounded down to the resolution and the parts still
        missing go to the largest remainders (ties in alphabetical order), so that the sum is exact. An
        element left with no part is below the resolution and drops out.

        Args:
            amounts: Element symbol to amount, in atoms or in mass as ``unit`` says; any common factor.
            unit: ``at.%`` for atoms or moles, ``wt.%`` for mass.
            field: The name the error gives to what was read.

        Raises:
            InputError: An unknown element; a negative, zero or non-finite amount; nothing at all.
        """
        shown = dict(amounts)
        if not amounts:
            raise InputError(field, shown, "has no element", EXAMPLE)
        for symbol, amount in amounts.items():
            require_element(symbol, field, shown)
            try:
                finite = math.isfinite(amount)
            except TypeError:
                raise InputError(
                    field, shown, f"the amount of {symbol} is no number", "give a number above zero"
                ) from None
            if not finite:
                raise InputError(
                    field, shown, f"the amount of {symbol} is not finite", "give a number above zero"
                )
            if amount < 0:
                raise InputError(
                    field, shown, f"the amount of {symbol} is negative", "give a number above zero"
                )
            if amount == 0:
                raise InputError(
                    field,
                    shown,
                    f"the amount of {symbol} is zero",
                    f"leave {symbol} out or give a number above zero",
                )
        largest = max(amounts.values())
        atoms = {e: a / largest for e, a in amounts.items()}
        if unit == "wt.%":
            atoms = {e: a / atomic_masses()[e] for e, a in atoms.items()}
        return cls._round(atoms)

    @classmethod
    def from_fractions(cls, elements: Iterable[str], fractions: Iterable[float]) -> Composition:
        """Round one row of a fraction array; zeros are left out.

        Args:
            elements: Symbols, one per fraction.
            fractions: Atomic fractions, each at least zero, of any common scale.
        """
        return cls.from_amounts({e: float(x) for e, x in zip(elements, fractions, strict=True) if x != 0})

    @classmethod
    def _round(cls, atoms: Mapping[str, float]) -> Composition:
        total = math.fsum(atoms.values())
        exact = {e: round(a / total * RESOLUTION, _NOISE_DIGITS) for e, a in atoms.items()}
        parts = {e: math.floor(x) for e, x in exact.items()}
        # Rounding of noise moves the sum by far less than a part, so 0 <= missing < number of elements.
        missing = RESOLUTION - sum(parts.values())
        order = sorted(exact, key=lambda e: (-round(exact[e] - parts[e], _NOISE_DIGITS), e))
        for e in order[:missing]:
            parts[e] += 1
        return cls(tuple(sorted((e, n) for e, n in parts.items() if n > 0)))

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols in alphabetical order."""
        return tuple(e for e, _ in self.parts)

    @cached_property
    def fractions(self) -> dict[str, float]:
        """Atomic fraction of each element, dimensionless."""
        return {e: n / RESOLUTION for e, n in self.parts}

    @property
    def key(self) -> str:
        """The identity key of the material, as ``Hf:200 Nb:800`` in parts per thousand atoms."""
        return " ".join(f"{e}:{n}" for e, n in self.parts)

    @classmethod
    def from_key(cls, key: str) -> Composition:
        """Return the composition that has this identity key.

        Raises:
            InputError: The text is no key.
        """
        pairs = [item.partition(":") for item in key.split()]
        if not pairs or not all(sep and n.isdigit() for _, sep, n in pairs):
            raise InputError("key", key, "is not an identity key", "keys look like 'Hf:200 Nb:800'")
        return cls(tuple((e, int(n)) for e, _, n in pairs))

    def fraction_vector(self, elements: Iterable[str]) -> list[float]:
        """Atomic fractions in the order of ``elements``; zero for one that is absent.

        Raises:
            InputError: The composition has an element that is not listed.
        """
        listed = tuple(elements)
        extra = sorted(set(self.elements) - set(listed))
        if extra:
            raise InputError(
                "composition", self.formula, f"contains {', '.join(extra)}", f"use only {', '.join(listed)}"
            )
        return [self.fractions.get(e, 0.0) for e in listed]

    def distance(self, other: Composition) -> float:
        """Total-variation distance, half the sum of |x_i - y_i|: the fraction of atoms to exchange.

        Returns:
            A number from 0 (the same material) to 1 (no element in common).
        """
        mine, theirs = dict(self.parts), dict(other.parts)
        return sum(abs(mine.get(e, 0) - theirs.get(e, 0)) for e in mine.keys() | theirs.keys()) / (
            2 * RESOLUTION
        )

    @cached_property
    def formula(self) -> str:
        """The formula as the field writes it, elements in alphabetical order.

        Mole ratios where they are short (``HfNbTaTiZr``, ``CrMo0.5NbTa0.5TiZr``), else atomic percent
        (``Mo15Nb47Si16Ti22``). Parsing the formula gives the same material.
        """
        counts = [n for _, n in self.parts]
        if len(counts) == 1:
            return self.parts[0][0]
        for base in sorted(set(counts), key=lambda n: (-counts.count(n), -n)):
            for decimals in (0, 1, 2):
                ratios = [round(n / base, decimals) for n in counts]
                if 0 in ratios or max(ratios) > 5:
                    continue
                # only ratios that people write: multiples of 0.1 or of 0.25
                if any(
                    abs(r * 10 - round(r * 10)) > 1e-9 and abs(r * 4 - round(r * 4)) > 1e-9 for r in ratios
                ):
                    continue
                amounts = dict(zip(self.elements, ratios, strict=True))
                if counts.count(base) > 1 and Composition._round(amounts) == self:
                    return "".join(f"{e}{'' if r == 1 else format(r, 'g')}" for e, r in amounts.items())
        return "".join(f"{e}{format(n * 100 / RESOLUTION, 'g')}" for e, n in self.parts)

    @property
    def system(self) -> str:
        """The alloy system, ``Hf-Nb-Ta``."""
        return "-".join(self.elements)

    def to_pymatgen(self) -> Any:
        """Return the pymatgen Composition, for everything that pymatgen knows."""
        from pymatgen.core import Composition as PymatgenComposition

        return PymatgenComposition(self.fractions)

    def __str__(self) -> str:
        return self.formula
