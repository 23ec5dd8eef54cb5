"""Who predicts the elastic moduli of a campaign, and with them Rice's toughness.

``linear-combination`` averages the elements' values (:mod:`hea_loop.prediction`). ``first-principles`` takes them from
a model that learned the first-principles data of the store (:mod:`hea_loop.surrogates.first_principles`), which knows
how sure it is. A campaign names one of the two, and everything that asks for a prediction in it asks here: ranking,
the generator's training conditions, feasibility and objectives. What a candidate is judged by is the stored value
of the same kind.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from hea_loop.elements import element_vector
from hea_loop.errors import InputError
from hea_loop.prediction import PREDICTED_PROPERTIES, predict_array

__all__ = [
    "LEARNED_PROPERTIES",
    "LEARNED_SOURCE",
    "ElasticModel",
    "Elasticity",
    "decides_last",
    "learned_targets",
    "predictable",
    "predicted",
    "predicted_means",
    "require_predictable_elements",
]

Array = NDArray[np.float64]

Elasticity = Literal["linear-combination", "first-principles"]

LEARNED_PROPERTIES: Final = (
    "shear_modulus",
    "bulk_modulus",
    "poisson_ratio",
    "fracture_toughness_rice",
)
"""What the first-principles model predicts, in GPa, GPa, 1 and MPa m^0.5."""

LEARNED_SOURCE: Final = "prediction:first-principles-gp/"
"""What the sources of its stored values begin with."""

_INPUTS: Final = {
    "shear_modulus": ("shear_modulus",),
    "bulk_modulus": ("bulk_modulus",),
    "poisson_ratio": ("poisson_ratio",),
    "fracture_toughness_rice": ("shear_modulus", "poisson_ratio", "unstable_stacking_fault_energy"),
}


class ElasticModel(Protocol):
    """A learned model of :data:`LEARNED_PROPERTIES`."""

    def means(
        self, fractions: Array, elements: Sequence[str], names: Sequence[str] = ...
    ) -> Mapping[str, Array]:
        """Means of ``n x m`` fractions by property, ``n`` numbers each in its unit; only of ``names``."""
        ...

    def predict(
        self, fractions: Array, elements: Sequence[str], names: Sequence[str] = ...
    ) -> Mapping[str, tuple[Array, Array]]:
        """Means and standard deviations likewise."""
        ...

    def method(self, name: str) -> str:
        """How a property is predicted, with version and the hash of what was learned from."""
        ...

    @property
    def source(self) -> str:
        """The source of its values in the store; it begins with :data:`LEARNED_SOURCE`."""
        ...


def predictable(elasticity: Elasticity) -> tuple[str, ...]:
    """The properties that predictions decide under a choice of elasticity."""
    if elasticity == "linear-combination":
        return PREDICTED_PROPERTIES
    return (*PREDICTED_PROPERTIES, *(n for n in LEARNED_PROPERTIES if n not in PREDICTED_PROPERTIES))


def learned_targets(names: Sequence[str], model: ElasticModel | None) -> tuple[str, ...]:
    """Those of some properties that the model predicts in place of the formulas; none without a model."""
    return () if model is None else tuple(n for n in names if n in LEARNED_PROPERTIES)


def predicted_means(
    fractions: Array, elements: Sequence[str], names: Sequence[str], model: ElasticModel | None = None
) -> dict[str, Array]:
    """Predicted values of some properties: the model's where there is one and it has them, else the formulas'.

    Args:
        fractions: ``n x m`` atomic fractions, rows summing to one.
        elements: ``m`` symbols.
        names: Properties that can be predicted.
        model: The campaign's; None for the linear combination.

    Returns:
        Property to ``n`` values in its unit, in the order of ``names``.

    Raises:
        InputError: As :func:`hea_loop.prediction.predict_array`.
    """
    learned = learned_targets(names, model)
    formulas = [n for n in names if n not in learned]
    values: dict[str, Array] = dict(predict_array(fractions, elements, formulas)) if formulas else {}
    if learned and model is not None:
        values |= model.means(np.asarray(fractions, dtype=float), elements, learned)
    return {name: values[name] for name in names}


def predicted(
    fractions: Array, elements: Sequence[str], names: Sequence[str], model: ElasticModel | None = None
) -> dict[str, tuple[Array, Array]]:
    """The same with standard deviations: zero for a formula, as a candidate is judged by the very same number."""
    learned = learned_targets(names, model)
    formulas = [n for n in names if n not in learned]
    exact = np.zeros(len(fractions))
    values = predict_array(fractions, elements, formulas) if formulas else {}
    out: dict[str, tuple[Array, Array]] = {name: (value, exact) for name, value in values.items()}
    if learned and model is not None:
        out |= model.predict(np.asarray(fractions, dtype=float), elements, learned)
    return {name: out[name] for name in names}


def require_predictable_elements(
    elements: Sequence[str], names: Sequence[str], *, field: str = "palette.elements"
) -> None:
    """Refuse elements that lack what a learned property needs of each element.

    Raises:
        InputError: The first property and the elements that lack something.
    """
    for name in names:
        for quantity in _INPUTS.get(name, ()):
            values = element_vector(elements, quantity)
            if lacking := [e for e, v in zip(elements, values, strict=True) if np.isnan(v)]:
                raise InputError(
                    field,
                    list(elements),
                    f"{name} cannot be predicted: no {quantity} of {', '.join(lacking)}",
                    "leave the elements out, or the target",
                )


def decides_last(source: str, elasticity: Elasticity) -> bool:
    """Whether a stored prediction is of the campaign's kind: of two kinds of one property these decide."""
    return source.startswith(LEARNED_SOURCE) == (elasticity == "first-principles")
