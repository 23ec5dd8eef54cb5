"""Cells to compute: pure elements, and special quasirandom structures of alloys.

A special quasirandom structure is the periodic cell whose pair correlations come nearest to those of the
random alloy (Zunger, Wei, Ferreira and Bernard, Phys. Rev. Lett. 65 (1990) 353, doi
10.1103/PhysRevLett.65.353). Of eight atoms every arrangement is looked at; of more, a simulated annealing of
swaps looks for one, the seed deciding which. How far each shell is from random is part of the answer: in a cell
of eight atoms no atom can have a neighbour of its own kind at random, since it cannot be its own neighbour.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hea_loop.composition import RESOLUTION, Composition
from hea_loop.elements import element_vector
from hea_loop.errors import InputError
from validators.atomistic.specification import CELL_SIZES

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

__all__ = [
    "QuasirandomCell",
    "RoundedComposition",
    "Shell",
    "decorate",
    "lattice_guess",
    "primitive_cell",
    "quasirandom_cell",
    "rounded_composition",
    "smallest_cell",
    "to_pymatgen",
]

ATOMS_PER_CUBE: Final[Mapping[str, int]] = {"bcc": 2, "fcc": 4}

_PRIMITIVE: Final[Mapping[str, NDArray[np.float64]]] = {
    "bcc": np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]),
    "fcc": np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]),
}
# each repeat keeps the lattice of the cell's images cubic but that of 16 atoms: the conventional cube twice along
# every axis. Rows are the cell's vectors in units of the cube's edge.
_CUBE: Final = np.eye(3)
_CELLS: Final[Mapping[tuple[str, int], NDArray[np.float64]]] = {
    ("bcc", 8): 2 * _PRIMITIVE["bcc"],
    ("bcc", 16): 2 * _CUBE,
    ("bcc", 54): 3 * _CUBE,
    ("fcc", 8): 2 * _PRIMITIVE["fcc"],
    ("fcc", 32): 2 * _CUBE,
}
_WEIGHTS: Final = (1.0, 0.5, 0.25)
"""Weights of the shells of neighbours, nearest first: near pairs decide most of an alloy's energy."""

_SWEEPS: Final = 150
_RESTARTS: Final = 2


@dataclass(frozen=True, slots=True)
class RoundedComposition:
    """A composition in whole atoms.

    Attributes:
        requested: What was asked for.
        counts: Atoms of each element in the cell, by symbol.
        distance: Fraction of atoms that would have to be exchanged to have the requested composition.
    """

    requested: Composition
    counts: dict[str, int]
    distance: float

    @property
    def composition(self) -> Composition:
        """The composition of the cell."""
        return Composition.from_amounts(self.counts)

    def detail(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "requested": self.requested.key,
            "computed": self.composition.key,
            "counts": self.counts,
            "rounding_distance": round(self.distance, 4),
            "elements_lost": sorted(set(self.requested.elements) - set(self.counts)),
        }

    def require_within(self, bound: float, others: Mapping[int, str] | None = None) -> None:
        """Refuse a cell that is of another alloy.

        Args:
            bound: Largest allowed distance, as the option ``max_rounding``.
            others: Other numbers of atoms that one may ask for, smallest first, each with how to say so; the mend
                names the first that would do.

        Raises:
            InputError: The distance is larger than the bound, or one element is left of several.
        """
        if self.is_within(bound):
            return
        atoms = sum(self.counts.values())
        larger = [
            said
            for n, said in (others or {}).items()
            if n > atoms and rounded_composition(self.requested, n).is_within(bound)
        ]
        mend = f"use {larger[0]}" if larger else "ask for a composition that a cell can hold"
        becomes = f"becomes {self.composition.formula} in {atoms} atoms"
        if self.distance <= bound + 1e-12:
            raise InputError("composition", self.requested.formula, f"{becomes}, which is no alloy", mend)
        raise InputError(
            "composition",
            self.requested.formula,
            f"{becomes}, {self.distance:.3f} of its atoms exchanged; max_rounding is {bound:g}",
            f"{mend}, or allow more by the option max_rounding",
        )

    def is_within(self, bound: float) -> bool:
        """Whether the cell is of the requested alloy as closely as a bound says, and still an alloy."""
        alloy_left = len(self.counts) > 1 or len(self.requested.elements) == 1
        return alloy_left and self.distance <= bound + 1e-12


