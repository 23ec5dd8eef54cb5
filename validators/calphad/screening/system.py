"""All phases of a database for one set of elements, translated once and kept."""

from __future__ import annotations

import threading
from typing import Final
from weakref import WeakKeyDictionary

from validators.calphad.database import CalphadDatabase
from validators.calphad.screening.model import NotVectorisable, Translation
from validators.calphad.screening.phase import Member, Vocabulary

__all__ = ["PARENT", "ElementSet", "Translated", "is_liquid", "translated"]

PARENT: Final = "BCC_A2"
"""The phase that has to be alone."""


def is_liquid(phase: str) -> bool:
    """Whether databases call a liquid so."""
    return phase.startswith(("LIQUID", "IONIC_LIQ"))


class ElementSet:
    """The phases that a set of elements can form, the parent first.

    Args:
        translation: The translated database.
        elements: Elements as the field writes them, alphabetical.
        vocabulary: That of the database.

    Raises:
        NotVectorisable: A phase or parameter has no arrays, or there is no substitutional bcc.
    """

    def __init__(self, translation: Translation, elements: tuple[str, ...], vocabulary: Vocabulary) -> None:
        self.elements = elements
        symbols = tuple(e.upper() for e in elements)
        names = translation.phase_names(symbols)
        if PARENT not in names:
            ordered = translation.ordered_upon(PARENT, names)
            if ordered:
                raise NotVectorisable(
                    translation.name, f"{PARENT} is the disordered part of {ordered} (order-disorder model)"
                )
            raise NotVectorisable(translation.name, f"it has no {PARENT} of {'-'.join(elements)}")
        self.members = []
        for name in (PARENT, *(n for n in names if n != PARENT)):
            role = "parent" if name == PARENT else "liquid" if is_liquid(name) else "solid"
            self.members.append(Member(translation.terms(name, symbols), symbols, role, vocabulary))
        if len(elements) > 1 and not self.members[0].substitutional:
            raise NotVectorisable(translation.name, f"its {PARENT} is not a solution on one sublattice")


class Translated:
    """One database as arrays, and the sets of elements asked for so far."""

    def __init__(self, database: CalphadDatabase) -> None:
        self.translation = Translation(database)
        self.vocabulary = Vocabulary()
        self._sets: dict[tuple[str, ...], ElementSet] = {}

    def elements(self, elements: tuple[str, ...], database: CalphadDatabase) -> ElementSet:
        """The phases of a set of elements, built on first use.

        Raises:
            InputError: The database does not describe these elements.
            NotVectorisable: The database has something that screening has no arrays for.
        """
        with _LOCK:
            found = self._sets.get(elements)
            if found is None:
                database.require_elements(elements)
                found = self._sets[elements] = ElementSet(self.translation, elements, self.vocabulary)
            return found


_LOCK: Final = threading.RLock()
_HELD: Final[WeakKeyDictionary[CalphadDatabase, Translated]] = WeakKeyDictionary()


def translated(database: CalphadDatabase) -> Translated:
    """A database as arrays, translated on first use and kept while the database is."""
    with _LOCK:
        held = _HELD.get(database)
        if held is None:
            held = _HELD[database] = Translated(database)
        return held
