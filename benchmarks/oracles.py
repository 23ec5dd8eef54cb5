"""Oracles of the benchmarks: fixed truths made from real data, and the law by which a laboratory answers.

Three of them:

- :func:`kind_b`: generation. 562 real alloys of the literature; Rice's K, strength at 1200 degC and density.
- :func:`rare_hit`: campaigns. A continuous search in 8 elements (also 7 or 9) where about 1% of uniform random
  compositions hit.
- :func:`ternary_pool`: campaigns on a pool. The 1,261 first-principles ternaries, each value as published.

The truth is what :mod:`benchmarks.oracle_models` says; nobody who is compared may ask it but through
:class:`Laboratory`, which adds what a real one has: noise, jobs that fail, answers that come late, and a cheap
fidelity that is off.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import constants
from scipy.special import ndtri

from benchmarks.oracle_models import (
    ELASTIC_ELEMENTS,
    STRENGTH_ELEMENTS,
    shear_modulus_and_poisson_ratio,
    spinodal_temperature,
    yield_strength,
)
from db.literature import read_first_principles, read_literature
from hea_loop.composition import RESOLUTION, Composition
from hea_loop.elements import mixing_enthalpy_matrix
from hea_loop.errors import InputError
from hea_loop.palette import Palette
from hea_loop.prediction import predict_array, rice_toughness

__all__ = [
    "CHEAP_COST",
    "ORACLES",
    "SERVICE_K",
    "Answer",
    "Fidelity",
    "Laboratory",
    "Law",
    "Oracle",
    "kind_b",
    "pool_oracle",
    "rare_hit",
    "ternary_pool",
]

Array = NDArray[np.float64]
Values = dict[str, Array]
Fidelity = Literal["full", "cheap"]

CHEAP_COST: Final = 0.1
"""Cost of one job at the cheap fidelity, that at the full one being 1."""

SERVICE_K: Final = 1473.15  # 1200 degC
_CHEAP_TEST_K: Final = 1273.15
_START: Final = 20


@dataclass(frozen=True, slots=True, eq=False)
class Oracle:
    """A truth, and what one who does not know it is told.

    Attributes:
        name: Of the oracle.
        elements: Symbols of the columns, ``m`` of them.
        palette: Where compositions may lie.
        targets: Property to closed interval in its unit; a hit lies in all. Empty where a benchmark draws them.
        units: Property to unit.
        noise: Property to the standard deviation of one answer, in the same unit.
        training: ``n x m`` fractions of real alloys that all may learn from; ``0 x m`` where there are none.
        training_values: Their true values, property to ``n``.
        pool: ``k x m`` fractions, the only ones that may be asked; None where all of the palette may.
        truth: From ``n x m`` fractions to the true values, property to ``n``; not to be given to a contestant.
        cheap: The same at the cheap fidelity; None where there is none.
    """

    name: str
    elements: tuple[str, ...]
    palette: Palette
    targets: dict[str, tuple[float, float]]
    units: dict[str, str]
    noise: dict[str, float]
    training: Array
    training_values: Values
    pool: Array | None
    truth: Callable[[Array], Values] = field(repr=False)
    cheap: Callable[[Array], Values] | None = field(default=None, repr=False)

    def evaluate(self, fractions: Array) -> Values:
        """True values, noise-free and at the full fidelity.

        Args:
            fractions: ``n x m`` atomic fractions, rows that sum to one within 1e-6.

        Returns:
            Property to array of shape ``(n,)``; NaN where the models have no ground (see each oracle).

        Raises:
            InputError: Another shape, or rows that are no compositions.
        """
        return self.truth(self.checked(fractions))

    def checked(self, fractions: Array) -> Array:
        """The fractions, rows divided by their sums, or an :class:`InputError`."""
        x = np.asarray(fractions, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.elements):
            raise InputError(
                "fractions", x.shape, f"is not n x {len(self.elements)}", "give one column per element"
            )
        bad = ~(np.isfinite(x).all(axis=1) & (x >= 0).all(axis=1) & (np.abs(x.sum(axis=1) - 1) < 1e-6))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise InputError(f"fractions[{row}]", x[row].tolist(), "is not a composition", "let it sum to 1")
        return np.asarray(x / x.sum(axis=1, keepdims=True))

    def inside(self, values: Mapping[str, Array]) -> NDArray[np.bool_]:
        """Whether values lie in all targets; a NaN does not. Shape ``(n,)``."""
        within = [(values[n] >= low) & (values[n] <= high) for n, (low, high) in self.targets.items()]
        return np.asarray(np.logical_and.reduce(within))

    def hits(self, fractions: Array) -> NDArray[np.bool_]:
        """Whether the true values lie in all targets, shape ``(n,)``."""
        return self.inside(self.evaluate(fractions))

    def uniform(self, number: int, rng: np.random.Generator) -> Array:
        """Uniform random compositions of the palette (rows of the pool, where there is one), ``number x m``."""
        if self.pool is not None:
            return self.pool[rng.permutation(len(self.pool))[:number]]
        return _rows(self.palette, number, rng)

    def start(self, seed: int, number: int = _START) -> Array:
        """The alloys every contestant of a seed starts from: uniform ones, none of them a hit. ``number x m``."""
        rng = np.random.default_rng([seed, 71])
        found = np.empty((0, len(self.elements)))
        while len(found) < number:
            drawn = self.uniform(4 * number, rng)
            found = np.unique(np.vstack([found, drawn[~self.hits(drawn)]]), axis=0)
            rng.shuffle(found)
        return found[:number]


def _rows(palette: Palette, number: int, rng: np.random.Generator) -> Array:
    drawn = palette.sample_uniform(number, rng)
    return np.array([c.fraction_vector(palette.elements) for c in drawn], dtype=float).reshape(
        number, len(palette.elements)
    )


# -- the law by which a laboratory answers ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Law:
    """What stands between a question and the truth. Each part can be switched off.

    Attributes:
        noise: Whether answers carry the oracle's noise, normal and independent.
        failure_rate: Share of jobs that end without an answer; the same job fails whenever it is asked.
        late: By how many rounds answers are late, each with the same chance. An answer that is not late (0) is
            known before the next round is chosen; of one that is late by ``d``, ``d`` more rounds are chosen first.
    """

    noise: bool = True
    failure_rate: float = 0.2
    late: tuple[int, ...] = (1, 2)

    def __post_init__(self) -> None:
        if not 0 <= self.failure_rate < 1:
            raise InputError("failure_rate", self.failure_rate, "is no share below one", "give 0 to 0.99")
        if not self.late or min(self.late) < 0:
            raise InputError("late", self.late, "are not rounds", "give whole numbers from 0, as (1, 2)")


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One job.

    Attributes:
        fractions: What was asked, ``m`` fractions, whole multiples of 0.001.
        fidelity: ``full`` or ``cheap``.
        round: In which round it was asked, from 0; -1 for the alloys that all start from.
        due: The first round that may use the answer.
        values: Property to value as observed; None where the job failed.
    """

    fractions: Array
    fidelity: Fidelity
    round: int
    due: int
    values: dict[str, float] | None