def rounded_composition(composition: Composition, atoms: int) -> RoundedComposition:
    """Whole atoms by largest remainder, ties in alphabetical order.

    An element with less than half an atom may be left with none; the distance counts it.

    Args:
        composition: What is asked for.
        atoms: Atoms of the cell.
    """
    exact = {e: parts * atoms for e, parts in composition.parts}  # in units of 1 / RESOLUTION of an atom
    counts = {e: n // RESOLUTION for e, n in exact.items()}
    missing = atoms - sum(counts.values())
    for e in sorted(exact, key=lambda e: (-(exact[e] % RESOLUTION), e))[:missing]:
        counts[e] += 1
    distance = sum(abs(counts[e] * RESOLUTION - n) for e, n in exact.items()) / (2 * RESOLUTION * atoms)
    return RoundedComposition(composition, {e: n for e, n in counts.items() if n}, distance)


def smallest_cell(composition: Composition, bound: float, lattice: str = "bcc") -> int | None:
    """Number of atoms of the smallest cell that holds the composition within the bound; None if none does.

    Args:
        composition: What is asked for.
        bound: Largest allowed distance, as the option ``max_rounding``.
        lattice: ``bcc`` or ``fcc``.
    """
    return next(
        (n for n in CELL_SIZES[lattice] if rounded_composition(composition, n).is_within(bound)), None
    )


def lattice_guess(counts: Mapping[str, float], lattice: str) -> float:
    """Edge of the cube to begin with, angstrom: volumes of the elements add up (Zen's law).

    Volumes per atom are those of the lattice where the element table has them, else of the element's own
    structure; without any, from the density.

    Raises:
        InputError: An element of which the table has neither.
    """
    symbols = tuple(counts)
    volumes = element_vector(symbols, "volume_per_atom", structure=lattice)
    volumes = np.where(np.isnan(volumes), element_vector(symbols, "volume_per_atom"), volumes)
    for i, symbol in enumerate(symbols):
        if math.isnan(volumes[i]):
            volumes[i] = _volume_from_density(symbol)
    amounts = np.array([counts[e] for e in symbols], dtype=np.float64)
    mean = float(amounts @ volumes / amounts.sum())
    return float((ATOMS_PER_CUBE[lattice] * mean) ** (1 / 3))


def _volume_from_density(symbol: str) -> float:
    from scipy.constants import Avogadro

    from hea_loop.composition import atomic_masses

    density = float(element_vector((symbol,), "density")[0])
    if math.isnan(density):
        raise InputError(
            "composition",
            symbol,
            "has no known volume to begin with",
            "leave the element out of atomistic jobs",
        )
    return atomic_masses()[symbol] / (density * Avogadro) * 1e24


def primitive_cell(element: str, structure: str, a: float, c_over_a: float = math.sqrt(8 / 3)) -> Atoms:
    """The primitive cell of a pure element.

    Args:
        element: Its symbol.
        structure: ``bcc`` or ``fcc`` (one atom, cube axes along x, y, z) or ``hcp`` (two atoms).
        a: Edge of the cube, or of the hexagon, angstrom.
        c_over_a: Of ``hcp`` only.

    Raises:
        InputError: Another structure.
    """
    from ase import Atoms

    if structure in _PRIMITIVE:
        return Atoms(element, cell=a * _PRIMITIVE[structure], scaled_positions=[(0, 0, 0)], pbc=True)
    if structure == "hcp":
        cell = [(a, 0, 0), (-a / 2, a * math.sqrt(3) / 2, 0), (0, 0, a * c_over_a)]
        return Atoms([element] * 2, cell=cell, scaled_positions=[(0, 0, 0), (1 / 3, 2 / 3, 0.5)], pbc=True)
    raise InputError("structure", structure, "has no primitive cell here", "use bcc, fcc or hcp")


@dataclass(frozen=True, slots=True)
class Shell:
    """How random one shell of neighbours is.

    Attributes:
        distance: Distance of the neighbours in the unrelaxed lattice, angstrom.
        neighbours: Their number per atom.
        mismatch: Half the sum over all ordered pairs of elements of |share of the pair - share at random|: the
            fraction of neighbour pairs that are of the wrong kind, 0 for a random alloy.
        largest_warren_cowley: The Warren-Cowley parameter 1 - p_ij / (x_i x_j) of largest magnitude among
            all pairs of elements; 0 at random, 1 where a pair is absent.
    """

    distance: float
    neighbours: int
    mismatch: float
    largest_warren_cowley: float

    def detail(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "distance_angstrom": round(self.distance, 4),
            "neighbours": self.neighbours,
            "pair_mismatch": round(self.mismatch, 4),
            "largest_warren_cowley": round(self.largest_warren_cowley, 4),
        }


@dataclass(frozen=True, slots=True)
class QuasirandomCell:
    """An alloy's cell.

    Attributes:
        atoms: The unrelaxed cell, cube axes along x, y, z.
        rounding: Its composition, and how far from the requested one.
        shells: How random its shells are, nearest first.
    """

    atoms: Atoms
    rounding: RoundedComposition
    shells: tuple[Shell, ...]

    @property
    def ions_held_by_symmetry(self) -> bool:
        """Whether every site is a centre of inversion of the cell, so that no force can act on any atom.

        So it is in the cells of eight atoms: twice a lattice vector is a vector of the cell, and a site's
        surroundings are the same on both sides. They know nothing of the distortion of the lattice.
        """
        scaled = self.atoms.get_scaled_positions()
        twice = 2 * (scaled - scaled[0])
        return bool(np.abs(twice - np.rint(twice)).max() < 1e-6)

    def detail(self) -> dict[str, Any]:
        """As plain JSON."""
        return self.rounding.detail() | {
            "shells": [shell.detail() for shell in self.shells],
            "ions_held_by_symmetry": self.ions_held_by_symmetry,
        }


def quasirandom_cell(
    composition: Composition, atoms: int, seed: int, *, lattice: str = "bcc", a: float | None = None
) -> QuasirandomCell:
    """The special quasirandom structure of an alloy.

    Args:
        composition: The alloy; rounded to whole atoms.
        atoms: Atoms of the cell, one of ``CELL_SIZES`` of the lattice.
        seed: Of the search; equal seeds give equal cells.
        lattice: ``bcc`` or ``fcc``.
        a: Edge of the cube, angstrom; None for :func:`lattice_guess`.

    Raises:
        InputError: No such cell, or an element without a known volume.
    """
    if (lattice, atoms) not in _CELLS:
        raise InputError("atoms", atoms, f"is no size of a {lattice} cell", "see CELL_SIZES")
    rounding = rounded_composition(composition, atoms)
    edge = lattice_guess(rounding.counts, lattice) if a is None else a
    sites = _sites(lattice, atoms, edge)
    decorated, shells = decorate(sites, rounding.counts, np.random.default_rng(seed))
    return QuasirandomCell(decorated, rounding, shells)


def _sites(lattice: str, atoms: int, a: float) -> Atoms:
    """The empty lattice points of a cell, all of the element X."""
    from ase.build import make_supercell

    matrix = np.rint(_CELLS[lattice, atoms] @ np.linalg.inv(_PRIMITIVE[lattice])).astype(int)
    sites = make_supercell(primitive_cell("X", lattice, a), matrix)
    if len(sites) != atoms:
        raise ValueError(f"{lattice} cell of {atoms} atoms came out with {len(sites)}")
    return sites


def decorate(
    sites: Atoms, counts: Mapping[str, int], generator: np.random.Generator
) -> tuple[Atoms, tuple[Shell, ...]]:
    """Put elements on sites so that pairs of neighbours are as at random.

    Args:
        sites: Lattice points of a periodic cell; their elements are replaced.
        counts: Atoms of each element; they must fill the sites.
        generator: Random numbers.

    Returns:
        The decorated cell, and how random its shells of neighbours are.
    """
    if sum(counts.values()) != len(sites):
        raise ValueError(f"{dict(counts)} do not fill {len(sites)} sites")
    symbols = sorted(counts)
    distances, neighbours = _shells_of(sites)
    pairs = np.array(neighbours, dtype=np.float64)
    kinds = np.repeat(np.arange(len(symbols)), [counts[e] for e in symbols])
    number_of_arrangements = math.factorial(len(kinds)) // math.prod(
        math.factorial(n) for n in Counter(kinds.tolist()).values()
    )
    if len(symbols) > 1 and number_of_arrangements <= 50_000:
        kinds = _enumerated(kinds, pairs, _translations(sites), generator)
    elif len(symbols) > 1:
        kinds = _annealed(kinds, pairs, generator)
    decorated = sites.copy()
    decorated.set_chemical_symbols([symbols[k] for k in kinds])
    shells = []
    for distance, counted in zip(distances, pairs, strict=True):
        shares, random = _shares(kinds, counted, len(symbols))
        parameters = 1 - shares / random
        shells.append(
            Shell(
                distance,
                round(counted.sum() / len(kinds)),
                float(np.abs(shares - random).sum() / 2),
                float(parameters.flat[np.abs(parameters).argmax()]),
            )
        )
    return decorated, tuple(shells)


