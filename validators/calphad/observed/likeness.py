"""What alloys of like composition and like rivals showed: a Gaussian process on top of the model of rivals.

The latent value of an alloy is the logit of :class:`~validators.calphad.observed.model.NoisyOr` plus a function
that is drawn from a Gaussian process: alloys of like composition whose rivals are stable up to like temperatures
deviate alike, others not at all. It is learned by Laplace's approximation (Rasmussen and Williams, Gaussian
Processes for Machine Learning, 2006, sections 3.4 and 3.6, algorithms 3.1 and 3.2); where nothing like an alloy was
seen, what the rivals say stands, with the variance of the prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.composition import Composition
from validators.calphad.observed.model import NoisyOr, fit
from validators.calphad.observed.processing import PROCESSING_STATES

__all__ = ["KERNELS", "Evidence", "Kernel", "Learned", "learn", "logit_of"]

Array = NDArray[np.float64]

_SAME_STATE: Final = 0.25
"""Share of the likeness that two alloys lose by not being in the same processing state."""
_LINEAR: Final = 0.09
_ELEMENT: Final = 3.0
_STATE: Final = 0.1
_NEWTON_STEPS: Final = 60
_SETTLED: Final = 1e-8
_LEAST: Final = 1e-4  # logits are of probabilities within this of 0 and 1
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(24)


@dataclass(frozen=True, slots=True)
class Kernel:
    """How alike two alloys are.

    Attributes:
        amplitude: Standard deviation of the deviations, in logits.
        composition: Distance of the square roots of the atomic fractions over which likeness fades.
        homologous: Distance of the four homologous temperatures over which it fades.
    """

    amplitude: float
    composition: float
    homologous: float


KERNELS: Final = tuple(Kernel(a, 0.5 * s, 0.2 * s) for a in (1.0, 2.0) for s in (1.0, 2.0))
"""Those that are chosen from by leaving out alloy systems of the training data."""


def logit_of(p: Array) -> Array:
    """Logit of probabilities, kept finite."""
    q = np.clip(p, _LEAST, 1.0 - _LEAST)
    result: Array = np.log(q) - np.log1p(-q)
    return result


@dataclass(frozen=True)
class Evidence:
    """Observations with the features of :class:`~validators.calphad.observed.competition.Competition`.

    Attributes:
        compositions: ``n`` alloys.
        stable_up_to: ``(n, 4)``, finite.
        states: ``n`` processing states.
        elements: The elements that compositions are compared by.
    """

    compositions: tuple[Composition, ...]
    stable_up_to: Array
    states: tuple[str, ...]
    elements: tuple[str, ...]

    @cached_property
    def roots(self) -> Array:
        """``(n, m)`` square roots of the atomic fractions."""
        result: Array = np.sqrt(
            [[c.fractions.get(e, 0.0) for e in self.elements] for c in self.compositions]
        ).reshape(len(self.compositions), len(self.elements))
        return result

    @cached_property
    def state(self) -> NDArray[np.intp]:
        """``(n,)`` number of the processing state."""
        return np.array([PROCESSING_STATES.index(s) for s in self.states], dtype=np.intp)

    @cached_property
    def systems(self) -> NDArray[np.str_]:
        """``(n,)`` sets of elements."""
        return np.array([c.system for c in self.compositions], dtype=np.str_)

    @property
    def weights(self) -> Array:
        """``(n,)`` of mean 1: one over the root of the number of observations of the alloy's system.

        Observations of one system, mostly of one publication, err together; ninety-eight of them are no
        ninety-eight independent ones, nor only one.
        """
        _, member, count = np.unique(self.systems, return_inverse=True, return_counts=True)
        weight = 1.0 / np.sqrt(count[member])
        result: Array = weight / weight.mean()
        return result

    def take(self, rows: NDArray[np.intp]) -> Evidence:
        """Some of them."""
        return Evidence(
            tuple(self.compositions[k] for k in rows),
            self.stable_up_to[rows],
            tuple(self.states[k] for k in rows),
            self.elements,
        )

    def likeness(self, other: Evidence, kernel: Kernel) -> Array:
        """Covariances, ``(n, k)``."""
        same = self.state[:, None] == other.state[None, :]
        apart = _squares(self.roots, other.roots) / kernel.composition**2
        apart += _squares(self.stable_up_to, other.stable_up_to) / kernel.homologous**2
        result: Array = kernel.amplitude**2 * np.exp(-apart / 2.0) * np.where(same, 1.0, 1.0 - _SAME_STATE)
        result += _LINEAR * (1.0 + _ELEMENT * self.roots**2 @ (other.roots**2).T) + _STATE * same
        return result


def _squares(a: Array, b: Array) -> Array:
    result: Array = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)
    return result


@dataclass(frozen=True, slots=True)
class _Posterior:
    """Laplace's approximation at the training points.

    Attributes:
        dual: ``(n,)`` gradient of the log likelihood at the mode: K times it is the mode less the prior mean.
        root: ``(n,)`` square roots of the negative second derivatives.
        factor: ``(n, n)`` lower Cholesky factor of 1 + root K root.
        left_out: ``(n,)`` probability of each observation without those of its system; empty unless asked for.
    """

    dual: Array
    root: Array
    factor: Array
    left_out: Array


def _laplace(
    covariance: Array,
    prior: Array,
    single: NDArray[np.bool_],
    weights: Array,
    groups: Sequence[NDArray[np.intp]] = (),
) -> _Posterior:
    """Newton's method for the mode (algorithm 3.1), each observation counting ``weights`` times."""
    from scipy.linalg import cho_solve, cholesky
    from scipy.special import expit

    one = np.eye(len(prior))

    def curvature(f: Array) -> tuple[Array, Array, Array]:
        p = expit(f)
        root = np.sqrt(weights * p * (1.0 - p) + 1e-10)
        return weights * (single - p), root, cholesky(one + root[:, None] * covariance * root, lower=True)

    f = prior.copy()
    for _ in range(_NEWTON_STEPS):
        gradient, root, factor = curvature(f)
        b = root**2 * (f - prior) + gradient
        dual = b - root * cho_solve((factor, True), root * (covariance @ b))
        step = prior + covariance @ dual - f
        f = f + step
        if np.abs(step).max() < _SETTLED:
            break
    gradient, root, factor = curvature(f)
    left_out = np.full(len(prior) if groups else 0, np.nan)
    if groups:
        # the Gaussian sites of the approximation without those of a group (as section 5.4.2, for groups)
        precision = root[:, None] * cho_solve((factor, True), np.diag(root))
        pulled = precision @ (f + gradient / root**2 - prior)
        for g in groups:
            spread = np.linalg.inv(precision[np.ix_(g, g)])
            site = f[g] + gradient[g] / root[g] ** 2
            mean = site - spread @ pulled[g]
            left_out[g] = averaged(mean, np.maximum(np.diag(spread) - 1.0 / root[g] ** 2, 0.0))[0]
    return _Posterior(gradient, root, factor, left_out)


