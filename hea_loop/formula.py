"""Formulas: reading compositions as people write them, by a tokenizer and a small recursive parser.

The grammar, with separators (blank, comma, semicolon, colon, equals sign, underscore, middle dot, asterisk,
hyphen) allowed between any two tokens::

    formula  = name | sequence
    name     = ELEMENT ("-" NUMBER ELEMENT)+              Ti-6Al-4V: only with a unit
    sequence = item+                                      at the top one item may be a balance
    item     = ELEMENT [NUMBER] | "(" sequence ")" [NUMBER] | ELEMENT BALANCE | BALANCE ELEMENT

pymatgen knows the elements, their weights and what follows from a composition; its own formula parser is not
used, because it reads chemistry: in ``(NbTa)80W20`` it multiplies Nb and Ta by 80 each (Nb80Ta80W20 where the
alloy is Nb40Ta40W20), and it knows neither balance, nor weight percent, nor hyphenated names, nor why a text
is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NoReturn

from hea_loop.composition import EXAMPLE, Composition, Unit, atomic_masses, require_element
from hea_loop.errors import InputError

__all__ = ["parse_composition"]

_SUBSCRIPTS: Final = str.maketrans("₀₁₂₃₄₅₆₇₈₉．﹒−–—‐‑", "0123456789..-----")
_BALANCE_WORD: Final = r"(?:[Bb]alance|[Bb]al|[Rr]emainder|[Rr]em)(?![a-z])"
_TOKEN: Final = re.compile(
    rf"(?P<gap>[\s,;:=_·*%]+)|(?P<balance>{_BALANCE_WORD}\.?)"
    # 'Wbal' is W and bal, not Wb and al
    rf"|(?P<element>[A-Z](?:[a-z](?={_BALANCE_WORD})|(?={_BALANCE_WORD})|[a-z]?))"
    r"|(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<hyphen>-)"
)
_UNIT_WORD: Final = r"(?<![A-Za-z])(?P<{}>at|atom|atomic|mol|wt|mass|weight)\s*\.?\s*(?:%|pct\b\.?|percent\b)"
_UNIT_PATTERN: Final = re.compile(
    rf"\(\s*{_UNIT_WORD.format('round')}\s*\)|\[\s*{_UNIT_WORD.format('square')}\s*\]"
    rf"|{_UNIT_WORD.format('bare')}",
    re.IGNORECASE,
)
_NOT_FINITE: Final = re.compile(r"(?<![A-Za-z0-9])(?:nan|inf|infinity)(?![A-Za-z0-9])", re.IGNORECASE)
_MASS_WORDS: Final = frozenset({"wt", "mass", "weight"})
_BRACKETS: Final = {")": "(", "]": "[", "}": "{"}
_TRADE_NAMES: Final = {
    "C103": "Nb-10Hf-1Ti",
    "C129Y": "Nb-10W-10Hf-0.1Y",
    "CB752": "Nb-10W-2.5Zr",
    "FS85": "Nb-28Ta-10W-1Zr",
    "WC3015": "Nb-30Hf-15W",
    "TZM": "Mo-0.5Ti-0.08Zr",
    "T111": "Ta-8W-2Hf",
    "TI64": "Ti-6Al-4V",
}
"""Names of commercial alloys with their nominal composition in wt.%: read as formulas, C103 would be carbon."""
_DEEPEST: Final = 20  # brackets within brackets: far beyond any alloy, far below Python's recursion limit
_PERCENT_TOLERANCE: Final = 2.0  # percent: published lists round to 1 at.% per element and miss 100 by that

Kind = Literal["balance", "element", "number", "open", "close", "hyphen", "end"]


@dataclass(frozen=True, slots=True)
class _Token:
    """One token; ``spaced`` says that a separator (or the start, or a bracket) stands directly before it."""

    kind: Kind
    text: str
    position: int
    spaced: bool


@dataclass(frozen=True, slots=True)
class _Item:
    """An element or a bracketed group, with its amount (None where none is written) or as the balance."""

    content: str | tuple[_Item, ...]
    amount: float | None
    is_balance: bool = False

    @property
    def share(self) -> float:
        return 1.0 if self.amount is None else self.amount


class _Refuse:
    """Raises the one kind of error, with the field and the text as the user knows them."""

    def __init__(self, text: str, field: str) -> None:
        self.text, self.field = text, field

    def __call__(self, problem: str, mend: str = EXAMPLE) -> NoReturn:
        raise InputError(self.field, self.text, problem, mend)


def parse_composition(text: str, *, unit: Unit | None = None, field: str = "composition") -> Composition:
    """Read a composition as people write it.

    Understood are mole ratios (``HfNbTaTiZr``, ``Hf0.5Nb0.5Ta0.5Ti1.5Zr``), percent (``Nb47 Ti22 Si16
    Mo15``), bracketed groups, a balance (``Al10 Cr5 Nb bal``, ``bal Nb Al10``), hyphenated names with their
    unit (``Ti-6Al-4V wt.%``), Unicode subscripts, and separators between all of them. Atoms are meant unless
    ``wt.%`` is said, in the text or by ``unit``. An element that is written twice has the sum.

    In alloys ``(NbTa)80W20`` means that Nb and Ta share 80 of 100 atoms, in chemistry a bracket multiplies.
    The alloy reading holds where the amounts that stand side by side sum to 100 or to 1, or where one of them
    is the balance; the chemical one elsewhere.

    Where percent are said (``%``, a unit in the text, or ``unit="wt.%"``), the amounts have to sum to 100
    within 2, or to 1. ``unit="at.%"`` alone says no more than that atoms are meant.

    Args:
        text: What was written.
        unit: ``at.%`` or ``wt.%``; None takes it from the text, and atoms where that is silent.
        field: The name the error gives to what was read.

    Raises:
        InputError: The text cannot be read, or does not name a composition.
    """
    if not isinstance(text, str):
        raise InputError(field, text, "is not a text", EXAMPLE)
    if unit not in {None, "at.%", "wt.%"}:
        raise InputError("unit", unit, "is not a unit of composition", "use at.% or wt.%")
    refuse = _Refuse(text, field)
    if not text.strip():
        refuse("is empty")
    _refuse_trade_name(text, refuse)
    body, stated = _take_unit(text.translate(_SUBSCRIPTS), refuse)
    if stated and unit and stated != unit:
        refuse(f"is given in {stated} and in {unit}", "say at.% or wt.%, once")
    effective: Unit = stated or unit or "at.%"
    _refuse_list(body, refuse)
    tokens = list(_tokens(body, refuse))
    named = _name(tokens, refuse, has_unit=bool(stated or unit))
    items = named or _Parser(tokens, refuse).formula()
    _refuse_lone_amount(items, refuse)
    in_percent = bool(stated) or "%" in text or effective == "wt.%"
    amounts = _amounts(items, refuse, in_percent=in_percent, unit=effective)
    try:
        return Composition.from_amounts(amounts, unit=effective, field=field)
    except InputError as error:
        raise InputError(field, text, error.problem, error.mend) from None


def _refuse_trade_name(text: str, refuse: _Refuse) -> None:
    nominal = _TRADE_NAMES.get(re.sub(r"[\s_-]", "", text.translate(_SUBSCRIPTS)).upper())
    if nominal:
        refuse("is the name of a commercial alloy", f"write its composition, nominally '{nominal} wt.%'")


def _refuse_lone_amount(items: tuple[_Item, ...], refuse: _Refuse) -> None:
    """One element with a number is far more often the name of an alloy (Nb521) than a pure element."""
    if len(items) != 1 or not isinstance(items[0].content, str) or items[0].is_balance:
        return
    element, amount = items[0].content, items[0].share
    if amount not in {1.0, 100.0}:
        refuse(
            f"gives one element the amount {amount:g}",
            f"write {element} for the pure element, or all elements of the alloy, as in 'Nb-10Hf-1Ti wt.%'",
        )


def _refuse_list(text: str, refuse: _Refuse) -> None:
    """Refuse several alloys in one text: read as one, they would be mixed without a word.

    A comma or a semicolon outside brackets stands between the elements of one alloy (``Nb47, Ti22``); where one
    part is a formula of several (``NbTi,VZr``; ``NbTi,1273``) the text is a list or a line of a table.
    """
    flat = re.sub(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}", "(", text)
    parts = [part for part in re.split(r"[,;]", flat) if part.strip()]
    if len(parts) > 1 and any(re.search(r"[A-Z][a-z]?[0-9.]*[A-Z(]", p) for p in parts):
        refuse(
            "has a comma or semicolon beside a whole formula, so it is more than one composition",
            "give one composition at a time: an argument or a line each, or a CSV file with --column",
        )


def _take_unit(text: str, refuse: _Refuse) -> tuple[str, Unit | None]:
    words = {next(g for g in m.groups() if g).lower() for m in _UNIT_PATTERN.finditer(text)}
    found: set[Unit] = {"wt.%" if word in _MASS_WORDS else "at.%" for word in words}
    if len(found) > 1:
        refuse("is given in two units", "say at.% or wt.%, once")
    return _UNIT_PATTERN.sub(" ", text), (found.pop() if found else None)


def _tokens(text: str, refuse: _Refuse) -> Iterator[_Token]:
    if _NOT_FINITE.search(text):
        refuse("has an amount that is not finite", "give numbers above zero")
    if not any(c.isalpha() for c in text):
        refuse("names no element")
    position, spaced = 0, True
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            _refuse_unreadable(text, position, refuse)
        kind = match.lastgroup
        if kind != "gap":
            yield _Token(kind, match[0], position, spaced)  # type: ignore[arg-type]
        spaced = kind in {"gap", "open"}
        position = match.end()
    yield _Token("end", "", position, spaced)


def _refuse_unreadable(text: str, position: int, refuse: _Refuse) -> NoReturn:
    rest = text[position : position + 12]
    if position and text[position] in "eE" and text[position - 1].isdigit():
        refuse(f"cannot be read at {rest!r}: amounts have no exponents", "write plain decimals, as in Nb0.5")
    word = re.match(r"[A-Za-z]+", text[position:])
    if word:
        start = position
        while start and text[start - 1].isalpha():
            start -= 1
        near = _capitalised(text[start : position + word.end()].lower())
        if near:
            refuse(
                f"cannot be read at {rest!r}: symbols begin with a capital letter", f"did you mean {near}?"
            )
    refuse(f"cannot be read at {rest!r}")


def _capitalised(letters: str) -> str | None:
    """``hfnb`` as ``HfNb``: the letters as element symbols, two-letter ones first; None if that cannot be."""
    if not letters:
        return ""
    for length in (2, 1):
        symbol = letters[:length].capitalize()
        if len(symbol) == length and symbol in atomic_masses() and len(letters) <= 40:
            rest = _capitalised(letters[length:])
            if rest is not None:
                return symbol + rest
    return None


def _name(tokens: list[_Token], refuse: _Refuse, *, has_unit: bool) -> tuple[_Item, ...] | None:
    """Items of a hyphenated name such as ``Ti-6Al-4V``, the base as balance; None if it is no such name."""
    kinds = [token.kind for token in tokens[:-1]]
    repeats, left = divmod(len(kinds) - 1, 3)
    if left or repeats < 1 or kinds != ["element", *["hyphen", "number", "element"] * repeats]:
        return None
    if any(
        hyphen.spaced and not number.spaced
        for hyphen, number in zip(tokens[1::3], tokens[2::3], strict=False)
    ):
        return None  # 'Nb -5 W': a sign, not a hyphen
    if not has_unit:
        name = refuse.text.strip()
        refuse("is a hyphenated alloy name without a unit", f"write '{name} wt.%' or '{name} at.%'")
    for token in tokens[::3][: repeats + 1]:
        if token.kind == "element":
            require_element(token.text, refuse.field, refuse.text)
    added = tuple(_Item(tokens[i + 1].text, float(tokens[i].text)) for i in range(2, len(kinds), 3))
    return (*added, _Item(tokens[0].text, None, is_balance=True))


class _Parser:
    """Recursive descent over the tokens."""

    def __init__(self, tokens: list[_Token], refuse: _Refuse) -> None:
        self.tokens, self.refuse, self.index = tokens, refuse, 0

    def formula(self) -> tuple[_Item, ...]:
        items = self.sequence(depth=0)
        if self.token.kind == "close":
            self.refuse("closes a bracket that was not opened", "balance the brackets")
        return items

    @property
    def token(self) -> _Token:
        return self.tokens[self.index]

    def take(self) -> _Token:
        token = self.token
        self.index += 1
        return token

    def sequence(self, depth: int) -> tuple[_Item, ...]:
        """Items up to a closing bracket or the end, which is left in place."""
        items: list[_Item] = []
        while self.token.kind not in {"close", "end"}:
            kind = self.token.kind
            if kind == "hyphen":
                self.hyphen()
            elif kind == "number":
                problem = "stands before any element" if not items else "is a second amount in a row"
                self.refuse(f"{self.token.text} {problem}", "write each amount after its element, as in Nb47")
            elif kind == "balance":
                self.balance(items, depth)
            else:
                items.append(self.element() if kind == "element" else self.group(depth))
        return tuple(items)

    def hyphen(self) -> None:
        """A hyphen separates; directly before a number it is a sign, and amounts are above zero."""
        self.take()
        if self.token.kind == "number" and not self.token.spaced:
            self.refuse("has a negative amount", "give numbers above zero")

    def element(self) -> _Item:
        symbol = self.take().text
        require_element(symbol, self.refuse.field, self.refuse.text)
        return _Item(symbol, self.amount(symbol))

    def group(self, depth: int) -> _Item:
        if depth >= _DEEPEST:
            self.refuse(f"has brackets more than {_DEEPEST} deep", "write it flat")
        opening = self.take()
        members = self.sequence(depth + 1)
        if self.token.kind == "end":
            self.refuse("has an open bracket", "balance the brackets")
        if _BRACKETS[self.token.text] != opening.text:
            self.refuse(f"closes {opening.text!r} with {self.token.text!r}", "balance the brackets")
        if not members:
            self.refuse("has an empty bracket", "remove it or fill it")
        self.take()
        return _Item(members, self.amount("the bracket"))

    def amount(self, owner: str) -> float | None:
        if self.token.kind != "number":
            return None
        value = float(self.take().text)
        if not math.isfinite(value):
            self.refuse(f"the amount of {owner} is not finite", "give a number above zero")
        if value == 0:
            self.refuse(f"the amount of {owner} is zero", f"leave {owner} out or give a number above zero")
        return value

    def balance(self, items: list[_Item], depth: int) -> None:
        """Make the element before or after the word the balance."""
        mend = "write it beside the one element that takes what is missing to 100, as in 'Al10 Cr5 Nb bal'"
        if depth:
            self.refuse("has a balance inside a bracket", mend)
        if any(item.is_balance for item in items):
            self.refuse("has two balances", mend)
        self.take()
        if items and items[-1].amount is None:
            content = items.pop().content
        else:
            while self.token.kind == "hyphen":
                self.hyphen()
            if self.token.kind not in {"element", "open"}:
                self.refuse("says balance of no element", mend)
            item = self.element() if self.token.kind == "element" else self.group(depth)
            if item.amount is not None:
                self.refuse("gives an amount and the balance to one element", mend)
            content = item.content
        items.append(_Item(content, None, is_balance=True))


def _amounts(items: tuple[_Item, ...], refuse: _Refuse, *, in_percent: bool, unit: Unit) -> dict[str, float]:
    """Amount of each element, the balance resolved and percent checked."""
    if any(item.is_balance for item in items):
        items = _with_balance(items, refuse)
    elif in_percent:
        total = math.fsum(item.share for item in items)
        bare = all(item.amount is None for item in items)
        whole = abs(total - 100) <= _PERCENT_TOLERANCE or abs(total - 1) <= _PERCENT_TOLERANCE / 100
        if not whole and not (bare and unit == "at.%"):
            refuse(
                f"the amounts sum to {total:g}, not to 100 {unit}",
                "give all amounts in percent, or name the balance, as in 'Al10 Cr5 Nb bal'",
            )
    return _flat(items)


def _with_balance(items: tuple[_Item, ...], refuse: _Refuse) -> tuple[_Item, ...]:
    for item in items:
        if item.amount is None and not item.is_balance:
            refuse(f"has a balance but no amount for {_shown(item)}", "give every other element its percent")
    symbols = [symbol for item in items for symbol in _flat((item,))]
    for symbol in symbols:
        if symbols.count(symbol) > 1:
            refuse(f"gives {symbol} twice", f"give {symbol} once, an amount or the balance")
    others = math.fsum(item.amount for item in items if item.amount is not None)
    if others >= 100:
        refuse(
            f"leaves nothing for the balance: the others sum to {others:g}",
            "give amounts in percent that sum to less than 100",
        )
    return tuple(_Item(item.content, 100 - others) if item.is_balance else item for item in items)


def _shown(item: _Item) -> str:
    return item.content if isinstance(item.content, str) else f"({''.join(_flat((item,)))})"


def _flat(items: tuple[_Item, ...]) -> dict[str, float]:
    """Amount of each element in a sequence, brackets resolved by the alloy or the chemical reading."""
    total = math.fsum(item.share for item in items)
    shared = any(abs(total - whole) < 1e-6 * whole for whole in (1.0, 100.0))
    amounts: dict[str, float] = {}
    for item in items:
        inner = {item.content: 1.0} if isinstance(item.content, str) else _flat(item.content)
        factor = item.share / math.fsum(inner.values()) if shared else item.share
        for symbol, amount in inner.items():
            amounts[symbol] = amounts.get(symbol, 0.0) + amount * factor
    return amounts
