"""How far the predictions are off: measures the constants in ``hea_loop/data/prediction_uncertainty.csv``.

Run ``python -m benchmarks.prediction_uncertainty``: it prints what the packaged data give beside what is stored,
and the sigma of every prediction is only as good as this table.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from hea_loop import Composition, parse_composition
from hea_loop.elements import element_values, element_vector
from hea_loop.prediction import predict

SLIP = 0.10
"""A density off by more than this fraction is of a porous sample or a slip of the pen, and left out."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """Deviations, prediction less reference, of ``number`` values.

    Attributes:
        number: How many.
        bias: Their mean.
        root_mean_square: About zero, so that it includes the bias: the standard uncertainty that is stored.
    """

    number: int
    bias: float
    root_mean_square: float

    @classmethod
    def of(cls, deviations: NDArray[np.float64]) -> Deviation:
        """Summarise an array of deviations, shape ``(n,)``."""
        return cls(len(deviations), float(deviations.mean()), math.sqrt(float(np.square(deviations).mean())))


def _rows(name: str) -> list[dict[str, str]]:
    with files("db").joinpath(f"data/{name}").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def against_first_principles(name: str, column: str) -> Deviation:
    """Linear combination less the first-principles value of bcc ternaries, in the unit of the property."""
    rows = [row for row in _rows("first_principles_ternaries.csv") if row[column]]
    values = predict([parse_composition(row["composition"]) for row in rows], [name])
    pairs = zip(values, rows, strict=True)
    return Deviation.of(np.array([value.value - float(row[column]) for value, row in pairs]))


def against_published_densities() -> Deviation:
    """Relative deviation from the densities of the literature, each alloy once for a publication and value."""
    known: set[tuple[Composition, float, str]] = {
        (parse_composition(row["composition"]), float(row["value"]), row["doi"])
        for row in _rows("literature.csv")
        if row["property"] == "density" and row["value"] and not row["qualifier"]
    }
    deviations = np.array(
        [
            value.value / published - 1
            for composition, published, _ in sorted(known)
            for value in predict([composition], ["density"])
        ]
    )
    return Deviation.of(deviations[np.abs(deviations) <= SLIP])


def between_stacking_fault_tables() -> Deviation:
    """Relative difference of two tables, over sqrt(2), for the elements whose values are not the same."""
    quantity = "unstable_stacking_fault_energy"
    symbols = sorted({row.element for row in element_values() if row.quantity == quantity})
    first = element_vector(symbols, quantity, source="PSU-ULTERA")
    second = element_vector(symbols, quantity, source="PSU-PureElements")
    relative = (first - second) / ((first + second) / 2)
    return Deviation.of(relative[np.abs(relative) > 0.01] / math.sqrt(2))


def measured() -> dict[str, Deviation]:
    """Every stored constant, measured anew."""
    return {
        "shear_modulus": against_first_principles("shear_modulus", "shear_modulus_GPa"),
        "poisson_ratio": against_first_principles("poisson_ratio", "poisson_ratio"),
        "unstable_stacking_fault_energy": between_stacking_fault_tables(),
        "density": against_published_densities(),
    }


def stored() -> dict[str, tuple[float, int]]:
    """The constants in use, with the number of values behind each."""
    with files("hea_loop").joinpath("data/prediction_uncertainty.csv").open(encoding="utf-8") as file:
        return {row["property"]: (float(row["value"]), int(row["number"])) for row in csv.DictReader(file)}


def main() -> None:
    """Print the table."""
    print(f"{'property':32}{'values':>8}{'bias':>12}{'rms':>12}{'stored':>12}")
    constants = stored()
    for name, found in measured().items():
        print(
            f"{name:32}{found.number:8d}{found.bias:12.5g}{found.root_mean_square:12.5g}{constants[name][0]:12.5g}"
        )


if __name__ == "__main__":
    main()
