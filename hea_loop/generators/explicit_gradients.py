"""Leaky-ReLU networks with their gradients written out: first order, and second order for the unrolled critic.

Automatic differentiation of networks this small spends more time on its graph than on sums. Here a forward pass,
a gradient, and the derivative of ``<u, gradient>`` are each a handful of batched matrix products into buffers that
are made once; no graph is kept, and on a GPU the whole step can be captured. Every array has a leading axis of
``E`` members, so that several seeds are trained at once.

Notation, for layers ``l = 1 ... L`` with weights ``W_l`` and biases ``b_l``: ``h_0`` is the input,
``h_l = leaky(h_{l-1} W_l^T + b_l)``, and the score is ``h_{L-1} W_L^T + b_L`` (one output). The loss is
``sum_i c_i score_i`` with fixed coefficients ``c``. Adjoints: ``a_{L-1} = D_{L-1} c W_L``,
``a_{l-1} = D_{l-1} a_l W_l``, where ``D_l`` is the slope of the rectifier (1 or 0.2); gradient of ``W_l``:
``a_l^T h_{l-1}``, of ``b_l``: the sum of ``a_l``. As the rectifier is piecewise linear, ``D`` has no derivative,
and the derivative of ``<u, gradient>`` follows by one forward sweep of tangents along ``u = (U_l, v_l)``,
``t_l = D_l (t_{l-1} W_l^T + h_{l-1} U_l^T + v_l)``, and one backward sweep,
``s_{l-1} = D_{l-1} (s_l W_l + a_l U_l)``, so that with respect to ``W_l`` it is ``s_l^T h_{l-1} + a_l^T t_{l-1}``,
to ``b_l`` the sum of ``s_l``, and to the input ``s_1 W_1 + a_1 U_1`` (B. A. Pearlmutter, Neural Computation 1994,
6, 147-160, 10.1162/neco.1994.6.1.147, the product of a Hessian with a vector).
"""

from __future__ import annotations

from typing import Any, Final, Self

import torch

from hea_loop.generators.feed_forward import SLOPE, FeedForward

__all__ = ["Parameters", "ScoreGradient", "backward", "forward"]

_LINE: Final = 16  # floats of a cache line of 64 bytes
_leaky = torch.nn.functional.leaky_relu_
_slope_of = torch.ops.aten.leaky_relu_backward.grad_input  # of the result, whose sign is the argument's


