"""Polynomials of site fractions whose coefficients depend on temperature, with gradient and Hessian.

Every term of a compound-energy model (an end-member, a Redlich-Kister term of any order, a reciprocal term,
a ternary term with Muggianu's correction) is a coefficient times a product of linear forms of the site
fractions: ``y_i``, ``y_i - y_j``, ``y_k + (1 - y_i - y_j - y_k)/3``. So one routine evaluates them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Polynomial", "Term"]

Array = NDArray[np.float64]
Form = tuple[tuple[tuple[int, float], ...], float]  # ((index of y, weight), ...), constant


@dataclass(frozen=True, slots=True)
class Term:
    """One term.

    Attributes:
        rows: Rows of the parameter table whose sum is the coefficient; at least one.
        factors: Linear forms that are multiplied; none for a constant.
    """

    rows: tuple[int, ...]
    factors: tuple[Form, ...]


class _Group:
    """The terms with the same number of factors."""

    def __init__(self, terms: Sequence[Term], forms: dict[Form, int], weights: Array) -> None:
        self.degree = len(terms[0].factors)
        self._first = np.array([t.rows[0] for t in terms])
        self._more = [(k, row) for k, t in enumerate(terms) for row in t.rows[1:]]
        self.index = np.array([[forms[t.factors[k]] for t in terms] for k in range(self.degree)], dtype=int)
        # (degree, dof, terms): how a factor changes with each site fraction
        self.slopes = [np.ascontiguousarray(weights[:, i]) for i in self.index]
        self.pairs = [
            (a, b, self._curvature(self.slopes[a], self.slopes[b]))
            for a in range(self.degree)
            for b in range(a + 1, self.degree)
        ]

    def coefficients(self, table: Array) -> Array:
        """``(terms, n)`` from a table of ``(parameters, n)``."""
        result: Array = table[self._first]
        for k, row in self._more:
            result[k] += table[row]
        return result

    @staticmethod
    def _curvature(first: Array, second: Array) -> Array:
        """``(dof * dof, terms)`` symmetrised products of two factors' slopes."""
        outer = first[:, None, :] * second[None, :, :]
        return np.ascontiguousarray((outer + outer.transpose(1, 0, 2)).reshape(-1, first.shape[1]))


class Polynomial:
    """A polynomial of ``dof`` site fractions.

    Args:
        terms: Its terms.
        dof: Number of site fractions.
    """

    def __init__(self, terms: Sequence[Term], dof: int) -> None:
        self.dof = dof
        forms: dict[Form, int] = {}
        for term in terms:
            for factor in term.factors:
                forms.setdefault(factor, len(forms))
        self._weights = np.zeros((dof, len(forms)))
        self._constants = np.zeros((len(forms), 1))
        for (parts, constant), k in forms.items():
            self._constants[k] = constant
            for i, weight in parts:
                self._weights[i, k] += weight
        self._transposed = np.ascontiguousarray(self._weights.T)
        by_degree: dict[int, list[Term]] = {}
        for term in terms:
            by_degree.setdefault(len(term.factors), []).append(term)
        self._groups = [_Group(by_degree[k], forms, self._weights) for k in sorted(by_degree)]
        self.empty = not terms

    def coefficients(self, table: Array) -> list[Array]:
        """The coefficients, one array ``(terms, n)`` for each degree, from a table ``(parameters, n)``."""
        return [group.coefficients(table) for group in self._groups]

    def evaluate(self, y: Array, coefficients: Sequence[Array]) -> tuple[Array, Array]:
        """Value and gradient.

        Args:
            y: ``(dof, n)`` site fractions.
            coefficients: From :meth:`coefficients`, for the same ``n`` points.

        Returns:
            ``(n,)`` and ``(dof, n)``.
        """
        value = np.zeros(y.shape[1])
        gradient = np.zeros_like(y)
        forms = self._transposed @ y
        forms += self._constants
        for group, c in zip(self._groups, coefficients, strict=True):
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

    def hessian(self, y: Array, coefficients: Sequence[Array]) -> Array:
        """Second derivatives ``(dof, dof, n)``; arguments as in :meth:`evaluate`."""
        result = np.zeros((self.dof * self.dof, y.shape[1]))
        forms = self._transposed @ y
        forms += self._constants
        for group, c in zip(self._groups, coefficients, strict=True):
            factors = [forms[i] for i in group.index]
            for a, b, curvature in group.pairs:
                rest = c
                for k, factor in enumerate(factors):
                    if k not in (a, b):
                        rest = rest * factor
                result += curvature @ rest
        return result.reshape(self.dof, self.dof, -1)
