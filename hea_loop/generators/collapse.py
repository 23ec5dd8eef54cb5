"""Collapse, watched for while a generator trains: does it still give different answers to one condition?

A conditional generator has collapsed when it answers a condition with one composition whatever the latent noise.
Its error may look fine then, so the monitor asks, every so often, a few probe conditions several times each and
measures the mean total-variation distance among the answers to one condition
(:func:`hea_loop.generators.quality.diversity`). Measures that stay below the bound, several in a row, are a
collapse; a generator that recovers has not collapsed.

>>> import numpy as np
>>> monitor = CollapseMonitor(np.array([[80.0], [90.0]]), seed=1, patience=2)
>>> same = lambda wanted, seed: np.tile([0.5, 0.5], (len(wanted), 1))
>>> [monitor.observe(step, same)["collapsed"] for step in (10, 20, 30)]
[0.0, 1.0, 1.0]
>>> monitor.metrics()
{'collapsed': True, 'collapsed_at_step': 10}
>>> collapse_words(monitor.metrics())
'collapsed: since step 10 of training it answers one condition with one composition'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from hea_loop.errors import InputError
from hea_loop.generators.quality import COLLAPSE_DIVERSITY, diversity, without_traces

if TYPE_CHECKING:
    from hea_loop.generators.protocol import TrainingData

__all__ = ["Answer", "CollapseMonitor", "collapse_words", "probe_conditions"]

Array = NDArray[np.float64]

Answer = Callable[[Array, int], Array]
"""From ``k x p`` conditions and a seed to ``k x m`` fractions: the generator as it stands."""

_PROBES: Final = 4
_ANSWERS: Final = 16


def probe_conditions(data: TrainingData, number: int = _PROBES) -> Array:
    """Conditions of real alloys spread over the range of the first property, ``number x p``.

    Alloys of which a property is unknown are asked for with that property open (NaN).
    """
    known = np.flatnonzero(np.isfinite(data.conditions[:, 0]))
    order = known[np.argsort(data.conditions[known, 0], kind="stable")]
    places = np.linspace(0, len(order) - 1, number + 2).astype(int)[1:-1]
    out: Array = data.conditions[order[places]]
    return out


class CollapseMonitor:
    """Measures diversity at probe conditions during training and remembers since when it is too low.

    Args:
        probes: ``k x p`` conditions to ask, in units (NaN for an open one if the generator takes it).
        seed: Of the latent noise of the answers; the check at a step always draws the same.
        answers: Answers to each probe, at least two.
        bound: Diversity below which a generator has collapsed.
        patience: Measures below the bound in a row that make a collapse.

    Attributes:
        history: (step, diversity) of every check.
    """

    def __init__(
        self,
        probes: Array,
        *,
        seed: int,
        answers: int = _ANSWERS,
        bound: float = COLLAPSE_DIVERSITY,
        patience: int = 3,
    ) -> None:
        if answers < 2 or patience < 1:
            raise InputError(
                "collapse monitor",
                (answers, patience),
                "are too few answers or checks",
                "give 2 and 1 or more",
            )
        self._probes = np.atleast_2d(np.asarray(probes, dtype=np.float64))
        self._seed = seed
        self._answers = answers
        self._bound = bound
        self._patience = patience
        self.history: list[tuple[int, float]] = []

    @classmethod
    def for_data(cls, data: TrainingData, *, seed: int, patience: int = 3) -> Self:
        """A monitor whose probes are conditions of the data; see :func:`probe_conditions`."""
        return cls(probe_conditions(data), seed=seed, patience=patience)

    def observe(self, step: int, answer: Answer) -> dict[str, float]:
        """Ask the probes and remember.

        Args:
            step: Of training.
            answer: The generator as it stands.

        Returns:
            ``diversity`` (0 to 1) and ``collapsed`` (1.0 or 0.0), to go into the point of the training curve that
            the progress callback is given.
        """
        made = without_traces(answer(np.repeat(self._probes, self._answers, axis=0), self._seed))
        groups = made.reshape(len(self._probes), self._answers, -1)
        value = float(np.mean([diversity(group) for group in groups]))
        self.history.append((step, value))
        return {"diversity": value, "collapsed": float(self.collapsed)}

    @property
    def collapsed_at(self) -> int | None:
        """First step of the low measures that last until now; None while there is no collapse."""
        low: list[int] = []
        for step, value in reversed(self.history):
            if value >= self._bound:
                break
            low.append(step)
        return low[-1] if len(low) >= self._patience else None

    @property
    def collapsed(self) -> bool:
        """Whether the latest measures, ``patience`` of them or more, are all below the bound."""
        return self.collapsed_at is not None

    def metrics(self) -> dict[str, Any]:
        """For the training record: ``collapsed`` and ``collapsed_at_step`` (None where it did not)."""
        return {"collapsed": self.collapsed, "collapsed_at_step": self.collapsed_at}


def collapse_words(metrics: Mapping[str, Any]) -> str:
    """What to tell a person about a training record's metrics; empty where the generator has not collapsed."""
    if not metrics.get("collapsed"):
        return ""
    step = metrics.get("collapsed_at_step")
    since = "" if step is None else f"since step {step} of training "
    return f"collapsed: {since}it answers one condition with one composition"