class Laboratory:
    """Answers one contestant's questions by an oracle, under a law and a seed.

    What happens to a job depends on its composition, its fidelity and the seed only: two contestants who ask for
    the same alloy get the same answer, whenever they ask and whatever they asked before.

    Args:
        oracle: The truth.
        law: Noise, failures, delays.
        seed: Of all three.
    """

    def __init__(self, oracle: Oracle, law: Law, seed: int) -> None:
        self.oracle, self.law, self.seed = oracle, law, seed

    def ask(self, fractions: Array, round_: int, fidelity: Fidelity = "full") -> list[Answer]:
        """Run jobs.

        Args:
            fractions: ``n x m``; they are rounded to the resolution of 0.001 first, as is all that is weighed in.
            round_: Number of the round, from 0; below zero the answers come at once and none fails.
            fidelity: ``full``, or ``cheap`` where the oracle has it.

        Returns:
            One answer per row.

        Raises:
            InputError: No compositions, outside the palette or the pool, or no such fidelity.
        """
        x = self._allowed(fractions)
        truth = self.oracle.truth if fidelity == "full" else self.oracle.cheap
        if truth is None:
            raise InputError("fidelity", fidelity, f"is not in {self.oracle.name}", "ask for full")
        values = truth(x)
        out = []
        for i, row in enumerate(x):
            key = f"{np.rint(row * RESOLUTION).astype(int).tolist()}|{fidelity}|{self.seed}"
            failed = round_ >= 0 and _uniform(key, "failure") < self.law.failure_rate
            late = self.law.late[int(_uniform(key, "late") * len(self.law.late))] if round_ >= 0 else 0
            observed = {n: float(v[i]) + self._noise(key, n, fidelity) for n, v in values.items()}
            answer = None if failed else observed
            out.append(Answer(row, fidelity, round_, max(round_ + 1 + late, 0), answer))
        return out

    def _allowed(self, fractions: Array) -> Array:
        x = self.oracle.checked(fractions)
        parts = np.rint(x * RESOLUTION)
        if self.oracle.pool is not None:
            known = {row.tobytes() for row in np.rint(self.oracle.pool * RESOLUTION)}
            inside = [row.tobytes() in known for row in parts]
        else:
            palette = self.oracle.palette
            inside = [
                row.sum() == RESOLUTION
                and palette.contains(Composition.from_fractions(palette.elements, row / RESOLUTION))
                for row in parts
            ]
        if not all(inside):
            row = inside.index(False)
            raise InputError(
                f"fractions[{row}]", x[row].tolist(), "lies outside what may be asked", "snap it first"
            )
        return np.asarray(parts / RESOLUTION)

    def _noise(self, key: str, name: str, fidelity: Fidelity) -> float:
        if not self.law.noise or fidelity == "cheap":
            return 0.0
        return float(self.oracle.noise[name] * ndtri(_uniform(key, f"noise of {name}")))


