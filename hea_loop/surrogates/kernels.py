"""The covariance of a property between two compositions.

k(x, x') = s_1^2 x.x' + s_M^2 M(d), d^2 = sum_i (x_i - x'_i)^2 / l_i^2 + sum_k (f_k(x) - f_k(x'))^2 / l_k^2.

The first term lets each element's own value differ from the table's by about ``s_1`` (a linear combination
with learned end points, the constant included since fractions sum to one). The second is Matern's covariance
with smoothness 5/2 (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, eq. 4.17) with one
length for each element and each descriptor f_k of :mod:`hea_loop.surrogates.descriptors`: an element
that hardly matters gets a long length (automatic relevance determination, ibid. section 5.1), and what is
learned of the dependence on the electrons per atom in one system informs another that has none of its alloys.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Final

import torch

from hea_loop.surrogates.descriptors import element_embedding

with warnings.catch_warnings():
    # linear_operator, which gpytorch imports, still compiles two functions with torch.jit.script
    warnings.filterwarnings("ignore", message=".*torch.jit.script", category=DeprecationWarning)
    from gpytorch.kernels import Kernel

__all__ = ["CompositionKernel"]

_LENGTH: Final = 0.7  # of a fraction; twice that reaches from one pure element to another
_DESCRIPTOR_LENGTH: Final = 1.0  # the descriptors are of the order of one
_TINY: Final = 1e-12  # below the root of a squared distance: its slope stays finite at zero


class CompositionKernel(Kernel):  # type: ignore[misc]  # gpytorch gives no types
    """Covariance of values of the order of one; a GPyTorch kernel on raw atomic fractions.

    Its only parameter is ``theta``, logarithms: of ``s_1``, of ``s_M``, of the ``m`` lengths of the fractions,
    of the ``k`` lengths of the descriptors.

    Args:
        elements: ``m`` symbols, the columns of the inputs.
        strengthening: Whether the descriptors of solution strengthening are among the ``k``.
    """

    has_lengthscale = False

    def __init__(self, elements: Sequence[str], *, strengthening: bool = False) -> None:
        super().__init__()
        self.elements = tuple(elements)
        self.strengthening = strengthening
        self.embedding = element_embedding(self.elements, strengthening=strengthening)
        self.register_parameter("theta", torch.nn.Parameter(self.start()))

    def start(self) -> Any:
        """Starting values of ``theta``, which are also where its prior is centred."""
        lengths = torch.full((len(self.elements),), _LENGTH).log()
        descriptors = torch.full((len(self.embedding.names),), _DESCRIPTOR_LENGTH).log()
        return torch.cat([torch.tensor([-0.5, 0.0]), lengths, descriptors]).to(torch.float64)

    def features(self, x: Any) -> Any:
        """Fractions and descriptors, each divided by its length: ``... x (m + k)``."""
        return torch.cat([x, self.embedding.descriptors(x)], dim=-1) * torch.exp(-self.theta[2:])

    def forward(
        self,
        x1: Any,
        x2: Any,
        diag: bool = False,
        **_: Any,
    ) -> Any:
        """Covariances of ``... x n x m`` with ``... x n' x m``: ``... x n x n'``, or ``... x n``."""
        linear, curved = torch.exp(2 * self.theta[0]), torch.exp(2 * self.theta[1])
        one, two = self.features(x1), self.features(x2)
        if diag:
            return linear * (x1 * x2).sum(-1) + curved * _matern((one - two).square().sum(-1))
        return linear * x1 @ x2.transpose(-1, -2) + curved * _matern(_squared(one, two))

    def weighted_sum(self, x1: Any, x2: Any, weights: Any) -> Any:
        """:meth:`forward` times weights, ``... x n``; the gradient, in ``x1`` alone, takes a third of the time.

        Args:
            x1: ``... x n x m``.
            x2: ``n' x m``.
            weights: ``n'``.
        """
        linear, curved = torch.exp(2 * self.theta[0]), torch.exp(2 * self.theta[1])
        squared = _squared(self.features(x1), self.features(x2))
        return linear * x1 @ (weights @ x2) + curved * _MaternSum.apply(squared, weights)

    def foretold(self, x1: Any, x2: Any, weights: Any, factor: Any) -> tuple[Any, Any]:
        """What a process says of new rows: :meth:`forward` times weights, and the variance that known rows explain.

        The gradient, in ``x1`` alone, is written out: it takes less than half the time that of the parts does.

        Args:
            x1: ``n x m``.
            x2: ``n' x m``, the known rows.
            weights: ``n'``.
            factor: Lower Cholesky factor of their noisy covariance, ``n' x n'``.

        Returns:
            ``n`` sums, and ``n`` quadratic forms k inv(K) k.
        """
        linear, curved = torch.exp(2 * self.theta[0]), torch.exp(2 * self.theta[1])
        features = self.features(x1)
        sums, explained = _Foretold.apply(
            features, x1, self.features(x2), x2, weights, factor, linear, curved
        )
        return sums, explained


def _squared(one: Any, two: Any) -> Any:
    """Squared distances of ``... x n x k`` features from ``... x n' x k``."""
    between = (
        one.square().sum(-1)[..., :, None]
        + two.square().sum(-1)[..., None, :]
        - 2 * one @ two.transpose(-1, -2)
    )
    return between.clamp_min(0.0)


class _MaternSum(torch.autograd.Function):  # type: ignore[misc]  # torch gives no type
    """Matern's covariances of squared distances times weights; the slope with r^2 = 5 d^2 is -5/6 (1 + r) exp(-r)."""

    @staticmethod
    def forward(ctx: Any, squared: Any, weights: Any) -> Any:
        r = torch.sqrt(5 * squared + _TINY)
        fall = torch.exp(-r)
        ctx.save_for_backward((1 + r) * fall * (-5 / 6 * weights))
        return ((1 + r + r.square() / 3) * fall) @ weights

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, slope: Any) -> Any:
        return slope[..., None] * ctx.saved_tensors[0], None


class _Foretold(torch.autograd.Function):  # type: ignore[misc]  # torch gives no type
    """See :meth:`CompositionKernel.foretold`; the slope of Matern's covariance is as above."""

    @staticmethod
    def forward(
        ctx: Any, one: Any, x1: Any, two: Any, x2: Any, weights: Any, factor: Any, linear: Any, curved: Any
    ) -> Any:
        r = _squared(one, two).mul_(5).add_(_TINY).sqrt_()
        fall = torch.exp(-r).mul_(curved)
        cross = torch.addmm((1 + r + r.square().div_(3)).mul_(fall), x1, linear * x2.T)
        half = torch.linalg.solve_triangular(factor, cross.T, upper=False)
        solved = torch.linalg.solve_triangular(factor.T, half, upper=True).T
        ctx.save_for_backward(one, two, x2, weights, solved, (1 + r).mul_(fall).mul_(-5 / 6), linear)
        return cross @ weights, half.square().sum(0)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, of_sum: Any, of_explained: Any) -> Any:
        one, two, x2, weights, solved, slope, linear = ctx.saved_tensors
        by_cross = of_sum[:, None] * weights + 2 * of_explained[:, None] * solved
        by_square = by_cross * slope
        by_feature = 2 * (by_square.sum(1, keepdim=True) * one - by_square @ two)
        return by_feature, linear * (by_cross @ x2), None, None, None, None, None, None


def _matern(squared: Any) -> Any:
    r = torch.sqrt(5 * squared + _TINY)
    return (1 + r + r.square() / 3) * torch.exp(-r)
