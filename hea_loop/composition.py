"""Compositions: what people write, the identity of a material, distances, and formulas as the field prints them.

A composition is a point on the simplex. Here it *is* its identity: integer counts of 1/1000 of an atom per
atom (0.1 at.%) that sum to exactly 1000, so that the order of elements, a common factor or the noise of
floating point never make a second material. Why 0.1 at.%: of the 1,035 distinct compositions in the packaged
literature, rounding to 0.1 at.% keeps 1,029 apart, and the six it merges are one alloy written with different
numbers of digits (16.67 and 16.7); 0.5 at.% (1,021) and 1 at.% (1,013) begin to merge alloys that their
authors meant to differ, and would drop the stated additions of 0.1 to 0.4 at.% of C, B, Y and Si.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, Literal

from hea_loop.errors import InputError

__all__ = ["RESOLUTION", "Composition", "parse_composition"]

RESOLUTION: Final = 1000
"""Parts per atom that a material's identity resolves: 1000 is 0.1 at.%."""

Unit = Literal["at.%", "wt.%"]

_NOISE_DIGITS: Final = 9  # floating-point noise lies below this digit of a part; a person's digits above it
_SUBSCRIPTS: Final = str.maketrans("₀₁₂₃₄₅₆₇₈₉．﹒", "0123456789..")
_UNIT_PATTERN: Final = re.compile(
    r"[\s,;(\[]*(?<![A-Za-z])(?P<kind>at|atom|atomic|mol|wt|mass|weight)\s*\.?\s*(?:%|pct\.?|percent)[\s)\]]*",
    re.IGNORECASE,
)
_UNITS: Final[dict[str, Unit]] = {
    "at": "at.%",
    "atom": "at.%",
    "atomic": "at.%",
    "mol": "at.%",
    "wt": "wt.%",
    "mass": "wt.%",
    "weight": "wt.%",
}
_BALANCE: Final = re.compile(r"\b(?:bal|balance|rem)\b\.?", re.IGNORECASE)
_AMOUNT: Final = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_EXAMPLE: Final = "write for example HfNbTaTiZr, Nb47Ti22Si16Mo15 or 'Ti-6Al-4V wt.%'"


@lru_cache(maxsize=1)
def _known_elements() -> dict[str, float]:
    """Symbols of the real elements and their standard atomic weights in g/mol (pymatgen)."""
    from pymatgen.core import Element

    # deuterium and tritium are listed as elements by pymatgen; nobody alloys them
    return {e.symbol: float(e.atomic_mass) for e in Element if e.symbol not in {"D", "T"}}


def _require_element(symbol: str, field: str, value: object) -> None:
    if symbol in _known_elements():
        return
    import difflib

    near = difflib.get_close_matches(symbol, _known_elements(), n=2, cutoff=0.5)
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
        missing go to the largest remainders (ties in alphabetical order), so that the sum is exact. An element
        below half a part is not resolved and drops out.

        Args:
            amounts: Element symbol to amount, in atoms or in mass as ``unit`` says; any common factor.
            unit: ``at.%`` for atoms or moles, ``wt.%`` for mass.
            field: The name the error gives to what was read.

        Raises:
            InputError: An unknown element; a negative, zero or non-finite amount; nothing at all.
        """
        shown = dict(amounts)
        if not amounts:
            raise InputError(field, shown, "has no element", _EXAMPLE)
        for symbol, amount in amounts.items():
            _require_element(symbol, field, shown)
            if not math.isfinite(amount):
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
            atoms = {e: a / _known_elements()[e] for e, a in atoms.items()}
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
        floor = {e: math.floor(x) for e, x in exact.items()}
        missing = RESOLUTION - sum(floor.values())
        # Remainders are compared at a hundredth of a part, so that 16.67 and 1/6 round alike.
        order = sorted(exact, key=lambda e: (-round(exact[e] - floor[e], 2), e))
        while missing > 0:
            for e in order[:missing]:
                floor[e] += 1
            missing = RESOLUTION - sum(floor.values())
        # Noise rounding can lift the sum of floors by at most a part: take it from the smallest remainder.
        for e in reversed(order[len(order) + missing :] if missing < 0 else []):
            floor[e] -= 1
        return cls(tuple(sorted((e, n) for e, n in floor.items() if n > 0)))

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
        """Total-variation distance, half the sum of |x_i - y_i|: the atomic fraction that has to be exchanged.

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


def _fail(text: str, problem: str, mend: str = _EXAMPLE, *, field: str) -> InputError:
    return InputError(field, text, problem, mend)


