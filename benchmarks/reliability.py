"""Scores of probabilities: balanced accuracy, calibration error, and the diagram that shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BINS",
    "balanced_accuracy",
    "bins_of_equal_count",
    "calibration_floor",
    "draw",
    "expected_calibration_error",
]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

BINS: Final = 10


def balanced_accuracy(observed: Flags, said: Flags) -> float:
    """Mean of the shares of the ones and of the others that were said right; NaN where either is missing."""
    if observed.all() or not observed.any():
        return float("nan")
    return float((said[observed].mean() + (~said)[~observed].mean()) / 2)


def bins_of_equal_count(probability: Array, bins: int = BINS) -> list[NDArray[np.intp]]:
    """Positions of the lowest tenth of the probabilities, of the next, ...; ties stay in the order given."""
    return [b for b in np.array_split(np.argsort(probability, kind="stable"), bins) if len(b)]


def expected_calibration_error(observed: Flags, probability: Array, bins: int = BINS) -> float:
    """Mean distance of the share observed from the mean probability, over bins of equal count.

    Naeini, Cooper and Hauskrecht, AAAI 2015, 2901, section "Calibration measures", there with bins of equal width.
    """
    parts = bins_of_equal_count(probability, bins)
    gaps = [len(b) * abs(observed[b].mean() - probability[b].mean()) for b in parts]
    return float(sum(gaps) / len(probability))


def calibration_floor(probability: Array, rng: np.random.Generator, draws: int = 1000) -> float:
    """The error that perfectly calibrated probabilities would show on as many observations, by chance alone."""
    found = [
        expected_calibration_error(rng.random(len(probability)) < probability, probability)
        for _ in range(draws)
    ]
    return float(np.mean(found))


def draw(observed: Flags, probability: Array, path: Path) -> Path:
    """Draw the reliability diagram: share observed against mean probability in each bin, with Wilson intervals.

    Returns:
        The PNG file.
    """
    from matplotlib.figure import Figure

    from hea_loop.scoring import wilson_interval

    figure = Figure(figsize=(5.2, 5.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="calibrated")
    for k, b in enumerate(bins_of_equal_count(probability)):
        share = observed[b].mean()
        low, high = wilson_interval(int(observed[b].sum()), len(b)) or (share, share)
        axes.errorbar(
            probability[b].mean(),
            share,
            yerr=[[share - low], [high - share]],
            fmt="o",
            color="tab:blue",
            capsize=3,
            label=f"bins of {len(b)} observations, 95% Wilson interval" if k == 0 else None,
        )
    axes.set_xlabel("probability, learned from other alloy systems")
    axes.set_ylabel("share reported as single-phase bcc")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.legend(loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
