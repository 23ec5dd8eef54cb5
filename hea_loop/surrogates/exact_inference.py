"""Exact inference of Gaussian processes in float64: the fit of a kernel's parameters and what follows from it.

Everything goes through Cholesky factors (Rasmussen and Williams 2006, algorithm 2.1), never through iterative
solvers, so that the same rows give the same numbers whatever the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from scipy.optimize import minimize

__all__ = ["JITTER", "covariance_factor", "extended_factor", "fit_parameters"]

JITTER: Final = 1e-7
"""Variance added to every observation of a value of the order of one: repeated rows stay solvable."""

_PRIOR_WIDTH: Final = 2.0  # standard deviation of the logarithm of each parameter about its start
_NOISE_BOUNDS: Final = (np.log(1e-3), np.log(1.0))


def fit_parameters(
    kernel: Any, x: Any, y: Any, *, known_noise: Any, learned: Any, log_noise: float, iterations: int
) -> float:
    """Set ``kernel.theta`` where likelihood times prior is greatest, by L-BFGS-B from where it stands.

    The prior of each logarithm is normal about :meth:`CompositionKernel.start` with a width of 2: a factor of
    seven either way is nothing unusual. The gradient is the analytical one (Rasmussen and Williams 2006,
    eq. 5.9), taken through the covariance alone, never through its factor.

    Args:
        kernel: A :class:`hea_loop.surrogates.kernels.CompositionKernel`.
        x: ``n x m`` atomic fractions.
        y: ``n`` values of the order of one, mean about zero.
        known_noise: ``n`` variances of the values.
        learned: ``n`` ones and zeros: to which values the learned noise is added.
        log_noise: Logarithm of the standard deviation of the learned noise, to start from.
        iterations: At most.

    Returns:
        Logarithm of the standard deviation of the learned noise.
    """
    centre = np.append(kernel.start().numpy(), log_noise)
    begin = np.append(kernel.theta.detach().numpy(), log_noise)
    diagonal = known_noise + JITTER
    free = bool(learned.any())

    def objective(point: Any) -> tuple[float, Any]:
        theta = torch.tensor(point[:-1], requires_grad=True)
        noise = torch.tensor(point[-1], requires_grad=True)
        with _parameters(kernel, theta):
            covariance = kernel.forward(x, x) + torch.diag(diagonal + learned * torch.exp(2 * noise))
        with torch.no_grad():
            factor = torch.linalg.cholesky(covariance)
            weights = torch.cholesky_solve(y[:, None], factor)[:, 0]
            slope = 0.5 * (torch.cholesky_inverse(factor) - torch.outer(weights, weights))
            value = 0.5 * (y @ weights) + factor.diagonal().log().sum()
        (slope * covariance).sum().backward()
        away = (point - centre) / _PRIOR_WIDTH**2
        gradient = np.append(theta.grad.numpy(), noise.grad.numpy() if free else 0.0) + away
        return float(value) + 0.5 * float(away @ (point - centre)), gradient

    bounds = [(c - 4, c + 4) for c in centre[:-1]] + [_NOISE_BOUNDS]
    found = minimize(
        objective, begin, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations}
    )
    with torch.no_grad():
        kernel.theta.copy_(torch.tensor(found.x[:-1]))
    return float(found.x[-1])


@contextmanager
def _parameters(kernel: Any, theta: Any) -> Iterator[None]:
    """Evaluate the kernel at other parameters, which may need a gradient of their own."""
    own = kernel.theta
    del kernel._parameters["theta"]  # noqa: SLF001 - torch keeps parameters there
    kernel.theta = theta
    try:
        yield
    finally:
        del kernel.theta
        kernel.theta = own


def covariance_factor(kernel: Any, x: Any, noise: Any) -> Any:
    """Lower Cholesky factor ``n x n`` of the covariance of noisy values; ``noise`` are ``n`` variances."""
    return torch.linalg.cholesky(kernel.forward(x, x) + torch.diag(noise + JITTER))


def extended_factor(kernel: Any, factor: Any, x: Any, new: Any, noise: Any) -> Any:
    """Factor for ``x`` with ``k`` rows ``new`` below it, of the cost of ``k`` solutions instead of a fit."""
    cross = torch.linalg.solve_triangular(factor, kernel.forward(x, new), upper=False)
    corner = kernel.forward(new, new) + torch.diag(noise + JITTER) - cross.T @ cross
    n, k = cross.shape
    whole = torch.zeros((n + k, n + k), dtype=factor.dtype)
    whole[:n, :n], whole[n:, :n] = factor, cross.T
    whole[n:, n:] = torch.linalg.cholesky(corner)
    return whole
