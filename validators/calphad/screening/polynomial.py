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


def _difference(product: Product) -> tuple[Product, Form | None, int]:
    """Split a product into its other factors, the difference of two fractions in it, and that one's power."""
    found = [f for f in product if f[1] == 0.0 and len(f[0]) == 2 and f[0][0][1] == -f[0][1][1]]
    if not found or any(f != found[0] for f in found):
        return product, None, 0
    return tuple(f for f in product if f != found[0]), found[0], len(found)


class _Group:
    """Terms of as many factors: a product of linear forms times a polynomial of one more form.

    A Redlich-Kister series of a pair is one of them: y_i y_j times a polynomial of y_i - y_j.
    """

    def __init__(
        self,
        products: Sequence[Product],
        of: Sequence[Form | None],
        power: int,
        forms: dict[Form, int],
        weights: Array,
        start: int,
    ) -> None:
        self.count, self.power, self.degree = len(products), power, len(products[0])
        self.parts = [slice(start + v * self.count, start + (v + 1) * self.count) for v in range(power + 1)]
        index = [[forms[p[k]] for p in products] for k in range(self.degree)]
        if power:
            index.append([forms[f] for f in of if f is not None])
        self.index = np.array(index, dtype=int).reshape(len(index), self.count)
        # (dof, terms) each: how a factor changes with each site fraction
        slopes = [np.ascontiguousarray(weights[:, i]) for i in self.index]
        self.slopes = np.concatenate(slopes, axis=1) if slopes else weights[:, :0]
        self.pairs = [(a, b) for a in range(self.degree) for b in range(a + 1, len(slopes))]
        curved = [self._curvature(slopes[a], slopes[b]) for a, b in self.pairs]
        if power > 1:
            curved.append(self._curvature(slopes[-1], slopes[-1]))
        self.curvature = np.concatenate(curved, axis=1) if curved else None

    @staticmethod
    def _curvature(first: Array, second: Array) -> Array:
        """``(dof * dof, terms)`` symmetrised products of two factors' slopes."""
        outer = first[:, None, :] * second[None, :, :]
        return np.ascontiguousarray((outer + outer.transpose(1, 0, 2)).reshape(-1, first.shape[1]))

    def series(self, forms: Array, coefficients: Array, derivatives: int) -> list[Array]:
        """The polynomials of the last form, their first derivatives, and half of their second ones."""
        result = [coefficients[self.parts[-1]]]
        if self.power == 0:
            return result
        d = forms[self.index[-1]]
        for v in range(self.power - 1, -1, -1):
            # Horner's scheme, the derivatives along with it
            for k in range(min(derivatives, self.power - v), 0, -1):
                if k == len(result):
                    result.append(result[k - 1])
                else:
                    result[k] = result[k] * d + result[k - 1]
            result[0] = result[0] * d + coefficients[self.parts[v]]
        return result


class Polynomial:
    """A polynomial of ``dof`` site fractions.

    Args:
        products: The products of its terms.
        dof: Number of site fractions.

    Attributes:
        places: For each product its row in the coefficients.
        rows: Number of rows of the coefficients; those of no product are zero.
    """

    def __init__(self, products: Sequence[Product], dof: int) -> None:
        self.dof = dof
        self.empty = not products
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
        self._groups: list[_Group] = []
        self.places = np.zeros(len(products), dtype=np.intp)
        self.rows = 0
        self._arrange(products, forms, weights)

    def _arrange(self, products: Sequence[Product], forms: dict[Form, int], weights: Array) -> None:
        split = [_difference(product) for product in products]
        # a term without a difference goes with a series of the same other factors
        series = {base: form for base, form, power in reversed(split) if power}
        keys = [(base, form if power else series.get(base)) for base, form, power in split]
        by_kind: dict[tuple[int, bool], list[tuple[Product, Form | None]]] = {}
        for key in dict.fromkeys(keys):
            by_kind.setdefault((len(key[0]), key[1] is not None), []).append(key)
        for (_, has_series), members in sorted(by_kind.items()):
            number = {key: k for k, key in enumerate(members)}
            within = [k for k, key in enumerate(keys) if key in number]
            power = max(split[k][2] for k in within) if has_series else 0
            for k in within:
                self.places[k] = self.rows + split[k][2] * len(members) + number[keys[k]]
            self._groups.append(
                _Group([m[0] for m in members], [m[1] for m in members], power, forms, weights, self.rows)
            )
            self.rows += (power + 1) * len(members)

    def evaluate(self, y: Array, coefficients: Array) -> tuple[Array, Array]:
        """Value and gradient.

        Args:
            y: ``(dof, n)`` site fractions.
            coefficients: ``(rows, n)``.

        Returns:
            ``(n,)`` and ``(dof, n)``.
        """
        points = y.shape[1]
        value = np.zeros(points)
        gradient = np.zeros_like(y)
        forms = self._transposed @ y
        forms += self._constants
        for group in self._groups:
            count, m = group.count, group.degree
            series = group.series(forms, coefficients, 1)
            if not m and not group.power:
                value += series[0].sum(axis=0)
                continue
            stack = np.empty((len(group.index) * count, points))
            factors = [forms[i] for i in group.index[:m]]
            # after[k] = P f_(k+1) ... f_last; going up, before = f_0 ... f_(k-1)
            after = [series[0]]
            for factor in factors[:0:-1]:
                after.append(after[-1] * factor)
            after.reverse()
            stack[:count] = after[0]
            before = factors[0]
            for k, factor in enumerate(factors[1:], start=1):
                np.multiply(after[k], before, out=stack[k * count : (k + 1) * count])
                before = before * factor
            if group.power:
                np.multiply(series[1], before, out=stack[m * count :])
            gradient += group.slopes @ stack
            value += np.einsum("kn,kn->n", after[0], factors[0])
        return value, gradient

    def hessian(self, y: Array, coefficients: Array) -> Array:
        """Second derivatives ``(dof, dof, n)``; arguments as in :meth:`evaluate`."""
        points = y.shape[1]
        result = np.zeros((self.dof * self.dof, points))
        forms = self._transposed @ y
        forms += self._constants
        for group in self._groups:
            if group.curvature is None:
                continue
            count, m = group.count, group.degree
            series = group.series(forms, coefficients, 2)
            factors = [forms[i] for i in group.index[:m]]
            stack = np.empty((group.curvature.shape[1], points))
            for row, (a, b) in enumerate(group.pairs):
                place = stack[row * count : (row + 1) * count]
                place[:] = series[1] if b == m else series[0]
                for k, factor in enumerate(factors):
                    if k not in (a, b):
                        place *= factor
            if group.power > 1:
                place = stack[len(group.pairs) * count :]
                place[:] = series[2]
                for factor in factors:
                    place *= factor
            result += group.curvature @ stack
        return result.reshape(self.dof, self.dof, -1)
