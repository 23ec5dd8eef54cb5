"""A training step as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

__all__ = ["captured"]


def captured(advance: Callable[[], None], state: Sequence[Any]) -> Any:
    """Capture a step, so that one launch does all of it; nothing is trained by this.

    Args:
        advance: The step; it reads and writes tensors that stay where they are.
        state: Every tensor that a step carries on to the next; left as it was.

    Returns:
        The graph, whose ``replay`` is the step. None on a CPU, or where CUDA refuses: steps are launched call by call
        then.
    """
    where = state[0].device
    if where.type != "cuda":
        return None
    kept = [tensor.clone() for tensor in state]
    graph: Any = None
    try:
        with torch.cuda.device(where):
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(3):  # cuBLAS makes its workspaces in the first calls, which a capture forbids
                    advance()
            torch.cuda.current_stream().wait_stream(aside)
            made = torch.cuda.CUDAGraph()
            with torch.cuda.graph(made):
                advance()
        graph = made
    except RuntimeError:
        graph = None
    for tensor, before in zip(state, kept, strict=True):
        tensor.copy_(before)
    return graph
