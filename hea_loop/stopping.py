"""When a campaign stops before its last iteration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hea_loop.campaign import Campaign

__all__ = ["IterationScore", "stop_reason"]


@dataclass(frozen=True, slots=True)
class IterationScore:
    """What an iteration's strategy found: ``hits`` among ``validated`` candidates."""

    number: int
    hits: int
    validated: int

    @property
    def rate(self) -> float:
        """Hit rate; zero where nothing was validated."""
        return self.hits / self.validated if self.validated else 0.0


def stop_reason(campaign: Campaign, history: Sequence[IterationScore]) -> str | None:
    """Return the stop rule that holds, in words, or None.

    Args:
        campaign: The campaign with its rules.
        history: Scored iterations, oldest first.
    """
    rules = campaign.stop
    hits = sum(score.hits for score in history)
    if rules.hits is not None and hits >= rules.hits:
        return f"stop.hits: {hits} hits found, {rules.hits} asked"
    if rules.hit_rate is not None and history and history[-1].rate >= rules.hit_rate:
        return f"stop.hit_rate: iteration {history[-1].number} reached {history[-1].rate:.2f}, {rules.hit_rate:g} asked"
    patience = rules.iterations_without_improvement
    if patience is not None and len(history) > patience:
        best = max(score.rate for score in history[:-patience])
        if all(score.rate <= best for score in history[-patience:]):
            return f"stop.iterations_without_improvement: none of the last {patience} iterations exceeded {best:.2f}"
    return None