def _take_unit(text: str, unit: Unit | None, field: str) -> tuple[str, Unit | None]:
    found = {_UNITS[m["kind"].lower()] for m in _UNIT_PATTERN.finditer(text)}
    if len(found) > 1 or (found and unit is not None and found != {unit}):
        raise _fail(text, "is given in two units", "say at.% or wt.%, once", field=field)
    rest = _UNIT_PATTERN.sub(" ", text)
    return rest, (found.pop() if found else unit)


def _sum_of_top_level(formula: str) -> float:
    """Sum of the amounts outside all brackets, a bracketed group counting with its own amount."""
    depth, flat = 0, ""
    for char in formula:
        depth -= char in ")]}"
        if depth == 0:
            flat += "X" if char in ")]}" else char
        if char in "([{":
            flat = flat[:-1] if depth == 0 else flat
            depth += 1
    return sum(float(m[1] or 1) for m in re.finditer(rf"[A-Z][a-z]?({_AMOUNT})?", flat))


def _group_amounts(formula: str, text: str, field: str) -> dict[str, float]:
    """Amounts of a bracketed formula.

    In alloys, ``(NbTa)80W20`` means that Nb and Ta share 80 of 100 atoms; in chemistry a bracket multiplies.
    The alloy reading holds where the amounts outside the brackets sum to 100 (or to 1), the chemical one
    elsewhere.
    """
    total = _sum_of_top_level(formula)
    shared = any(abs(total - whole) < 1e-6 * whole for whole in (1.0, 100.0))
    stack: list[dict[str, float]] = [{}]
    position = 0
    token = re.compile(
        rf"(?P<open>[(\[{{])|(?P<close>[)\]}}])(?P<factor>{_AMOUNT})?|(?P<el>[A-Z][a-z]?)(?P<n>{_AMOUNT})?"
    )
    while position < len(formula):
        match = token.match(formula, position)
        if match is None:
            raise _fail(text, f"cannot be read at {formula[position : position + 12]!r}", field=field)
        position = match.end()
        if match["open"]:
            stack.append({})
        elif match["close"]:
            if len(stack) == 1:
                raise _fail(text, "closes a bracket that was not opened", "balance the brackets", field=field)
            group = stack.pop()
            if not group:
                raise _fail(text, "has an empty bracket", "remove it or fill it", field=field)
            factor = float(match["factor"] or 1)
            if shared and len(stack) == 1:
                factor /= math.fsum(group.values())
            for e, n in group.items():
                stack[-1][e] = stack[-1].get(e, 0.0) + n * factor
        else:
            _require_element(match["el"], field, text)
            if match["n"] is not None and float(match["n"]) == 0:
                raise _fail(
                    text, f"the amount of {match['el']} is zero", f"leave {match['el']} out", field=field
                )
            stack[-1][match["el"]] = stack[-1].get(match["el"], 0.0) + float(match["n"] or 1)
    if len(stack) > 1:
        raise _fail(text, "has an open bracket", "balance the brackets", field=field)
    return stack[0]


def _with_balance(body: str, text: str, field: str) -> dict[str, float]:
    """``Al10 Cr5 Nb bal``: the element beside ``bal`` takes what is missing to 100."""
    spaced = re.sub(r"[,;:=_\-]+", " ", body)
    match = re.search(
        r"(?:(?P<before>[A-Z][a-z]?)\s*)?\b?(?:bal|balance|rem)\b\.?\s*(?P<after>[A-Z][a-z]?(?![a-z\d.]))?",
        spaced,
    )
    symbol = match and (match["before"] or match["after"])
    if match is None or not symbol:
        raise _fail(
            text,
            "says balance of no element",
            "write the element beside it, as in 'Al10 Cr5 Nb bal'",
            field=field,
        )
    start = match.start()
    end = match.end("after") if not match["before"] and match["after"] else match.end()
    if match["before"]:
        # what follows 'bal' belongs to the next element
        end = (
            spaced.find("bal", match.end("before"))
            if "bal" in spaced[match.end("before") : match.end()]
            else match.end()
        )
        end = re.compile(r"(?:balance|bal|rem)\.?").match(spaced, end).end() if end < match.end() else end  # type: ignore[union-attr]
    rest = (spaced[:start] + " " + spaced[end:]).replace(" ", "")
    if re.search(r"(?:bal|rem)", rest):
        raise _fail(text, "has two balances", "only one element can take what is missing to 100", field=field)
    amounts = _group_amounts(rest, text, field) if rest else {}
    if symbol in amounts:
        raise _fail(text, f"gives {symbol} twice", f"give {symbol} an amount or the balance", field=field)
    _require_element(symbol, field, text)
    missing = 100 - math.fsum(amounts.values())
    if missing <= 0:
        raise _fail(
            text,
            f"leaves nothing for the balance: the others sum to {100 - missing:g}",
            "amounts are in percent",
            field=field,
        )
    return {**amounts, symbol: missing}