def averaged(mean: Array, variance: Array) -> tuple[Array, Array]:
    """Mean and standard deviation, ``(n,)`` each, of the logistic of normal variables."""
    from scipy.special import expit

    p = expit(mean[:, None] + np.sqrt(variance)[:, None] * _NODES)
    share = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()
    average: Array = p @ share
    return average, np.sqrt(np.maximum((p**2) @ share - average**2, 0.0))


@dataclass(frozen=True)
class Learned:
    """Rivals and likeness together.

    Attributes:
        rivals: What each rival does by itself.
        kernel: How likeness fades.
        evidence: What was learned from, ``n`` observations.
        single: ``(n,)`` whether they were reported as single-phase bcc.
    """

    rivals: NoisyOr
    kernel: Kernel
    evidence: Evidence
    single: NDArray[np.bool_]

    @cached_property
    def _posterior(self) -> _Posterior:
        known = self.evidence
        prior = logit_of(self.rivals.probability(known.stable_up_to, known.states))
        return _laplace(known.likeness(known, self.kernel), prior, self.single, known.weights)

    def latent(self, asked: Evidence) -> tuple[Array, Array]:
        """Mean and variance, ``(k,)`` each, of the latent values of some alloys, in logits."""
        from scipy.linalg import solve_triangular

        found = self._posterior
        cross = asked.likeness(self.evidence, self.kernel)
        prior = logit_of(self.rivals.probability(asked.stable_up_to, asked.states))
        # an alloy with itself: everything alike
        own = self.kernel.amplitude**2 + _STATE
        own = own + _LINEAR * (1.0 + _ELEMENT * (asked.roots**4).sum(axis=1))
        half = solve_triangular(found.factor, found.root[:, None] * cross.T, lower=True)
        return prior + cross @ found.dual, np.maximum(own - (half**2).sum(axis=0), 0.0)

    def probability(self, asked: Evidence) -> Array:
        """Probability of being observed as single-phase bcc, ``(k,)``."""
        return averaged(*self.latent(asked))[0]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: coefficients, kernel and the observations; the rest follows from them."""
        known = self.evidence
        return {
            "coefficients": self.rivals.to_json(),
            "kernel": {
                "amplitude": self.kernel.amplitude,
                "composition": self.kernel.composition,
                "homologous": self.kernel.homologous,
            },
            "observations": [
                [c.key, state, int(said), *(round(float(v), 6) for v in top)]
                for c, state, said, top in zip(
                    known.compositions, known.states, self.single, known.stable_up_to, strict=True
                )
            ],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], elements: Sequence[str]) -> Learned:
        """The inverse of :meth:`to_json`."""
        rows = data["observations"]
        return cls(
            NoisyOr.from_json(data["coefficients"]),
            Kernel(**{name: float(value) for name, value in data["kernel"].items()}),
            Evidence(
                tuple(Composition.from_key(str(row[0])) for row in rows),
                np.array([[float(v) for v in row[3:]] for row in rows]),
                tuple(str(row[1]) for row in rows),
                tuple(elements),
            ),
            np.array([bool(row[2]) for row in rows], dtype=bool),
        )


def learn(evidence: Evidence, single: NDArray[np.bool_]) -> Learned:
    """Fit the rivals, then choose the kernel that predicts alloy systems left out of these data best.

    Args:
        evidence: ``n`` observations.
        single: ``(n,)`` whether they were reported as single-phase bcc.

    Raises:
        InputError: All of them are alike.
    """
    said = np.asarray(single, dtype=bool)
    weights, systems = evidence.weights, evidence.systems
    rivals = fit(evidence.stable_up_to, evidence.states, said, weights)
    # as written to six decimals: what is packaged is what was fitted
    rivals = NoisyOr.from_json(rivals.to_json())
    prior = logit_of(rivals.probability(evidence.stable_up_to, evidence.states))
    groups = [np.flatnonzero(systems == s) for s in np.unique(systems)]

    def loss(kernel: Kernel) -> float:
        p = _laplace(evidence.likeness(evidence, kernel), prior, said, weights, groups).left_out
        return float(-(weights * np.log(np.clip(np.where(said, p, 1.0 - p), _LEAST, 1.0))).sum())

    return Learned(rivals, min(KERNELS, key=loss), evidence, said)
