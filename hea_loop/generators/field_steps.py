"""Training steps of velocity fields with their gradients written out, for several seeds at once.

As for the adversarial networks (:mod:`hea_loop.generators.explicit_gradients`), no graph of operations is kept: a step
is a few batched matrix products into buffers that are made once, with a leading axis of ``E`` members, and on a GPU
it is captured as a CUDA graph.

For layers ``h_l = silu(y_l)``, ``y_l = h_{l-1} W_l^T + b_l``, none at the end, and the mean square of the residual
``e = y_L - target`` as the loss, the gradient with respect to ``W_l`` is ``a_l^T h_{l-1}`` and to ``b_l`` the sum of
``a_l``, with ``a_L = 2 e / (rows * outputs)`` and ``a_{l-1} = silu'(y_{l-1}) (a_l W_l)``. The update is Adam (D. P.
Kingma, J. Ba, ICLR 2015, arXiv:1412.6980, algorithm 1), followed by an exponential average of the parameters.
"""

from __future__ import annotations

from typing import Any

import torch

from hea_loop.generators.captured import captured
from hea_loop.generators.explicit_gradients import Parameters
from hea_loop.generators.feed_forward import FeedForward

__all__ = ["FieldSteps"]

_silu = torch.ops.aten.silu.out
_silu_backward = torch.ops.aten.silu_backward.grad_input


class FieldSteps:
    """The state of ``E`` trainings and the step that advances all of them.

    Args:
        network: Sizes of the layers; its rectifier is not used.
        theta: Parameters at the start, ``E x d``; device and type are those of the training.
        rows: Of a batch.
        betas: Decays of Adam's two means.
        floor: Its square is added to the second under the root.

    Attributes:
        inputs: Of a step, ``E x rows x sizes[0]``.
        targets: Of a step, ``E x rows x sizes[-1]``.
        average: Averaged parameters.
    """

    def __init__(
        self, network: FeedForward, theta: Any, rows: int, *, betas: tuple[float, float], floor: float
    ) -> None:
        e, sizes = len(theta), network.sizes
        self.theta, self.average = Parameters(network, theta), Parameters(network, theta)
        self.inputs, self.targets = theta.new_zeros(e, rows, sizes[0]), theta.new_zeros(e, rows, sizes[-1])
        self._before = [theta.new_zeros(e, rows, w) for w in sizes[1:]]
        self._hidden = [self.inputs, *(theta.new_zeros(e, rows, w) for w in sizes[1:-1])]
        self._adjoints = [theta.new_zeros(e, rows, w) for w in sizes[1:]]
        self._turned = [a.mT for a in self._adjoints]
        self._gradient = Parameters.zeros(network, e, theta)
        self._betas, self._floor = betas, floor
        self._first, self._second, self._root = (torch.zeros_like(self.theta.flat) for _ in range(3))
        # tensors, so that a captured graph reads the values of the day
        self._minus_rate, self._second_share, self._weight = (theta.new_zeros(1, 1) for _ in range(3))
        self._launch = self._advance
        self._steps = 0

    def step(self, rate: float, averaging: float) -> None:
        """Update all fields by what stands in :attr:`inputs` and :attr:`targets`.

        Args:
            rate: Adam's step size; the corrections for the first steps are made here.
            averaging: Share of the old average that stays.
        """
        self._steps += 1
        one, two = self._betas
        self._minus_rate.fill_(-rate / (1 - one**self._steps))
        self._second_share.fill_(1 / (1 - two**self._steps))
        self._weight.fill_(1 - averaging)
        self._launch()

    def losses(self) -> list[float]:
        """Mean square of the residual of each member in the last step, before its update."""
        residual = self._before[-1] - self.targets
        return [float(x) for x in residual.square().mean((1, 2))]

    def capture(self) -> bool:
        """Capture the step as a CUDA graph where that can be; see :func:`hea_loop.generators.captured.captured`."""
        state = [self.theta.flat, self.average.flat, self._first, self._second]
        graph = captured(self._advance, state)
        if graph is not None:
            self._launch = graph.replay
        return graph is not None

    def _advance(self) -> None:
        self._differentiate()
        one, two = self._betas
        gradient = self._gradient.flat
        self._first.lerp_(gradient, 1 - one)
        self._second.mul_(two).addcmul_(gradient, gradient, value=1 - two)
        # the floor under the root: the same to rounding but where both means are next to nothing
        root = torch.mul(self._second, self._second_share, out=self._root).add_(self._floor**2).rsqrt_()
        self.theta.flat.addcmul_(root.mul_(self._first), self._minus_rate)
        self.average.flat.lerp_(self.theta.flat, self._weight)

    def _differentiate(self) -> None:
        theta, gradient, before, hidden = self.theta, self._gradient, self._before, self._hidden
        last = len(before) - 1
        for layer, out in enumerate(before):
            torch.baddbmm(theta.biases[layer], hidden[layer], theta.transposed[layer], out=out)
            if layer < last:
                _silu(out, out=hidden[layer + 1])
        above = torch.sub(before[-1], self.targets, out=self._adjoints[-1])
        above.mul_(2 / above[0].numel())
        for layer in range(last, -1, -1):
            torch.bmm(self._turned[layer], hidden[layer], out=gradient.weights[layer])
            torch.sum(above, 1, out=gradient.sums[layer])
            if layer:
                above = torch.bmm(above, theta.weights[layer], out=self._adjoints[layer - 1])
                _silu_backward(above, before[layer - 1], grad_input=above)
