"""The elastic model of a campaign: first-principles literature below, what validators and the bench add above.

The lowest level is :class:`hea_loop.surrogates.elastic.ElasticSurrogate` on the literature's first-principles alloys.
What validators found at the fidelity ``dft`` comes from other methods, and experiments from another world: each is a
level of its own on the one below, after Kennedy and O'Hagan (see :mod:`hea_loop.surrogates.property_surrogate`):

    f_high(x) = prior(x) + rho (f_low(x) - prior(x)) + delta(x)

with the linear combination for the prior. rho is one as long as a level has fewer than 40 rows: a campaign's rows lie
together in composition, and say little about a slope. A property is predicted at its highest level.

Polycrystals are measured by their Young's modulus more often than by G: such a value counts as G = E / (2 (1 + nu)),
the relation of an isotropic solid (Landau and Lifshitz, Theory of Elasticity, 3rd ed. 1986, eq. 5.9), with nu of the
levels below, whose error of 0.01 moves G by less than one percent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from hea_loop.composition import Composition
from hea_loop.elasticity import LEARNED_PROPERTIES, LEARNED_SOURCE
from hea_loop.elements import element_vector
from hea_loop.errors import InputError
from hea_loop.surrogates.composition_gp import CompositionGP, LinearCombination
from hea_loop.surrogates.elastic import (
    ELASTIC_PROPERTIES,
    ElasticSurrogate,
    element_values,
    learned_part,
    rice_of,
)
from hea_loop.surrogates.property_surrogate import fit_above

__all__ = ["LEVELS", "ElasticData", "ElasticRow", "FirstPrinciples", "fit_base", "fit_first_principles"]

Array = NDArray[np.float64]

LEVELS: Final = ("literature", "dft", "experiment")
"""First-principles literature, then what validators found at the fidelity ``dft``, then experiments."""

_VERSION: Final = "1"
_METHOD: Final = f"first-principles-gp/{_VERSION}"
_FEWEST_TO_LINK: Final = 40
_YOUNG: Final = "youngs_modulus"
_EXPECTED_SHARE: Final = 0.5
"""Two methods are expected to differ by half of what the linear combination misses: a guess worth four rows."""
_POISSON: Final = "poisson_ratio"
_RICE: Final = "fracture_toughness_rice"

_KNOWN_WIDENING: Final = {
    "98cf58a162b074b424f9ca71fbbe8d0584cb4279c7ff6b56ae0a3671def5d6f2": {
        "shear_modulus": 1.815,
        "bulk_modulus": 2.884,
        "poisson_ratio": 2.706,
    }
}
"""By the hash of the packaged ternaries, what :func:`fit_base` finds on them when it has to: a minute and a half."""


@dataclass(frozen=True, slots=True)
class ElasticRow:
    """One value of G, B or nu of one alloy.

    Attributes:
        composition: Of which.
        property: One of :data:`hea_loop.surrogates.elastic.ELASTIC_PROPERTIES`, or ``youngs_modulus``.
        value: In its unit.
        sigma: Its stated standard uncertainty, or None.
        level: One of :data:`LEVELS`.
    """

    composition: Composition
    property: str
    value: float
    sigma: float | None
    level: str


@dataclass(frozen=True, slots=True)
class ElasticData:
    """Everything the model learns from, in an order that does not depend on when it was stored."""

    rows: tuple[ElasticRow, ...]

    def __post_init__(self) -> None:
        order = sorted(
            self.rows,
            key=lambda r: (LEVELS.index(r.level), r.composition.key, r.property, r.value, r.sigma or 0),
        )
        object.__setattr__(self, "rows", tuple(order))

    def of(self, level: str) -> ElasticData:
        """The rows of one level."""
        return ElasticData(tuple(r for r in self.rows if r.level == level))

    @property
    def sha256(self) -> str:
        """Hash of the content."""
        digest = hashlib.sha256()
        for r in self.rows:
            digest.update(f"{r.level}|{r.composition.key}|{r.property}|{r.value!r}|{r.sigma!r}\n".encode())
        return digest.hexdigest()

    @property
    def alloys(self) -> int:
        """Different alloys among the rows."""
        return len({r.composition.key for r in self.rows})


@dataclass(frozen=True, slots=True)
class _Above:
    """A level above the literature of one property."""

    elements: tuple[str, ...]
    rho: float
    process: CompositionGP


@dataclass(frozen=True, slots=True)
class FirstPrinciples:
    """A :class:`hea_loop.elasticity.ElasticModel`; build it with :func:`fit_first_principles`.

    Attributes:
        base: Learned from the literature.
        above: Property to its higher levels, the lowest first.
        alloys: Level to the number of alloys that it was learned from.
        sha256: Hash of all that was learned from.
    """

    base: ElasticSurrogate
    above: Mapping[str, tuple[_Above, ...]]
    alloys: Mapping[str, int]
    sha256: str

    @property
    def source(self) -> str:
        """The source of its values in the store."""
        return f"{LEARNED_SOURCE}{_VERSION}:{self.sha256[:12]}"

    def method(self, name: str) -> str:
        """How a property is predicted: version, hash of the data, and how many alloys each level has."""
        learned = ", ".join(f"{number} {level}" for level, number in self.alloys.items() if number)
        text = f"{_METHOD} on linear-combination-bcc/1, learned from {learned} (data {self.sha256[:12]})"
        return f"{text} + rice/1" if name == _RICE else text

    def means(
        self, fractions: Array, elements: Sequence[str], names: Sequence[str] = LEARNED_PROPERTIES
    ) -> dict[str, Array]:
        """Means of ``n x m`` fractions by property, ``n`` numbers each in its unit.

        Args:
            fractions: Rows summing to one.
            elements: ``m`` symbols, not necessarily the learned ones.
            names: Of :data:`hea_loop.elasticity.LEARNED_PROPERTIES`.

        Raises:
            InputError: An element of some alloy lacks what a property needs.
        """
        return {n: mean for n, (mean, _) in self._all(fractions, elements, names, sure=False).items()}

    def predict(
        self, fractions: Array, elements: Sequence[str], names: Sequence[str] = LEARNED_PROPERTIES
    ) -> dict[str, tuple[Array, Array]]:
        """Means and standard deviations, with the arguments and errors of :meth:`means`."""
        return self._all(fractions, elements, names, sure=True)

    def _all(
        self, fractions: Array, elements: Sequence[str], names: Sequence[str], *, sure: bool
    ) -> dict[str, tuple[Array, Array]]:
        x, symbols = np.asarray(fractions, dtype=float), tuple(elements)
        if x.ndim != 2 or x.shape[1] != len(symbols):
            raise InputError("fractions", x.shape, f"is not n x {len(symbols)}", "one column per element")
        if unknown := [n for n in names if n not in LEARNED_PROPERTIES]:
            raise InputError(
                "property", unknown[0], "was not learned", f"use {', '.join(LEARNED_PROPERTIES)}"
            )
        parts = {p for n in names for p in (("shear_modulus", "poisson_ratio") if n == _RICE else (n,))}
        found: dict[str, tuple[Array, Array]] = {
            p: self._one(p, x, symbols, sure=sure) for p in ELASTIC_PROPERTIES if p in parts
        }
        if _RICE in names:
            if len(x):
                found[_RICE] = rice_of(x, symbols, found["shear_modulus"], found["poisson_ratio"])
            else:
                found[_RICE] = (np.empty(0), np.empty(0))
        return {n: found[n] for n in names}

    def _one(self, name: str, x: Array, symbols: tuple[str, ...], *, sure: bool) -> tuple[Array, Array]:
        if sure:
            mean, sigma = self.base.predict_one(name, x, symbols)
        else:
            mean = self.base.means(name, x, symbols)
            sigma = np.zeros(len(x))
        return _raised(name, self.base, self.above.get(name, ()), (x, symbols), (mean, sigma), sure=sure)


def _raised(
    name: str,
    base: ElasticSurrogate,
    levels: Sequence[_Above],
    rows: tuple[Array, tuple[str, ...]],
    low: tuple[Array, Array],
    *,
    sure: bool,
) -> tuple[Array, Array]:
    """Take predictions of the literature's level up through the others.

    With ``u`` the share of an alloy in elements that nobody learned, a level's correction counts ``1 - u``, and its
    variance goes over to that of the whole difference, as in :meth:`ElasticSurrogate.predict`.
    """
    mean, sigma = low
    for k, level in enumerate(levels):
        part, weight = learned_part(*rows, level.elements)
        below = _mean_of(name, base, levels[:k], level.elements)(part)
        here, spread = (
            level.process.predict(part) if sure else (level.process.means(part), np.zeros(len(part)))
        )
        mean = mean + weight * (here - below)
        own = weight**2 * spread**2 + (1 - weight**2) * level.process.spread**2
        sigma = np.sqrt(level.rho**2 * sigma**2 + own)
    return mean, sigma


def _mean_of(
    name: str, base: ElasticSurrogate, levels: Sequence[_Above], elements: tuple[str, ...]
) -> Callable[[Array], Array]:
    """The mean of the highest of some levels as a function of ``n x m`` fractions."""

    def mean(x: Array) -> Array:
        zero = np.zeros(len(x))
        low = (base.means(name, x, elements), zero)
        return _raised(name, base, levels, (x, elements), low, sure=False)[0]

    return mean


def fit_base(data: ElasticData, *, widening: Mapping[str, float] | None = None) -> ElasticSurrogate:
    """Learn the literature's level; the costly part.

    Args:
        data: Alloys with G, B and nu; others, and alloys with elements that the table lacks, are left out.
        widening: As in :meth:`ElasticSurrogate.fit`; None takes the known one of these very data, or finds it.

    Raises:
        InputError: No such alloy.
    """
    rows = data.of("literature")
    values: dict[str, dict[str, float]] = {}
    for r in rows.rows:
        values.setdefault(r.composition.key, {})[r.property] = r.value
    whole = {k: v for k, v in values.items() if len(v) == len(ELASTIC_PROPERTIES)}
    alloys = {key: c for key in whole if _in_table(c := Composition.from_key(key))}
    if not alloys:
        raise InputError(
            "elasticity",
            "first-principles",
            "finds no first-principles alloy with G, B and nu in the store",
            "load the packaged data, or take linear-combination",
        )
    elements = tuple(sorted({e for c in alloys.values() for e in c.elements}))
    x = np.array([c.fraction_vector(elements) for c in alloys.values()])
    G, B, nu = (np.array([whole[key][name] for key in alloys]) for name in ELASTIC_PROPERTIES)
    known = widening if widening is not None else _KNOWN_WIDENING.get(rows.sha256)
    return ElasticSurrogate.fit(elements, x, G, B, nu, widening=known)


def _in_table(composition: Composition) -> bool:
    return all(np.isfinite(element_vector(composition.elements, n)).all() for n in ELASTIC_PROPERTIES)


def fit_first_principles(
    data: ElasticData, *, base: ElasticSurrogate | None = None, widening: Mapping[str, float] | None = None
) -> FirstPrinciples:
    """Learn all levels; the same data and versions give the same model, in whatever order they came.

    Args:
        data: Of all levels.
        base: The literature's level, where it has been learned from the same rows before.
        widening: As in :func:`fit_base`.

    Raises:
        InputError: As :func:`fit_base`.
    """
    lowest = fit_base(data, widening=widening) if base is None else base
    above: dict[str, tuple[_Above, ...]] = {}
    for level in LEVELS[1:]:
        rows = data.of(level).rows
        for name in ELASTIC_PROPERTIES:
            used = [r for r in rows if r.property == name and _has_value(r.composition, name)]
            if name == "shear_modulus":
                used += _from_young(rows, lowest, above.get("poisson_ratio", ()))
            if used:
                levels = above.get(name, ())
                above[name] = (*levels, _fit_level(name, lowest, levels, used))
    alloys = {level: data.of(level).alloys for level in LEVELS}
    return FirstPrinciples(lowest, MappingProxyType(above), MappingProxyType(alloys), data.sha256)


def _from_young(
    rows: Sequence[ElasticRow], base: ElasticSurrogate, levels: tuple[_Above, ...]
) -> list[ElasticRow]:
    """Values of G from those of Young's modulus of the same level."""
    out = []
    for r in rows:
        if r.property != _YOUNG or not all(_has_value(r.composition, n) for n in ("shear_modulus", _POISSON)):
            continue
        elements = r.composition.elements
        nu = _mean_of(_POISSON, base, levels, elements)(np.array([r.composition.fraction_vector(elements)]))
        share = 1 / (2 * (1 + float(nu[0])))
        sigma = None if r.sigma is None else r.sigma * share
        out.append(ElasticRow(r.composition, "shear_modulus", r.value * share, sigma, r.level))
    return out


def _has_value(composition: Composition, name: str) -> bool:
    return bool(np.isfinite(element_vector(composition.elements, name)).all())


def _fit_level(
    name: str, base: ElasticSurrogate, levels: tuple[_Above, ...], rows: Sequence[ElasticRow]
) -> _Above:
    elements = tuple(sorted({*base.elements, *(e for r in rows for e in r.composition.elements)}))
    x = np.array([r.composition.fraction_vector(elements) for r in rows])
    low = _mean_of(name, base, levels, elements)
    prior = LinearCombination(tuple(float(v) for v in element_values(name, elements)))

    def below(rows: Any) -> Any:
        return torch.as_tensor(low(rows.detach().numpy()))

    rho, process = fit_above(
        elements,
        x,
        np.array([r.value for r in rows]),
        below,
        prior_mean=prior,
        noise=np.array([np.nan if not r.sigma else r.sigma for r in rows]),
        spread=_EXPECTED_SHARE * base.prior_sigma[name],
        groups=[r.composition.system for r in rows],
        fewest_to_link=_FEWEST_TO_LINK,
    )
    # so few rows can show that intervals are too narrow, but not that they are too wide
    return _Above(elements, rho, replace(process, widening=max(1.0, process.widening)))
