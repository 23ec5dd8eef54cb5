"""The model: rivals of bcc that spoil an observation independently of each other, and its fit.

    P(single) = (1 - b(s)) prod_k (1 - q_k),   q_k = logistic(a_k + c_k (t_k - 0.55) / 0.1),   c_k >= 0

t_k is the homologous temperature up to which rival class k is stable, q_k the probability that it is seen, b(s)
that of anything else in processing state s (contamination, what the database does not know). A noisy-or (Pearl,
Probabilistic Reasoning in Intelligent Systems, 1988, section 4.3.2). Its few coefficients each say something: more
of a rival never helps, two rivals are worse than one, and which of them speaks against an alloy is part of the
answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.errors import InputError
from validators.calphad.observed.competition import RIVALS
from validators.calphad.observed.processing import AS_CAST, PROCESSING_STATES

__all__ = ["NoisyOr", "fit"]

Array = NDArray[np.float64]

_CENTRE, _UNIT = 0.55, 0.1
_SLOPE_SD: Final = 3.0  # logits per 0.1 of homologous temperature: weakly informative
_STATE_SD: Final = 2.0  # logits between a state and castings: few reports move it little
_LEVEL_MEAN, _LEVEL_SD = -2.0, 5.0
_OTHERS: Final = tuple(s for s in PROCESSING_STATES if s != AS_CAST)
_CLASSES: Final = len(RIVALS)


@dataclass(frozen=True, slots=True)
class NoisyOr:
    """Coefficients in logits.

    Attributes:
        levels: ``(4,)`` a_k, at 0.55 of the solidus.
        slopes: ``(4,)`` c_k, per 0.1 of the solidus.
        background: One per processing state.
    """

    levels: tuple[float, ...]
    slopes: tuple[float, ...]
    background: tuple[float, ...]

    def spoilers(self, stable_up_to: Array, states: Sequence[str]) -> Array:
        """Probability that each class of rivals, and last anything else, is seen, ``(n, 5)``.

        Args:
            stable_up_to: ``(n, 4)`` of :class:`Competition`.
            states: ``n`` processing states.
        """
        z = np.asarray(self.levels) + np.asarray(self.slopes) * (stable_up_to - _CENTRE) / _UNIT
        other = np.asarray(self.background)[[PROCESSING_STATES.index(s) for s in states]]
        with np.errstate(over="ignore"):
            result: Array = 1.0 / (1.0 + np.exp(-np.column_stack([z, other])))
        return result

    def probability(self, stable_up_to: Array, states: Sequence[str]) -> Array:
        """Probability of being observed as single-phase bcc, ``(n,)``."""
        result: Array = (1.0 - self.spoilers(stable_up_to, states)).prod(axis=1)
        return result

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, to six decimals: what is written is what is used."""
        return {
            "levels": dict(zip(RIVALS, (round(v, 6) for v in self.levels), strict=True)),
            "slopes_per_tenth_of_solidus": dict(zip(RIVALS, (round(v, 6) for v in self.slopes), strict=True)),
            "background": dict(zip(PROCESSING_STATES, (round(v, 6) for v in self.background), strict=True)),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> NoisyOr:
        """The inverse of :meth:`to_json`."""
        return cls(
            tuple(float(data["levels"][k]) for k in RIVALS),
            tuple(float(data["slopes_per_tenth_of_solidus"][k]) for k in RIVALS),
            tuple(float(data["background"][k]) for k in PROCESSING_STATES),
        )


def fit(
    stable_up_to: Array, states: Sequence[str], observed: NDArray[np.bool_], weights: Array | None = None
) -> NoisyOr:
    """Fit by penalised maximum likelihood: normal priors, of widths stated in this module, none of them tuned.

    Args:
        stable_up_to: ``(n, 4)`` of :class:`Competition`, finite.
        states: ``n`` processing states.
        observed: ``(n,)`` whether it was reported as single-phase bcc.
        weights: ``(n,)`` how often each counts; once if not given.

    Raises:
        InputError: All of the observations are alike.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    single = np.asarray(observed, dtype=bool)
    if single.all() or not single.any():
        raise InputError("observed", f"{single.sum()} of {len(single)}", "are all alike", "give both kinds")
    weight = np.ones(len(single)) if weights is None else np.asarray(weights, dtype=float)
    z = (np.asarray(stable_up_to, dtype=float) - _CENTRE) / _UNIT
    of_state = np.array([[s == o for o in _OTHERS] for s in states], dtype=float)
    k = _CLASSES
    # levels, slopes, background of castings, differences of the other states from it
    mean = np.concatenate([np.full(k, _LEVEL_MEAN), np.zeros(k), [_LEVEL_MEAN], np.zeros(len(_OTHERS))])
    sd = np.concatenate(
        [np.full(k, _LEVEL_SD), np.full(k, _SLOPE_SD), [_LEVEL_SD], np.full(len(_OTHERS), _STATE_SD)]
    )

    def loss(p: Array) -> tuple[float, Array]:
        logits = np.column_stack([p[:k] + z * p[k : 2 * k], p[2 * k] + of_state @ p[2 * k + 1 :]])
        log_p = np.minimum(-np.logaddexp(0.0, logits).sum(axis=1), -1e-12)
        log_q = np.log(-np.expm1(log_p))
        value = -(weight * np.where(single, log_p, log_q)).sum()
        # d log p / d logit is -expit; d log(1 - p) / d log p is -p / (1 - p)
        outer = weight * np.where(single, 1.0, -np.exp(log_p - log_q))
        inner = expit(logits) * outer[:, None]
        gradient = np.concatenate(
            [
                inner[:, :k].sum(axis=0),
                (inner[:, :k] * z).sum(axis=0),
                [inner[:, k].sum()],
                of_state.T @ inner[:, k],
            ]
        )
        off = (p - mean) / sd
        return float(value + 0.5 * (off @ off)), gradient + off / sd

    start = mean.copy()
    start[k : 2 * k] = 1.0
    bounds = [(None, None)] * k + [(0.0, None)] * k + [(None, None)] * (1 + len(_OTHERS))
    p = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 2000, "ftol": 1e-12, "gtol": 1e-8},
    ).x
    by_state = {AS_CAST: p[2 * k]} | dict(zip(_OTHERS, p[2 * k] + p[2 * k + 1 :], strict=True))
    return NoisyOr(
        tuple(float(v) for v in p[:k]),
        tuple(float(v) for v in p[k : 2 * k]),
        tuple(float(by_state[s]) for s in PROCESSING_STATES),
    )
