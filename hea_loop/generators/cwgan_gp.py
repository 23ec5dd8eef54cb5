"""The conditional Wasserstein GAN with gradient penalty, as strategy ``cwgan-gp``.

I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville, "Improved training of Wasserstein GANs", NeurIPS 2017,
arXiv:1704.00028; conditions enter both networks as in M. Mirza, S. Osindero 2014, arXiv:1411.1784. The training is in
:mod:`hea_loop.generators.adversarial`. Filled in here: the output is a sparsemax, so that elements can be exactly
absent; the weights kept are a running average of the last steps; properties are hidden at random.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from hea_loop.generators.adversarial import AdversarialSettings, AdversarialTraining
from hea_loop.generators.allowed_region import AllowedRegion
from hea_loop.generators.answering import CollapseWatch, Learned, StoredGenerator
from hea_loop.generators.condition_code import ConditionCode
from hea_loop.generators.protocol import Progress, TrainingData

__all__ = ["AdversarialGenerator", "CwganGp", "CwganGpOptions"]

Array = NDArray[np.float64]


class CwganGpOptions(BaseModel):
    """Options of ``cwgan-gp``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latent: Annotated[int, Field(ge=1, le=1024)] = 8
    """Dimensions of the latent vector."""
    width: Annotated[int, Field(ge=4, le=2048)] = 64
    """Units of each hidden layer, in the generator and in the critic."""
    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 2500
    """Updates of the generator."""
    critic_steps: Annotated[int, Field(ge=1, le=100)] = 5
    """Updates of the critic for each of the generator (5 in the paper)."""
    batch_size: Annotated[int, Field(ge=2, le=65536)] = 64
    """Alloys per batch."""
    learning_rate: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 3e-3
    """Step size of Adam in both networks; it falls linearly to zero over the second half of training."""
    penalty: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] = 10.0
    """Weight of the gradient penalty (10 in the paper)."""
    composition_weight: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 1.0
    """Weight of the fractions, in units of their spread, beside the standardised properties in the critic's input."""
    presence_weight: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 1.0
    """Weight of whether an element is present, x / (x + 0.02), in the critic's input: the larger, the truer the
    numbers of elements and the looser the condition."""
    hidden_share: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.1
    """Probability with which a known property is hidden from both networks, so that open requests are learned."""
    averaging: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.995
    """Decay per step of the running average of the generator's weights; 0 keeps the last."""

    def settings(self) -> AdversarialSettings:
        """Return what the training needs."""
        return AdversarialSettings(
            **{name: getattr(self, name) for name in AdversarialSettings.__dataclass_fields__}
        )


OptionsT = TypeVar("OptionsT", bound=CwganGpOptions)


class AdversarialGenerator(StoredGenerator[OptionsT]):
    """A generator trained against a critic, with or without a property term in its loss."""

    def _property_term(
        self, _data: TrainingData, _seed: int, _where: Any, /
    ) -> Callable[[Callable[[Any, Any], Any], Any], Any] | None:
        """Return the addition to the generator's loss; see :meth:`AdversarialTraining.run`."""
        return None

    def _learn(
        self, data: TrainingData, seed: int, where: Any, progress: Progress | None
    ) -> tuple[Learned, list[dict[str, float]]]:
        training = self._training(data)
        code = ConditionCode.of(data.conditions)
        watch = CollapseWatch(data, seed, self.options.steps, progress)

        def report(step: int, point: dict[str, float], weights: Callable[[], Any]) -> None:
            watch.add(
                step, point, lambda wanted, draw: self._made(data, {"weights": weights()}, wanted, draw)
            )

        weights = training.run(
            torch.as_tensor(data.fractions, dtype=torch.float32, device=where),
            code.encode(data.conditions).to(where),
            seed,
            property_term=self._property_term(data, seed, where),
            report=report,
        )
        return {"weights": weights, **watch.learned()}, watch.curve

    def _training(self, data: TrainingData) -> AdversarialTraining:
        return AdversarialTraining(self.options.settings(), len(data.elements), len(data.condition_names))

    def _made(self, data: TrainingData, learned: Learned, wanted: Array, seed: int) -> Array:
        """Raw answers of given weights, ``n x m``."""
        noise = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            latent = torch.randn(len(wanted), self.options.latent, generator=noise)
            code = ConditionCode.of(data.conditions).encode(wanted)
            made = self._training(data).alloys(learned["weights"], latent, code).double().numpy()
        alloys: Array = made / made.sum(axis=1, keepdims=True)
        return alloys

    def _answer(self, wanted: Array, seed: int, region: AllowedRegion) -> Array:
        return region.nearest(self._made(self._trained(), self._learned, wanted, seed))


class CwganGp(AdversarialGenerator[CwganGpOptions]):
    """Conditional Wasserstein GAN with gradient penalty.

    Args:
        options: See :class:`CwganGpOptions`.
    """

    name = "cwgan-gp"
    options_type = CwganGpOptions