def _hyphenated(body: str, text: str, unit: Unit | None, field: str) -> dict[str, float] | None:
    """``Ti-6Al-4V``: base first without amount, numbers before symbols."""
    items = [item.strip() for item in body.strip().split("-")]
    if len(items) < 2 or not re.fullmatch(r"[A-Z][a-z]?", items[0]):
        return None
    matches = [re.fullmatch(rf"({_AMOUNT})\s*([A-Z][a-z]?)", item) for item in items[1:]]
    if not all(matches):
        return None
    if unit is None:
        raise _fail(
            text,
            "is a hyphenated alloy name without a unit",
            f"write '{text.strip()} wt.%' or '{text.strip()} at.%'",
            field=field,
        )
    amounts: dict[str, float] = {}
    for match in matches:
        assert match is not None  # noqa: S101 - checked by all() above
        _require_element(match[2], field, text)
        if match[2] in amounts or match[2] == items[0]:
            raise _fail(text, f"gives {match[2]} twice", "give each element once", field=field)
        amounts[match[2]] = float(match[1])
    rest = 100 - math.fsum(amounts.values())
    if rest <= 0:
        raise _fail(text, f"leaves nothing for {items[0]}", "amounts are in percent", field=field)
    return {items[0]: rest, **amounts}


def parse_composition(text: str, *, unit: Unit | None = None, field: str = "composition") -> Composition:
    """Read a composition as people write it.

    Understood are mole ratios (``HfNbTaTiZr``, ``Hf0.5Nb0.5Ta0.5Ti1.5Zr``), percent (``Nb47 Ti22 Si16 Mo15``),
    bracketed groups (``(NbTa)80W20``: Nb and Ta share 80 of 100 atoms), a balance (``Al10 Cr5 Nb bal``),
    hyphenated names with their unit (``Ti-6Al-4V wt.%``), subscripts, and separators (blank, comma, colon, equals
    sign, underscore, hyphen). Atoms are meant unless ``wt.%`` is said, in the text or by ``unit``.

    Args:
        text: What was written.
        unit: ``at.%`` or ``wt.%``; None takes it from the text, and atoms where that is silent.
        field: The name the error gives to what was read.

    Raises:
        InputError: The text cannot be read, or does not name a composition.
    """
    if not isinstance(text, str):
        raise InputError(field, text, "is not a text", _EXAMPLE)
    if unit not in {None, "at.%", "wt.%"}:
        raise InputError("unit", unit, "is not a unit of composition", "use at.% or wt.%")
    if not text.strip():
        raise _fail(text, "is empty", field=field)
    body, stated = _take_unit(text.translate(_SUBSCRIPTS), unit, field)
    if re.search(r"\b(nan|inf|infinity)\b", body, re.IGNORECASE) and not re.fullmatch(
        r"[A-Z][A-Za-z\d.\s]*", body
    ):
        raise _fail(text, "has an amount that is not finite", "give numbers above zero", field=field)
    if re.search(
        r"(?:[A-Z][a-z]?|[\s,:=(\[])[-−–]\s*\d+(?:\.\d+)?\s*(?=$|[A-Z\s,;)\]])(?![A-Z][a-z]?(?:-|$))", body
    ) and not re.match(r"\s*[A-Z][a-z]?-\d", body):
        raise _fail(text, "has a negative amount", "give numbers above zero", field=field)
    effective: Unit = stated or "at.%"
    amounts = _hyphenated(body, text, stated, field)
    if amounts is None and _BALANCE.search(re.sub(r"([a-z])(bal|rem)", r"\1 \2", body)):
        amounts = _with_balance(re.sub(r"([A-Za-z])(bal|rem)\b", r"\1 \2", body), text, field)
    if amounts is None:
        joined = re.sub(r"[\s,;:=_%·*\-]+", "", body)
        if not joined or not re.search(r"[A-Za-z]", joined):
            raise _fail(text, "names no element", field=field)
        amounts = _group_amounts(joined, text, field)
    return _finish(amounts, text, effective, field)


def _finish(amounts: Mapping[str, float], text: str, unit: Unit, field: str) -> Composition:
    try:
        return Composition.from_amounts(amounts, unit=unit, field=field)
    except InputError as error:
        raise InputError(field, text, error.problem, error.mend) from None
