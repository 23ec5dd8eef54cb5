"""Polynomials of site fractions whose coefficients depend on temperature, with gradient and Hessian.

Every term of a compound-energy model (an end-member, a Redlich-Kister term of any order, a reciprocal term,
a ternary term with Muggianu's correction) is a coefficient times a product of linear forms of the site
fractions: ``y_i``, ``y_i - y_j``, ``y_k + (1 - y_i - y_j - y_k)/3``. So one routine evaluates them all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Form", "Polynomial", "Product", "canonical"]

Array = NDArray[np.float64]
Form = tuple[tuple[tuple[int, float], ...], float]
"""A linear form: ((index of y, weight), ...) and a constant."""
Product = tuple[Form, ...]
"""Linear forms that are multiplied; none for a constant."""


def canonical(product: Product) -> tuple[float, Product]:
    """A sign and the product in the one way that equal products are written in."""
    sign = 1.0
    forms = []
    for parts, constant in product:
        ordered = tuple(sorted(parts))
        if constant == 0.0 and ordered[0][1] < 0:
            ordered = tuple((i, -weight) for i, weight in ordered)
            sign = -sign
        forms.append((ordered, constant))
    return sign, tuple(sorted(forms))


class _Group:
    """The terms with the same number of factors, in places ``part`` of the coefficients."""

    def __init__(
        self, products: Sequence[Product], forms: dict[Form, int], weights: Array, start: int
    ) -> None:
        self.degree = len(products[0])
        self.part = slice(start, start + len(products))
        self.index = np.array([[forms[p[k]] for p in products] for k in range(self.degree)], dtype=int)
        # (degree, dof, terms): how a factor changes with each site fraction
        self.slopes = [np.ascontiguousarray(weights[:, i]) for i in self.index]
        self.pairs = [
            (a, b, self._curvature(self.slopes[a], self.slopes[b]))
            for a in range(self.degree)
            for b in range(a + 1, self.degree)
        ]

    @staticmethod
    def _curvature(first: Array, second: Array) -> Array:
        """``(dof * dof, terms)`` symmetrised products of two factors' slopes."""
        outer = first[:, None, :] * second[None, :, :]
        return np.ascontiguousarray((outer + outer.transpose(1, 0, 2)).reshape(-1, first.shape[1]))


class Polynomial:
    """A polynomial of ``dof`` site fractions.

    Args:
        products: The products of its terms, those with fewer factors first.
        dof: Number of site fractions.
    """

    def __init__(self, products: Sequence[Product], dof: int) -> None:
        self.dof = dof
        forms: dict[Form, int] = {}
        for product in products:
            for factor in product:
                forms.setdefault(factor, len(forms))
        weights = np.zeros((dof, len(forms)))
        self._constants = np.zeros((len(forms), 1))
        for (parts, constant), k in forms.items():
            self._constants[k] = constant
            for i, weight in parts:
                weights[i, k] += weight
        self._transposed = np.ascontiguousarray(weights.T)
        self._groups = []
        start = 0
        while start < len(products):
            same = [p for p in products[start:] if len(p) == len(products[start])]
            self._groups.append(_Group(same, forms, weights, start))
            start += len(same)
        self.empty = not products

    def evaluate(self, y: Array, coefficients: Array) -> tuple[Array, Array]:
        """Value and gradient.

        Args:
            y: ``(dof, n)`` site fractions.
            coefficients: ``(terms, n)``.

        Returns:
            ``(n,)`` and ``(dof, n)``.
        """
        value = np.zeros(y.shape[1])
        gradient = np.zeros_like(y)
        forms = self._transposed @ y
        forms += self._constants
        for group in self._groups:
            c = coefficients[group.part]
            if group.degree == 0:
                value += c.sum(axis=0)
                continue
            # after[k] = c f_(k+1) ... f_last; going up, before = f_0 ... f_(k-1)
            factors = [forms[i] for i in group.index]
            after = [c]
            for factor in factors[:0:-1]:
                after.append(after[-1] * factor)
            after.reverse()
            before: Array | None = None
            for k, factor in enumerate(factors):
                others = after[k] if before is None else after[k] * before
                gradient += group.slopes[k] @ others
                before = factor if before is None else before * factor
            value += np.einsum("kn,kn->n", after[0], factors[0])
        return value, gradient

    def hessian(self, y: Array, coefficients: Array) -> Array:
        """Second derivatives ``(dof, dof, n)``; arguments as in :meth:`evaluate`."""
        result = np.zeros((self.dof * self.dof, y.shape[1]))
        forms = self._transposed @ y
        forms += self._constants
        for group in self._groups:
            c = coefficients[group.part]
            factors = [forms[i] for i in group.index]
            for a, b, curvature in group.pairs:
                rest = c
                for k, factor in enumerate(factors):
                    if k not in (a, b):
                        rest = rest * factor
                result += curvature @ rest
        return result.reshape(self.dof, self.dof, -1)
