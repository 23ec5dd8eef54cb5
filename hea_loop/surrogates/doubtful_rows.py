"""A fit that does not trust every row: values that the rows around them contradict count as uncertain as they miss.

First-principles tables hold single alloys whose equation-of-state fit went astray, by up to 80 GPa in B between
neighbours that agree within 1 GPa. Normal noise would either chase them or take all rows for that noisy. Here a
row whose own value, predicted from all others, is missed by more than four robust standard deviations gets that
miss for its noise, the parameters are fitted again, and so on for a few rounds: iteratively reweighted
estimation with a redescending weight (Huber and Ronchetti, Robust Statistics, 2nd ed. 2009, section 4.8,
doi 10.1002/9780470434697), on the leave-one-out residuals of the process. No row is dropped, and whoever
evaluates the model counts the doubted rows like all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.surrogates.composition_gp import CompositionGP

__all__ = ["fit_doubting"]

Array = NDArray[np.float64]

_ROUNDS: Final = 3
_DOUBT: Final = 4.0  # robust standard deviations; of normal values one in 16,000 lies beyond
_MEDIAN_TO_SIGMA: Final = 1.4826  # of a normal distribution


def fit_doubting(
    elements: Sequence[str],
    fractions: Array,
    values: Array,
    *,
    prior_mean: Callable[[Any], Any] | None = None,
    seed: int = 0,
    start: CompositionGP | None = None,
) -> tuple[CompositionGP, NDArray[np.bool_]]:
    """Fit a :class:`CompositionGP` and say which rows it doubts.

    Args:
        elements: ``m`` symbols.
        fractions: ``n x m`` atomic fractions.
        values: ``n`` values, every one known, in the property's unit.
        prior_mean: As in :meth:`CompositionGP.fit`.
        seed: Likewise.
        start: Likewise.

    Returns:
        The model, and ``n`` times whether a row is doubted.

    Raises:
        InputError: As :meth:`CompositionGP.fit`.
    """
    y = np.asarray(values, dtype=float)
    model = CompositionGP.fit(elements, fractions, y, prior_mean=prior_mean, seed=seed, start=start)
    doubted = np.zeros(len(y), dtype=bool)
    alone = [str(i) for i in range(len(y))]
    for _ in range(_ROUNDS):
        missed = y - model.left_out(alone)[0]
        # the scatter of the rows, not what the model takes it for: doubtful rows have inflated that
        sigma = _MEDIAN_TO_SIGMA * np.median(np.abs(missed))
        found = np.abs(missed) > _DOUBT * sigma
        noise = np.where(found, np.abs(missed), np.nan)
        same = bool((found == doubted).all())
        doubted = found
        if same:
            break
        model = CompositionGP.fit(
            elements, fractions, y, prior_mean=prior_mean, noise=noise, seed=seed, start=model
        )
    return model, doubted
