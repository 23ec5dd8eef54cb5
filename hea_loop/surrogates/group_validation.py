"""Leaving whole groups of rows out and fitting again: what a model is worth where it has no data.

Rows of one system of elements lie on a grid and foretell each other, so leaving out single rows flatters a
model that will be asked about systems it has never seen. Neither the parameters nor the doubts of a fit see
the rows it is judged by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.errors import InputError
from hea_loop.surrogates.composition_gp import CompositionGP

__all__ = ["folds_of_groups", "left_out_by_refits", "systems_of", "widening_for"]

Array = NDArray[np.float64]

_NORMAL_95: Final = 1.959963984540054


def systems_of(elements: Sequence[str], fractions: Array) -> list[str]:
    """The system of elements of each of ``n x m`` rows, such as ``Hf-Mo-Ta``."""
    present = np.asarray(fractions) > 0
    return ["-".join(sorted(np.asarray(elements)[row])) for row in present]


def folds_of_groups(groups: Sequence[str], number: int, seed: int) -> list[NDArray[np.bool_]]:
    """Split rows so that no group is on both sides.

    Args:
        groups: ``n`` names.
        number: Of folds; at least as many as groups means one group each.
        seed: Of the order in which groups are dealt out.

    Returns:
        For each fold ``n`` times whether the row is left out.

    Raises:
        InputError: Fewer than two groups or folds.
    """
    names = np.asarray(groups)
    distinct = np.unique(names)
    if len(distinct) < 2 or number < 2:
        raise InputError(
            "groups", len(distinct), f"cannot be dealt out to {number} folds", "give two or more"
        )
    order = distinct[np.random.default_rng(seed).permutation(len(distinct))]
    count = min(number, len(distinct))
    return [np.isin(names, order[i::count]) for i in range(count)]


def left_out_by_refits(
    fit: Callable[[NDArray[np.bool_]], CompositionGP],
    fractions: Array,
    folds: Sequence[NDArray[np.bool_]],
) -> tuple[Array, Array]:
    """Predict each fold by a model fitted on the other rows alone.

    Args:
        fit: From ``n`` times whether a row may be used, a model.
        fractions: ``n x m`` atomic fractions.
        folds: ``n`` times whether a row is left out, for each fold.

    Returns:
        ``n`` predictions and ``n`` standard deviations of an observation; NaN for rows in no fold.
    """
    mean, sigma = np.full(len(fractions), np.nan), np.full(len(fractions), np.nan)
    for held in folds:
        mean[held], sigma[held] = fit(~held).predict(fractions[held], noise=True)
    return mean, sigma


def widening_for(values: Array, mean: Array, sigma: Array) -> float:
    """Factor on the standard deviations with which 95% of left-out values lie within 1.96 of them."""
    known = np.isfinite(mean)
    ratio = np.abs(np.asarray(values)[known] - mean[known]) / sigma[known]
    return float(np.quantile(ratio, 0.95)) / _NORMAL_95