class Parameters:
    """Parameters of E members in one tensor, with the layers as views; writing to either changes the other.

    Rows are padded to whole cache lines: a matrix product rounds by where its operands lie, and a member is to get
    the same numbers wherever it stands in an ensemble.

    Attributes:
        flat: ``E x padded``, the padding zero.
        values: Its first ``d`` columns, ``E x d``, in the order of
            :class:`hea_loop.generators.feed_forward.FeedForward`.
        weights: Of each layer, ``E x outputs x inputs``.
        transposed: The same, ``E x inputs x outputs``.
        biases: Of each layer, ``E x 1 x outputs``.
        sums: The same biases, ``E x outputs``.
    """

    def __init__(self, network: FeedForward, values: Any) -> None:
        members, d = values.shape
        self.flat = values.new_zeros(members, -(-d // _LINE) * _LINE)
        self.values = self.flat[:, :d]
        self.values.copy_(values)
        lengths = [n for i, o in network.layers for n in (i * o, o)]
        parts = self.values.split(lengths, dim=1)
        self.weights = [w.view(-1, o, i) for w, (i, o) in zip(parts[::2], network.layers, strict=True)]
        self.transposed = [w.mT for w in self.weights]
        self.sums = list(parts[1::2])
        self.biases = [b.unsqueeze(1) for b in self.sums]

    @classmethod
    def zeros(cls, network: FeedForward, members: int, like: Any) -> Self:
        """All zero, of the type and on the device of a tensor."""
        return cls(network, like.new_zeros(members, network.number_of_parameters))


def forward(at: Parameters, inputs: Any, hidden: list[Any]) -> None:
    """Fill ``hidden`` with ``h_1 ... h_{L-1}``, each ``E x b x width``, for inputs ``E x b x n``."""
    value = inputs
    for bias, weight, out in zip(at.biases, at.transposed, hidden, strict=False):
        torch.baddbmm(bias, value, weight, out=out)
        value = _leaky(out, SLOPE)


def backward(
    at: Parameters, inputs: Any, hidden: list[Any], last: Any, adjoints: list[Any], gradient: Parameters
) -> None:
    """Fill the gradient, given that with respect to the output, ``last``, ``E x b x outputs``.

    Args:
        at: Weights and biases.
        inputs: ``E x b x n``.
        hidden: As :func:`forward` left them.
        last: Gradient of the loss with respect to the output.
        adjoints: Buffers like ``hidden``; filled with ``a_1 ... a_{L-1}``.
        gradient: Filled.
    """
    above = last
    for layer in range(len(hidden), -1, -1):
        below = hidden[layer - 1] if layer else inputs
        torch.bmm(above.mT, below, out=gradient.weights[layer])
        torch.sum(above, 1, out=gradient.sums[layer])
        if layer:
            above = torch.bmm(above, at.weights[layer], out=adjoints[layer - 1])
            _slope_of(above, below, SLOPE, True, grad_input=above)


class _Rows:
    """Views of the buffers of some rows, made once."""

    def __init__(
        self, coefficients: Any, hidden: list[Any], adjoints: list[Any], sensitivities: list[Any], rows: slice
    ) -> None:
        self.coefficients = coefficients[:, rows]
        self.hidden = [h[:, rows] for h in hidden]
        self.adjoints = [a[:, rows] for a in adjoints]
        self.sensitivities = [s[:, rows] for s in sensitivities]


class ScoreGradient:
    """Gradient of ``sum_i c_i score_i`` of a critic over a fixed number of rows, and its derivative.

    Args:
        network: The critic; one output.
        coefficients: ``c``, shape ``b``.
        members: ``E``.
        rows: Rows of the input with respect to which derivatives are asked for.
        second: Make the buffers for :meth:`differentiate`.

    Attributes:
        gradient: Of the loss with respect to the parameters, filled by :meth:`at`.
        curvature: Filled by :meth:`differentiate`.
    """

    def __init__(
        self, network: FeedForward, coefficients: Any, members: int, *, rows: slice, second: bool = False
    ) -> None:
        c = coefficients
        number, widths = len(c), network.sizes[1:-1]
        coefficients = c.view(1, number, 1)
        self._row = c.expand(members, 1, number)
        self._total = float(c.double().sum())
        self.gradient = Parameters.zeros(network, members, c)
        self.gradient.sums[-1].fill_(self._total)  # of the last bias, wherever
        # h beside t, and s beside a, so that s^T h + a^T t is one product over twice the rows
        halves = 2 if second else 1
        ahead = [c.new_zeros(members, halves, number, w) for w in widths]
        back = [c.new_zeros(members, halves, number, w) for w in widths]
        hidden, adjoints = [both[:, 0] for both in ahead], [both[:, -1] for both in back]
        sensitivities = [both[:, 0] for both in back]
        self._all = _Rows(coefficients, hidden, adjoints, sensitivities, slice(None))
        self._some = _Rows(coefficients, hidden, adjoints, sensitivities, rows)
        self._adjoints_turned = [a.mT for a in adjoints]
        if second:
            self._tangents = [both[:, 1] for both in ahead]
            self._beside_tangents = [both.flatten(1, 2) for both in ahead]
            self._beside_adjoints_turned = [both.flatten(1, 2).mT for both in back]
            self._first_sensitivity_turned = sensitivities[0].mT
            self._first_sensitivity = sensitivities[0][:, rows]
            self.curvature = Parameters.zeros(network, members, c)

    def at(self, parameters: Parameters, inputs: Any) -> None:
        """Fill :attr:`gradient` at these parameters for inputs ``E x b x n``."""
        hidden, adjoints, gradient = self._all.hidden, self._all.adjoints, self.gradient
        forward(parameters, inputs, hidden)
        torch.bmm(self._row, hidden[-1], out=gradient.weights[-1])
        above = torch.mul(self._all.coefficients, parameters.weights[-1], out=adjoints[-1])
        _slope_of(above, hidden[-1], SLOPE, True, grad_input=above)
        for layer in range(len(hidden) - 1, 0, -1):
            below = hidden[layer - 1]
            torch.bmm(self._adjoints_turned[layer], below, out=gradient.weights[layer])
            torch.sum(above, 1, out=gradient.sums[layer])
            above = torch.bmm(above, parameters.weights[layer], out=adjoints[layer - 1])
            _slope_of(above, below, SLOPE, True, grad_input=above)
        torch.bmm(self._adjoints_turned[0], inputs, out=gradient.weights[0])
        torch.sum(above, 1, out=gradient.sums[0])

    def loss(self, parameters: Parameters, out: Any) -> None:
        """Write the loss at the parameters of the last call of :meth:`at` to ``out``, shape ``E``.

        The loss is linear in the last layer, so it is the product of that layer with its gradient (Euler).
        """
        torch.sum(self.gradient.weights[-1] * parameters.weights[-1], (1, 2), out=out)
        out.add_(parameters.sums[-1][:, 0], alpha=self._total)

    def add_input_gradient(self, parameters: Parameters, out: Any) -> None:
        """Add the gradient with respect to the chosen rows of the input to ``out``, ``E x rows x n``."""
        torch.baddbmm(out, self._some.adjoints[0], parameters.weights[0], out=out)

    def differentiate(
        self, parameters: Parameters, inputs: Any, along: Parameters, out: Any, *, inner: bool
    ) -> None:
        """Differentiate ``<along, gradient>``; :meth:`at` was called with the same parameters and inputs.

        Args:
            parameters: Where.
            inputs: ``E x b x n``.
            along: ``u``, the direction.
            out: ``E x rows x n``; the derivative with respect to the chosen rows of the input is added.
            inner: Fill :attr:`curvature` with the derivative with respect to the parameters (the Hessian times
                ``u``) as well. Without, only the chosen rows are looked at.
        """
        at = self._all if inner else self._some
        hidden, sensitivities = at.hidden, at.sensitivities
        above = torch.mul(at.coefficients, along.weights[-1], out=sensitivities[-1])
        _slope_of(above, hidden[-1], SLOPE, True, grad_input=above)
        for layer in range(len(hidden) - 1, 0, -1):
            above = torch.bmm(above, parameters.weights[layer], out=sensitivities[layer - 1])
            torch.baddbmm(above, at.adjoints[layer], along.weights[layer], out=above)
            _slope_of(above, hidden[layer - 1], SLOPE, True, grad_input=above)
        torch.baddbmm(out, self._first_sensitivity, parameters.weights[0], out=out)
        torch.baddbmm(out, self._some.adjoints[0], along.weights[0], out=out)
        if inner:
            self._curve(parameters, inputs, along)

    def _curve(self, parameters: Parameters, inputs: Any, along: Parameters) -> None:
        hidden, sensitivities, curvature = self._all.hidden, self._all.sensitivities, self.curvature
        value = inputs
        for layer, tangent in enumerate(self._tangents):
            torch.baddbmm(along.biases[layer], value, along.transposed[layer], out=tangent)
            if layer:
                before = self._tangents[layer - 1]
                torch.baddbmm(tangent, before, parameters.transposed[layer], out=tangent)
            value = hidden[layer]
            _slope_of(tangent, value, SLOPE, True, grad_input=tangent)
        torch.bmm(self._first_sensitivity_turned, inputs, out=curvature.weights[0])
        for layer in range(1, len(hidden)):
            below = self._beside_tangents[layer - 1]
            torch.bmm(self._beside_adjoints_turned[layer], below, out=curvature.weights[layer])
        for layer, sensitivity in enumerate(sensitivities):
            torch.sum(sensitivity, 1, out=curvature.sums[layer])
        torch.bmm(self._row, self._tangents[-1], out=curvature.weights[-1])
