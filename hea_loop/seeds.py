"""Seeds derived from a campaign's one seed, so that each purpose of each iteration has its own stream."""

from __future__ import annotations

import zlib

import numpy as np

__all__ = ["derived_generator", "derived_seed"]


def derived_seed(seed: int, iteration: int, purpose: str) -> int:
    """Return a 32-bit seed for one purpose of one iteration.

    Streams of different purposes and iterations are independent (numpy's SeedSequence), and do not depend on
    what ran before, so that an iteration that is repeated after a crash draws the same numbers.

    Args:
        seed: The campaign's seed.
        iteration: Number of the iteration.
        purpose: ``training``, ``generation``, ``selection``, ...
    """
    sequence = np.random.SeedSequence([seed, iteration, zlib.crc32(purpose.encode())])
    return int(sequence.generate_state(1)[0])


def derived_generator(seed: int, iteration: int, purpose: str) -> np.random.Generator:
    """Return a numpy generator on that stream."""
    return np.random.default_rng(derived_seed(seed, iteration, purpose))
