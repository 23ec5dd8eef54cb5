"""Functions of temperature, translated from a database's symbolic expressions to one numpy program.

pycalphad holds each parameter as a symengine expression of temperature. Here all expressions of a database
become one list of instructions without repetition (the Gibbs energy of an element, which every phase uses,
is computed once), which runs on arrays of temperatures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["PRESSURE_PA", "TemperatureProgram", "UnknownExpression"]

Array = NDArray[np.float64]

PRESSURE_PA: Final = 101325.0
"""Pressure that expressions are evaluated at, Pa."""

_Instruction = Callable[[list[Any]], Any]


class UnknownExpression(Exception):  # noqa: N818 - not an error of ours: whoever adds it names the parameter
    """An expression holds something other than arithmetic, powers, LN, EXP and intervals of T."""


class TemperatureProgram:
    """Instructions that evaluate many expressions at many temperatures.

    Args:
        symbols: The database's functions, symbol to symengine expression.
    """

    def __init__(self, symbols: dict[Any, Any]) -> None:
        self._symbols = symbols
        self._instructions: list[_Instruction] = []
        self._index: dict[Any, int] = {}
        self._wanted: list[int] = []

    def add(self, expression: Any) -> int:
        """Add an expression (functions of the database included) and return its row in :meth:`values`.

        Raises:
            UnknownExpression: It cannot be translated.
        """
        from pycalphad import Model
        from symengine import sympify

        # pycalphad's own expansion: it also decides how expressions go on beyond their limits of temperature
        expanded = Model.symbol_replace(sympify(expression), self._symbols)
        if hasattr(expanded, "xreplace"):
            expanded = Model.unwrap_piecewise(expanded)
        self._wanted.append(self._translate(expanded))
        return len(self._wanted) - 1

    def values(self, temperatures_K: Array) -> Array:
        """Evaluate all expressions.

        Args:
            temperatures_K: Shape ``(n,)``, K.

        Returns:
            Shape ``(expressions + 1, n)``, in the order in which they were added, and a row of zeros.
        """
        T = np.asarray(temperatures_K, dtype=float)
        registers: list[Any] = [T]
        with np.errstate(all="ignore"):  # a branch may overflow where another one is the valid one
            for instruction in self._instructions:
                registers.append(instruction(registers))
        result = np.zeros((len(self._wanted) + 1, len(T)))
        for row, register in enumerate(self._wanted):
            result[row] = registers[register]
        return result

    def _emit(self, key: Any, instruction: _Instruction) -> int:
        self._instructions.append(instruction)
        self._index[key] = len(self._instructions)
        return len(self._instructions)

    def _translate(self, expression: Any) -> int:
        import symengine as se
        from pycalphad import variables as v

        if expression == v.T:
            return 0
        known = self._index.get(expression)
        if known is not None:
            return known
        kind = type(expression).__name__
        if expression == v.P:
            return self._emit(expression, lambda _: PRESSURE_PA)
        if expression.is_Number or not expression.free_symbols:
            try:
                value = float(expression)
            except (TypeError, RuntimeError, ValueError):
                raise UnknownExpression(f"the constant {expression}") from None
            return self._emit(expression, lambda _, value=value: value)  # type: ignore[misc]
        if isinstance(expression, se.Piecewise):
            return self._piecewise(expression)
        parts = [self._translate(a) for a in expression.args] if kind in _OPERATIONS else []
        if not parts:
            raise UnknownExpression(f"{kind} ({expression})")
        operation = _OPERATIONS[kind]
        return self._emit(expression, lambda r: operation([r[i] for i in parts]))

    def _piecewise(self, expression: Any) -> int:
        arguments = list(expression.args)
        branches = [
            (self._translate(value), self._condition(condition))
            for value, condition in zip(arguments[::2], arguments[1::2], strict=True)
        ]

        def evaluate(r: list[Any]) -> Any:
            result: Any = 0.0
            for value, condition in reversed(branches):
                result = np.where(condition(r), r[value], result)
            return result

        return self._emit(expression, evaluate)

    def _condition(self, condition: Any) -> Callable[[list[Any]], Any]:
        kind = type(condition).__name__
        if kind in {"BooleanTrue", "BooleanFalse"}:
            constant = kind == "BooleanTrue"
            return lambda _: constant
        if kind == "And":
            parts = [self._condition(a) for a in condition.args]
            return lambda r: np.logical_and.reduce(np.broadcast_arrays(*[p(r) for p in parts]))
        if kind in _RELATIONS:
            left, right = (self._translate(a) for a in condition.args)
            relation = _RELATIONS[kind]
            return lambda r: relation(r[left], r[right])
        raise UnknownExpression(f"the condition {condition}")


def _sum(values: list[Any]) -> Any:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _product(values: list[Any]) -> Any:
    total = values[0]
    for value in values[1:]:
        total = total * value
    return total


def _power(values: list[Any]) -> Any:
    base, exponent = values
    if isinstance(exponent, float) and exponent == round(exponent) and 1 <= abs(exponent) <= 12:
        power = _product([base] * abs(int(exponent)))  # many times faster than np.power
        return power if exponent > 0 else 1.0 / power
    return np.power(base, exponent)


_OPERATIONS: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "Add": _sum,
    "Mul": _product,
    "Pow": _power,
    "log": lambda values: np.log(values[0]),
    "exp": lambda values: np.exp(values[0]),
}
_RELATIONS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "LessThan": np.less_equal,
    "StrictLessThan": np.less,
    "GreaterThan": np.greater_equal,
    "StrictGreaterThan": np.greater,
    "Le": np.less_equal,
    "Lt": np.less,
}