def _uniform(key: str, purpose: str) -> float:
    """A number in (0, 1) that follows from the text alone, whatever the platform."""
    digest = hashlib.blake2b(f"{purpose}|{key}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2**64


# -- the oracles -----------------------------------------------------------------------------------------------

_KIND_B_LARGEST: Final = 0.9
_KIND_B_ALUMINIUM: Final = 0.3


@lru_cache(maxsize=1)
def kind_b() -> Oracle:
    """Generation benchmark of kind B: real alloys, three properties by fixed nonlinear models.

    Alloys: those of the packaged literature that have three or more of Al Cr Hf Mo Nb Ta Ti V W Zr and no other
    element, at most 30 at.% Al and 90 at.% of one element. Properties, none of which a contestant may compute:

    - ``fracture_toughness_rice``: Rice's K of the oracle's G and nu (corrected by first-principles ternaries) and
      the linear combination of E_USF;
    - ``strength_1200C``: learned from published strengths; error in ``benchmarks/data/oracle_models.json``;
    - ``density``: molar volumes add.

    Outside the limits of Al and of the largest element the values are NaN: a composition there hits nothing.
    """
    elements = STRENGTH_ELEMENTS
    m = len(elements)
    upper = tuple(int(1000 * (_KIND_B_ALUMINIUM if e == "Al" else _KIND_B_LARGEST)) for e in elements)
    palette = Palette(elements, (1,) * m, upper, (False,) * m, 2, m)
    alloys = {row.composition for row in read_literature()}
    real = sorted(
        (c for c in alloys if len(c.elements) >= 3 and palette.contains(c)), key=lambda alloy: alloy.key
    )
    fractions = np.array([c.fraction_vector(elements) for c in real])

    def truth(x: Array) -> Values:
        g, nu = shear_modulus_and_poisson_ratio(x, elements)
        plain = predict_array(x, elements, ("unstable_stacking_fault_energy", "density"))
        values = {
            "fracture_toughness_rice": rice_toughness(g, plain["unstable_stacking_fault_energy"], nu),
            "strength_1200C": yield_strength(x, elements, SERVICE_K),
            "density": plain["density"],
        }
        outside = (x > np.array(upper) / RESOLUTION + 1e-9).any(axis=1)
        return {name: np.where(outside, np.nan, v) for name, v in values.items()}

    return Oracle(
        name="kind-b",
        elements=elements,
        palette=palette,
        targets={},
        units={"fracture_toughness_rice": "MPa m^0.5", "strength_1200C": "MPa", "density": "g/cm3"},
        noise={"fracture_toughness_rice": 0.0, "strength_1200C": 0.0, "density": 0.0},
        training=fractions,
        training_values=truth(fractions),
        pool=None,
        truth=truth,
    )


_RARE_ELEMENTS: Final = {
    7: ("Mo", "Nb", "Ta", "Ti", "V", "W", "Zr"),
    8: ELASTIC_ELEMENTS,
    9: ("Cr", "Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr"),
}
# the strength is asked for where about 1% of uniform random compositions hit
_RARE_STRENGTH: Final = {7: (450.0, 600.0), 8: (450.0, 600.0), 9: (500.0, 650.0)}


@lru_cache(maxsize=3)
def rare_hit(number_of_elements: int = 8) -> Oracle:
    """Campaign benchmark: stiff but not brittle, strong at 1200 degC, and stable against demixing to 400 K.

    Any composition of the elements with at most 40 at.% of each; no other constraint, so that the set is a simplex
    with upper bounds, which every optimiser can be told exactly. Three properties with intervals:

    - ``shear_modulus`` 65 to 80 GPa: first-principles-like (the correction of the linear combination reaches 30 GPa);
    - ``strength_1200C`` 450 to 600 MPa (500 to 650 with nine elements);
    - ``spinodal_temperature`` at most 400 K: an eigenvalue, with kinks and a flat floor at zero.

    The cheap fidelity: G by the linear combination, the strength of a test at 1000 degC, and the spinodal of the
    worst pair of elements alone; a tenth of the cost, exactly repeatable, and wrong.

    Args:
        number_of_elements: 7, 8 or 9.

    Raises:
        InputError: Another number.
    """
    if number_of_elements not in _RARE_ELEMENTS:
        raise InputError(
            "number_of_elements", number_of_elements, "is no variant of this oracle", "give 7, 8 or 9"
        )
    elements = _RARE_ELEMENTS[number_of_elements]
    m = len(elements)
    names = ("shear_modulus", "strength_1200C", "spinodal_temperature")

    def truth(x: Array) -> Values:
        parts = (
            shear_modulus_and_poisson_ratio(x, elements)[0],
            yield_strength(x, elements, SERVICE_K),
            spinodal_temperature(x, elements),
        )
        return dict(zip(names, parts, strict=True))

    def cheap(x: Array) -> Values:
        parts = (
            predict_array(x, elements, ("shear_modulus",))["shear_modulus"],
            yield_strength(x, elements, _CHEAP_TEST_K),
            _worst_pair(x, elements),
        )
        return dict(zip(names, parts, strict=True))

    return Oracle(
        name="rare-hit" if m == 8 else f"rare-hit-{m}",
        elements=elements,
        palette=Palette(elements, (1,) * m, (400,) * m, (False,) * m, 3, m),
        targets=dict(zip(names, ((65.0, 80.0), _RARE_STRENGTH[m], (0.0, 400.0)), strict=True)),
        units={"shear_modulus": "GPa", "strength_1200C": "MPa", "spinodal_temperature": "K"},
        noise={"shear_modulus": 1.5, "strength_1200C": 15.0, "spinodal_temperature": 20.0},
        training=np.empty((0, m)),
        training_values={name: np.empty(0) for name in names},
        pool=None,
        truth=truth,
        cheap=cheap,
    )


def _worst_pair(x: Array, elements: tuple[str, ...]) -> Array:
    """The highest spinodal of the pairs, each taken as a binary alone: 8 H x_i x_j / (R (x_i + x_j)), in K."""
    enthalpy = 1000 * mixing_enthalpy_matrix(elements)
    total = np.maximum(x[:, :, None] + x[:, None, :], 1e-12)
    pairs = 8 * enthalpy * x[:, :, None] * x[:, None, :] / total / constants.R
    return np.maximum(pairs.max(axis=(1, 2)), 0.0)


@lru_cache(maxsize=1)
def ternary_pool() -> Oracle:
    """Pool campaign: the 1,261 first-principles ternaries, values as published (10.1016/j.calphad.2024.102769).

    Targets that 20 of them (1.6%) meet: G 60 to 66 GPa, B 130 to 145 GPa, nu at most 0.30.
    """
    rows = read_first_principles()
    names = ("shear_modulus", "bulk_modulus", "poisson_ratio")
    return pool_oracle(
        "ternary-pool",
        ELASTIC_ELEMENTS,
        np.array([row.composition.fraction_vector(ELASTIC_ELEMENTS) for row in rows]),
        {name: np.array([getattr(row, name) for row in rows]) for name in names},
        targets={"shear_modulus": (60.0, 66.0), "bulk_modulus": (130.0, 145.0), "poisson_ratio": (0.0, 0.30)},
        units={"shear_modulus": "GPa", "bulk_modulus": "GPa", "poisson_ratio": "1"},
        noise={"shear_modulus": 1.0, "bulk_modulus": 2.0, "poisson_ratio": 0.003},
    )


def pool_oracle(
    name: str,
    elements: tuple[str, ...],
    pool: Array,
    table: Values,
    *,
    targets: dict[str, tuple[float, float]],
    units: dict[str, str],
    noise: dict[str, float],
) -> Oracle:
    """Alloys with known values: nothing else may be asked, and the values are the truth.

    Args:
        name: Of the oracle.
        elements: Symbols of the columns, ``m`` of them.
        pool: ``k x m`` fractions, different alloys, whole multiples of 0.001.
        table: Property to ``k`` values.
        targets: As in :class:`Oracle`.
        units: Likewise.
        noise: Likewise.
    """
    place = {row.tobytes(): i for i, row in enumerate(np.rint(pool * RESOLUTION))}
    m = len(elements)

    def truth(x: Array) -> Values:
        found = [place.get(row.tobytes()) for row in np.rint(x * RESOLUTION)]
        return {
            name: np.array([np.nan if i is None else values[i] for i in found], dtype=float)
            for name, values in table.items()
        }

    return Oracle(
        name=name,
        elements=elements,
        palette=Palette(elements, (1,) * m, (RESOLUTION,) * m, (False,) * m, 1, m),
        targets=targets,
        units=units,
        noise=noise,
        training=np.empty((0, m)),
        training_values={property_: np.empty(0) for property_ in table},
        pool=pool,
        truth=truth,
    )


ORACLES: Final[dict[str, Callable[[], Oracle]]] = {
    "rare-hit": rare_hit,
    "ternary-pool": ternary_pool,
    "rare-hit-7": lambda: rare_hit(7),
    "rare-hit-9": lambda: rare_hit(9),
}
"""The oracles of campaigns by name."""
