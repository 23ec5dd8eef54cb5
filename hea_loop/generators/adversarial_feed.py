"""What each step of an adversarial training reads: latent vectors, conditions and real alloys, in blocks of steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import torch

from hea_loop.generators.conditioning import ConditionDensity
from hea_loop.generators.protocol import TrainingData

__all__ = ["Feed"]

_ROWS: Final = 2**15  # requests drawn at once: enough that the calls do not count, few enough for the cache


class Feed:
    """Draws of one member of an ensemble; they depend on its own data and seed only.

    Args:
        data: Alloys, all properties known.
        seed: Of latent vectors, conditions and the choice of real alloys.
        latent: Length of the latent vector.
        batches: Batches for each step.
        batch_size: b.
        composition_weight: Weight of the fractions, in units of their spread, beside the normalised properties.
        device: Where the draws are made: another kind of device has another random generator.
        dtype: Of the tensors.

    Attributes:
        contrast: What fractions are multiplied by where a critic reads them: the weight over their spread.
    """

    def __init__(
        self,
        data: TrainingData,
        seed: int,
        *,
        latent: int,
        batches: int,
        batch_size: int,
        composition_weight: float,
        device: Any,
        dtype: Any = torch.float32,
    ) -> None:
        density = ConditionDensity(data.conditions)

        def tensor(values: Any) -> Any:
            return torch.as_tensor(values, dtype=dtype, device=device)

        self._noise = torch.Generator(device).manual_seed(seed)
        self._latent, self._batches, self._b = latent, batches, batch_size
        # the critic sees fractions in units of their spread, as it sees normalised properties
        self.contrast = composition_weight / max(float(data.fractions.std()), 1e-6)
        fractions, self._centres = tensor(data.fractions), tensor(density.centres)
        self._pairs = torch.cat([fractions * self.contrast, self._centres], dim=1)
        self._root = tensor(density.kernel_root())

    def draw(self, steps: int) -> tuple[Any, Any]:
        """Draw for some steps.

        Returns:
            Requests (latent vector, then conditions from the density of the data), ``steps x batches x b x
            (latent + p)``, and pairs, ``steps x batches x 2b x (m + p)``: real (fractions times contrast, then
            normalised properties), and below them the false ones that the requests ask for, fractions zero.
        """
        shape = (steps, self._batches, self._b)
        size, (n, width), p = steps * self._batches * self._b, self._pairs.shape, self._centres.shape[1]
        noise, like = self._noise, {"device": self._pairs.device, "dtype": self._pairs.dtype}
        requests = torch.empty(*shape, self._latent + p, **like)
        pairs = torch.zeros(*shape[:2], 2 * self._b, width, **like)
        requests[..., : self._latent] = torch.randn(*shape, self._latent, generator=noise, **like)
        rows = torch.randint(n, (size,), generator=noise, device=like["device"])
        wanted = self._centres[rows] + torch.randn(size, p, generator=noise, **like) @ self._root.T
        requests[..., self._latent :] = wanted.view(*shape, p)
        pairs[:, :, self._b :, width - p :] = wanted.view(*shape, p)
        chosen = torch.randint(n, (size,), generator=noise, device=like["device"])
        pairs[:, :, : self._b] = self._pairs[chosen].view(*shape, width)
        return requests, pairs

    def steps(self, number: int) -> Iterator[tuple[Any, Any]]:
        """Requests and pairs of each step in turn, ``batches x ...``, drawn in blocks."""
        block = max(1, _ROWS // (self._batches * self._b))
        for start in range(0, number, block):
            yield from zip(*self.draw(min(block, number - start)), strict=True)
