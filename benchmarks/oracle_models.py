"""The fixed nonlinear models behind the oracles: fitted to packaged real data once, then never changed.

    python -m benchmarks.oracle_models [--json]     # cross-validated errors of the models, and whether they stand
    python -m benchmarks.oracle_models --write      # fit again and write benchmarks/data/oracle_models.json

An oracle stands in for a laboratory, so it has to be as crooked as one and known everywhere. Each model is a
ridge regression on a fixed set of functions, which makes the fit a linear system with one solution:

- *elastic*: shear modulus and Poisson's ratio as the linear combination of the elements plus a Redlich-Kister
  polynomial (sub-regular binary terms and ternary ones; Redlich and Kister, Ind. Eng. Chem. 40 (1948) 345, doi
  10.1021/ie50458a036), fitted to 1,261 first-principles ternaries. Of Al and Cr no ternary is known: their shares
  enter by the linear combination.
- *strength*: the logarithm of the yield strength over composition, temperature and descriptors, in linear terms
  and random Fourier features (Rahimi and Recht, NIPS 20 (2007) 1177), fitted to the packaged literature of alloys
  of ten elements above 290 K. The scatter between laboratories and processing is in it.
- *spinodal temperature*: nothing is fitted. The temperature below which a regular solution with the pair
  enthalpies of Takeuchi and Inoue (doi 10.2320/matertrans.46.2817) is unstable against demixing.

Errors are cross-validated: strength by leaving out alloys and by leaving out publications, in ten folds; elastic
moduli by leaving out ternary systems.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import constants

from db.literature import read_first_principles, read_literature
from hea_loop.elements import element_vector, mixing_enthalpy_matrix
from hea_loop.prediction import predict_array

__all__ = [
    "ELASTIC_ELEMENTS",
    "STRENGTH_ELEMENTS",
    "FittedModels",
    "fit_models",
    "main",
    "packaged_models",
    "shear_modulus_and_poisson_ratio",
    "source_hashes",
    "spinodal_temperature",
    "stated_errors",
    "strength_features",
    "yield_strength",
]

Array = NDArray[np.float64]

ELASTIC_ELEMENTS: Final = ("Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr")
"""Elements of the first-principles ternaries."""
STRENGTH_ELEMENTS: Final = ("Al", "Cr", "Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr")
"""Elements of the alloys that the strength is learned from."""

_FILE: Final = "oracle_models.json"
_SOURCES: Final = ("literature.csv", "first_principles_ternaries.csv")
_ELASTIC: Final = ("shear_modulus", "poisson_ratio")
_RIDGE_ELASTIC: Final = 1e-4
_COLDEST_K: Final = 290.0
_FEATURES: Final = 400
_LENGTH: Final = 3.0
_RIDGE: Final = 0.1
_RIDGE_LINEAR: Final = 1.0
_FOLDS: Final = 10
_HOT_K: Final = 1273.0
_CHUNK: Final = 1024
_DIGITS: Final = 9
# strengths beyond what was measured are held at the ends of the measured range
_STRENGTH_RANGE: Final = (24.0, 3416.0)


@dataclass(frozen=True, slots=True, eq=False)
class FittedModels:
    """Coefficients of the fitted models.

    Attributes:
        elastic: Property to coefficients of the correction's terms, shape ``(120,)``.
        centre: Mean of each feature of the strength, shape ``(18,)``.
        scale: Standard deviation of each, the same shape.
        frequencies: Random frequencies, ``18 x 400``, in units of ``scale``.
        phases: Their phases, shape ``(400,)``.
        weights: Constant, linear terms, cosines: shape ``(419,)``; of the logarithm of the strength in MPa.
    """

    elastic: dict[str, Array]
    centre: Array
    scale: Array
    frequencies: Array
    phases: Array
    weights: Array


def _terms(x: Array) -> Array:
    """Redlich-Kister terms of ``n x 8`` fractions: 8 linear, 28 + 28 binary, 56 ternary ones."""
    pairs = list(combinations(range(x.shape[1]), 2))
    triples = list(combinations(range(x.shape[1]), 3))
    i, j = np.array(pairs).T
    a, b, c = np.array(triples).T
    product = x[:, i] * x[:, j]
    return np.hstack([x, product, product * (x[:, i] - x[:, j]), x[:, a] * x[:, b] * x[:, c]])


def _columns(fractions: Array, elements: tuple[str, ...], wanted: tuple[str, ...]) -> Array:
    """The fractions of the wanted elements, ``n x len(wanted)``; zero for one that has no column."""
    out = np.zeros((len(fractions), len(wanted)))
    for place, symbol in enumerate(wanted):
        if symbol in elements:
            out[:, place] = fractions[:, elements.index(symbol)]
    return out


def shear_modulus_and_poisson_ratio(fractions: Array, elements: tuple[str, ...]) -> tuple[Array, Array]:
    """Shear modulus in GPa and Poisson's ratio of the oracle.

    Args:
        fractions: ``n x m`` atomic fractions that sum to one.
        elements: The ``m`` symbols of the columns.

    Returns:
        Two arrays of shape ``(n,)``.
    """
    plain = predict_array(fractions, elements, _ELASTIC)
    terms = _terms(_columns(fractions, elements, ELASTIC_ELEMENTS))
    models = packaged_models().elastic
    g, nu = (plain[name] + terms @ models[name] for name in _ELASTIC)
    return np.maximum(g, 5.0), np.clip(nu, 0.15, 0.48)


def strength_features(x: Array, temperature_K: Array) -> Array:
    """``n x 18``: fractions of ten elements and eight descriptors, of ``n x 10`` fractions and ``n`` temperatures."""
    radii, moduli, melting = (
        element_vector(STRENGTH_ELEMENTS, name)
        for name in ("metallic_radius", "shear_modulus", "melting_temperature")
    )
    radius, modulus, melts = x @ radii, x @ moduli, x @ melting
    size = 100 * np.sqrt((x * (1 - radii / radius[:, None]) ** 2).sum(axis=1))
    stiffness = np.sqrt((x * (1 - moduli / modulus[:, None]) ** 2).sum(axis=1))
    enthalpy = 2 * ((x @ mixing_enthalpy_matrix(STRENGTH_ELEMENTS)) * x).sum(axis=1)
    valence = x @ element_vector(STRENGTH_ELEMENTS, "valence_electrons")
    own = (size, stiffness, modulus, valence, enthalpy, melts, temperature_K, temperature_K / melts)
    return np.column_stack([x, *own])


def _cosines(scaled: Array, frequencies: Array, phases: Array) -> Array:
    """Constant, linear terms and random Fourier features, ``n x (1 + d + k)``."""
    waves = np.sqrt(2 / len(phases)) * np.cos(scaled @ frequencies + phases)
    return np.hstack([np.ones((len(scaled), 1)), scaled, waves])


def yield_strength(fractions: Array, elements: tuple[str, ...], temperature_K: float) -> Array:
    """Yield strength of the oracle in MPa at one temperature.

    Args:
        fractions: ``n x m`` atomic fractions that sum to one.
        elements: The ``m`` symbols, of :data:`STRENGTH_ELEMENTS`.
        temperature_K: In K, 290 to 2,100.

    Returns:
        Shape ``(n,)``, held within the range of the measured values.
    """
    models = packaged_models()
    x = _columns(fractions, elements, STRENGTH_ELEMENTS)
    logarithm = np.empty(len(x))
    for first in range(0, len(x), _CHUNK):  # what stays in the processor's cache is twice as fast
        part = slice(first, first + _CHUNK)
        features = strength_features(x[part], np.full(len(x[part]), temperature_K))
        design = _cosines((features - models.centre) / models.scale, models.frequencies, models.phases)
        logarithm[part] = design @ models.weights
    return np.exp(np.clip(logarithm, *np.log(_STRENGTH_RANGE)))


def spinodal_temperature(fractions: Array, elements: tuple[str, ...]) -> Array:
    """Temperature in K below which the alloy, as one regular solution, is unstable against demixing.

    The Gibbs energy of mixing of a regular solution, sum over pairs of 4 H_ij x_i x_j plus R T sum x_i ln x_i, has
    on the simplex the Hessian 4 H + R T diag(1/x). With s = sqrt(x), S = diag(s) and Q = 1 - s s^T it is singular
    first, as T falls, at R T = the largest eigenvalue of -4 Q S H S Q (de Fontaine, J. Phys. Chem. Solids 33 (1972)
    297, doi 10.1016/0022-3697(72)90011-X, for the stability of multicomponent solutions). The eigenvalue has
    kinks where two ways of demixing change places.

    Args:
        fractions: ``n x m`` atomic fractions that sum to one; absent elements demix nothing.
        elements: The ``m`` symbols of the columns.

    Returns:
        Shape ``(n,)``, at least zero.
    """
    s = np.sqrt(np.maximum(fractions, 0.0))
    curvature = -4 * constants.kilo * mixing_enthalpy_matrix(elements)
    inner = s[:, :, None] * curvature * s[:, None, :]
    project = np.eye(s.shape[1]) - s[:, :, None] * s[:, None, :]
    largest = np.linalg.eigvalsh(project @ inner @ project)[:, -1]
    return np.maximum(largest, 0.0) / constants.R


# -- fit -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _StrengthRows:
    features: Array
    logarithm: Array
    alloy: NDArray[np.int_]
    publication: NDArray[np.int_]
    temperature_K: Array


def _strength_rows() -> _StrengthRows:
    rows = [
        row
        for row in read_literature()
        if row.property == "yield_strength"
        and not row.qualifier
        and row.temperature_K is not None
        and row.temperature_K >= _COLDEST_K
        and set(row.composition.elements) <= set(STRENGTH_ELEMENTS)
    ]
    x = np.array([row.composition.fraction_vector(STRENGTH_ELEMENTS) for row in rows])
    temperature = np.array([row.temperature_K for row in rows], dtype=float)
    return _StrengthRows(
        features=strength_features(x, temperature),
        logarithm=np.log([row.value for row in rows]),
        alloy=np.unique([row.composition.key for row in rows], return_inverse=True)[1],
        publication=np.unique([row.doi for row in rows], return_inverse=True)[1],
        temperature_K=temperature,
    )


def _ridge(design: Array, values: Array, penalty: Array) -> Array:
    return np.linalg.solve(design.T @ design + np.diag(penalty), design.T @ values)


def _strength_penalty(number: int) -> Array:
    return np.concatenate([[0.0], np.full(number, _RIDGE_LINEAR), np.full(_FEATURES, _RIDGE)])


def _elastic_rows() -> tuple[Array, dict[str, Array], NDArray[np.int_]]:
    """Terms of the ternaries, what the linear combination leaves of each property, and the ternary system."""
    rows = read_first_principles()
    x = np.array([row.composition.fraction_vector(ELASTIC_ELEMENTS) for row in rows])
    plain = predict_array(x, ELASTIC_ELEMENTS, _ELASTIC)
    left = {name: np.array([getattr(row, name) for row in rows]) - plain[name] for name in _ELASTIC}
    systems = np.unique([row.composition.system for row in rows], return_inverse=True)[1]
    return _terms(x), left, systems


def fit_models() -> FittedModels:
    """Fit all models to the packaged data; the same data give the same coefficients to nine digits or so."""
    rng = np.random.default_rng(4)
    rows = _strength_rows()
    centre, scale = rows.features.mean(axis=0), rows.features.std(axis=0)
    frequencies = rng.standard_normal((len(centre), _FEATURES)) / _LENGTH
    phases = rng.uniform(0, 2 * np.pi, _FEATURES)
    design = _cosines((rows.features - centre) / scale, frequencies, phases)
    terms, left, _ = _elastic_rows()
    penalty = np.full(terms.shape[1], _RIDGE_ELASTIC)
    return FittedModels(
        elastic={name: _ridge(terms, values, penalty) for name, values in left.items()},
        centre=centre,
        scale=scale,
        frequencies=frequencies,
        phases=phases,
        weights=_ridge(design, rows.logarithm, _strength_penalty(len(centre))),
    )


def _held_out(
    design: Array, values: Array, penalty: Array, groups: NDArray[np.int_], folds: int | None
) -> Array:
    """What is predicted of each row by a model that saw no row of its fold; None: each group is a fold."""
    of_group = np.arange(groups.max() + 1)
    if folds is not None:
        of_group = np.random.default_rng(0).permutation(of_group) % folds
    fold, out = of_group[groups], np.empty(len(values))
    for k in np.unique(fold):
        held = fold == k
        out[held] = design[held] @ _ridge(design[~held], values[~held], penalty)
    return out


def cross_validate(models: FittedModels) -> dict[str, Any]:
    """Errors on alloys, publications and ternary systems that were left out."""
    rows = _strength_rows()
    design = _cosines((rows.features - models.centre) / models.scale, models.frequencies, models.phases)
    hot = rows.temperature_K >= _HOT_K
    strength: dict[str, Any] = {"rows": len(hot), "rows_from_1273_K": int(hot.sum())}
    for label, groups in (("alloys", rows.alloy), ("publications", rows.publication)):
        predicted = _held_out(design, rows.logarithm, _strength_penalty(len(models.centre)), groups, _FOLDS)
        off = predicted - rows.logarithm
        strength[f"leaving_out_{label}"] = {
            "rms_of_the_logarithm": round(float(np.sqrt((off**2).mean())), 3),
            "rms_of_the_logarithm_from_1273_K": round(float(np.sqrt((off[hot] ** 2).mean())), 3),
            "median_relative_error_from_1273_K": round(float(np.median(np.abs(np.expm1(off[hot])))), 3),
        }
    terms, left, systems = _elastic_rows()
    penalty = np.full(terms.shape[1], _RIDGE_ELASTIC)
    elastic: dict[str, Any] = {"rows": len(terms), "systems": int(systems.max()) + 1}
    for name, values in left.items():
        off = _held_out(terms, values, penalty, systems, None) - values
        elastic[name] = {
            "mean_absolute_error": round(float(np.abs(off).mean()), 4),
            "mean_absolute_error_of_the_linear_combination": round(float(np.abs(values).mean()), 4),
        }
    return {"yield_strength": strength, "elastic_leaving_out_ternary_systems": elastic}


def source_hashes() -> dict[str, str]:
    """SHA-256 of the packaged files that the models are fitted to."""
    folder = files("db").joinpath("data")
    return {name: hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest() for name in _SOURCES}


@lru_cache(maxsize=1)
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        files("benchmarks").joinpath(f"data/{_FILE}").read_text(encoding="utf-8")
    )
    return content


@lru_cache(maxsize=1)
def packaged_models() -> FittedModels:
    """The models as they are packaged; a benchmark never fits them again."""
    c = _content()["models"]
    return FittedModels(
        elastic={name: np.array(values) for name, values in c["elastic"].items()},
        **{name: np.array(c[name]) for name in ("centre", "scale", "frequencies", "phases", "weights")},
    )


def stated_errors() -> dict[str, Any]:
    """Cross-validated errors of the packaged models, as they were when they were fitted."""
    errors: dict[str, Any] = _content()["errors"]
    return errors


def _plain(values: Array) -> list[Any]:
    if values.ndim > 1:
        return [_plain(row) for row in values]
    return [float(f"{v:.{_DIGITS}g}") for v in values]


def _write() -> None:
    models = fit_models()
    content = {
        "made_by": "python -m benchmarks.oracle_models --write",
        "sources_sha256": source_hashes(),
        "numpy": version("numpy"),
        "errors": cross_validate(models),
        "models": {
            "elastic": {name: _plain(v) for name, v in models.elastic.items()},
            **{
                name: _plain(getattr(models, name))
                for name in ("centre", "scale", "frequencies", "phases", "weights")
            },
        },
    }
    path = files("benchmarks").joinpath(f"data/{_FILE}")
    with open(str(path), "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(json.dumps(content, separators=(",", ":")).replace("],", "],\n") + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns the exit code, 1 where the packaged models are not those of the data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="fit again and write the packaged file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    if given.write:
        _write()
        _content.cache_clear()
        packaged_models.cache_clear()
    fresh, kept = fit_models(), packaged_models()
    stands = _content()["sources_sha256"] == source_hashes() and all(
        np.allclose(getattr(fresh, name), getattr(kept, name), rtol=1e-4, atol=1e-6)
        for name in ("centre", "scale", "weights")
    )
    errors = cross_validate(kept)
    if given.json:
        print(json.dumps({"stands": stands, "errors": errors}, indent=1))
    else:
        print(json.dumps(errors, indent=1))
        print(
            "the packaged models are those of the data" if stands else "the data are not those of the models"
        )
    return 0 if stands else 1


if __name__ == "__main__":
    sys.exit(main())