def _shells_of(sites: Atoms) -> tuple[list[float], list[NDArray[np.int64]]]:
    """Distances of the nearest shells, and per shell the ``(n, n)`` numbers of neighbours between sites."""
    from ase.neighborlist import neighbor_list

    n = len(sites)
    reach = 2.0 * (sites.get_volume() / n) ** (1 / 3)  # beyond the fourth shell of bcc and of fcc
    first, second, distance = neighbor_list("ijd", sites, reach)
    levels = sorted({round(float(d), 3) for d in distance})
    merged = [levels[0]]
    for level in levels[1:]:
        if level - merged[-1] > 0.01:
            merged.append(level)
    found = []
    for level in merged[: len(_WEIGHTS)]:
        counted = np.zeros((n, n), dtype=np.int64)
        inside = np.abs(distance - level) < 0.01
        np.add.at(counted, (first[inside], second[inside]), 1)
        found.append(counted)
    return merged[: len(_WEIGHTS)], found


def _shares(
    kinds: NDArray[np.int64], neighbours: NDArray[np.float64], number: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of ordered pairs in one shell, ``(k, k)``, and the same at random."""
    one_hot = np.eye(number)[kinds]
    x = one_hot.mean(axis=0)
    return one_hot.T @ neighbours @ one_hot / neighbours.sum(), np.outer(x, x)


def _mismatch(kinds: NDArray[np.int64], pairs: NDArray[np.float64], number: int) -> float:
    """What the search makes small: the weighted sum of the shells' mismatches."""
    one_hot = np.eye(number)[kinds]
    x = one_hot.mean(axis=0)
    total = 0.0
    for weight, counted in zip(_WEIGHTS, pairs, strict=False):
        total += weight * float(
            np.abs(one_hot.T @ counted @ one_hot / counted.sum() - np.outer(x, x)).sum() / 2
        )
    return total


def _arrangements(left: list[int], length: int) -> Any:
    """Every distinct order of kinds of which ``left`` says how many there are, in lexical order."""
    if length == 0:
        yield ()
        return
    for kind, amount in enumerate(left):
        if amount:
            left[kind] -= 1
            for rest in _arrangements(left, length - 1):
                yield (kind, *rest)
            left[kind] += 1


def _translations(sites: Atoms) -> NDArray[np.int64]:
    """Where each lattice translation within the cell takes each site, ``(n - 1, n)``."""
    scaled = sites.get_scaled_positions()
    found = []
    for k in range(1, len(sites)):
        difference = (scaled + scaled[k] - scaled[0])[:, None] - scaled[None]
        apart = np.abs(difference - np.rint(difference)).max(axis=2)
        if (apart.min(axis=1) < 1e-6).all():
            found.append(apart.argmin(axis=1))
    return np.array(found, dtype=np.int64).reshape(-1, len(sites))


def _enumerated(
    kinds: NDArray[np.int64],
    pairs: NDArray[np.float64],
    translations: NDArray[np.int64],
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """One of the best of all arrangements; which of equal ones is the generator's choice.

    An arrangement that repeats within the cell is a smaller cell's, and is taken only if all of the best do.
    """
    number = int(kinds.max()) + 1
    best: list[tuple[int, ...]] = []
    least = math.inf
    for arrangement in _arrangements(np.bincount(kinds).tolist(), len(kinds)):
        value = _mismatch(np.array(arrangement), pairs, number)
        if value < least - 1e-9:
            best, least = [], value
        if value < least + 1e-9:
            best.append(arrangement)
    fair = [b for b in best if not any(np.array_equal(np.array(b)[t], b) for t in translations)] or best
    return np.array(fair[int(generator.integers(len(fair)))])


def _annealed(
    kinds: NDArray[np.int64], pairs: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Simulated annealing of swaps from several random beginnings."""
    number = int(kinds.max()) + 1
    steps = _SWEEPS * len(kinds)
    best, least = kinds, math.inf
    for _ in range(_RESTARTS):
        here = generator.permutation(kinds)
        value = _mismatch(here, pairs, number)
        for step in range(steps):
            i, j = generator.integers(len(kinds), size=2)
            if here[i] == here[j]:
                continue
            here[i], here[j] = here[j], here[i]
            # the mismatch is a fraction of pairs: from a twentieth of all to a two-thousandth
            temperature = 0.05 * 0.01 ** (step / steps)
            proposed = _mismatch(here, pairs, number)
            if proposed <= value or generator.random() < math.exp((value - proposed) / temperature):
                value = proposed
                if value < least - 1e-9:
                    best, least = here.copy(), value
            else:
                here[i], here[j] = here[j], here[i]
        if least < 1e-9:
            break
    return best


def to_pymatgen(atoms: Atoms) -> Any:
    """The pymatgen Structure of an ASE cell."""
    from pymatgen.io.ase import AseAtomsAdaptor

    return AseAtomsAdaptor.get_structure(atoms)


def scaled_to(atoms: Atoms, volume: float) -> Atoms:
    """The same cell and scaled positions at another volume, cubic angstrom."""
    scaled = atoms.copy()
    scaled.set_cell(atoms.cell * (volume / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
    return scaled


def cube_edge(atoms: Atoms, lattice: str) -> float:
    """Edge of the conventional cube of a cell's volume, angstrom."""
    return float((ATOMS_PER_CUBE[lattice] * atoms.get_volume() / len(atoms)) ** (1 / 3))


def chosen_planes(number: int, wanted: int) -> Sequence[int]:
    """Evenly spread choice of ``wanted`` out of ``number`` planes, from 0."""
    return sorted({round(k * number / wanted) % number for k in range(min(wanted, number))})
