"""The algebra of elastic constants and of the equation of state, against closed forms and other ways to them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from validators.atomistic.birch_murnaghan import EV_PER_A3, fit_equation_of_state
from validators.atomistic.elasticity import (
    CubicConstants,
    born_violations,
    cubic_matrix,
    cubic_part,
    moduli,
    propagated,
    strain_matrix,
    to_voigt,
)

PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
TUNGSTEN = (522.8, 203.5, 160.7)


def full_tensor(c):
    tensor = np.zeros((3, 3, 3, 3))
    for p, q in itertools.product(range(6), repeat=2):
        (i, j), (k, m) = PAIRS[p], PAIRS[q]
        for a, b in ((i, j), (j, i)):
            tensor[a, b, k, m] = tensor[a, b, m, k] = c[p, q]
    return tensor


def matrix_of(tensor):
    return np.array([[tensor[i, j, k, m] for k, m in PAIRS] for i, j in PAIRS])


def cubic_rotations():
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            r = np.zeros((3, 3))
            r[range(3), order] = signs
            if np.linalg.det(r) > 0:
                yield r


def stable_matrix(seed):
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(6, 6)) * 8
    return cubic_matrix(250, 130, 60) + noise @ noise.T / 4


@pytest.mark.parametrize("seed", [0, 1])
def test_the_cubic_part_is_the_mean_over_the_rotations_of_the_cube(seed):
    c = stable_matrix(seed)
    tensor = full_tensor(c)
    mean = np.mean(
        [np.einsum("ia,jb,kc,ld,abcd->ijkl", r, r, r, r, tensor) for r in cubic_rotations()], axis=0
    )
    found = cubic_part(c)
    assert matrix_of(mean) == pytest.approx(cubic_matrix(found.c11, found.c12, found.c44), abs=1e-9)
    # and the departure is in the norm of the whole tensor
    assert found.departure == pytest.approx(np.linalg.norm(tensor - mean) / np.linalg.norm(tensor))


def test_a_cubic_matrix_departs_from_cubic_by_nothing():
    found = cubic_part(cubic_matrix(*TUNGSTEN))
    assert (found.c11, found.c12, found.c44) == pytest.approx(TUNGSTEN)
    assert found.departure == pytest.approx(0.0, abs=1e-12)
    assert found.errors == pytest.approx((0, 0, 0), abs=1e-9)
    assert found.anisotropy == pytest.approx(2 * 160.7 / (522.8 - 203.5))


def test_the_moduli_of_a_cubic_crystal_are_those_of_the_closed_forms():
    c11, c12, c44 = 246.0, 134.0, 28.7
    found = moduli(cubic_matrix(c11, c12, c44))
    voigt = (c11 - c12 + 3 * c44) / 5
    reuss = 5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12))
    assert found.bulk_voigt == pytest.approx((c11 + 2 * c12) / 3)
    assert found.bulk_reuss == pytest.approx((c11 + 2 * c12) / 3)
    assert (found.shear_voigt, found.shear_reuss) == pytest.approx((voigt, reuss))
    assert found.shear == pytest.approx((voigt + reuss) / 2)
    assert found.young == pytest.approx(2 * found.shear * (1 + found.poisson))
    assert found.young == pytest.approx(3 * found.bulk * (1 - 2 * found.poisson))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_reuss_bounds_voigt_from_below_whatever_the_symmetry(seed):
    found = moduli(stable_matrix(seed))
    assert found.shear_reuss < found.shear < found.shear_voigt
    assert found.bulk_reuss < found.bulk < found.bulk_voigt


def test_an_isotropic_matrix_has_one_shear_modulus():
    found = moduli(cubic_matrix(200 + 2 * 80, 200, 80))
    assert (found.shear_voigt, found.shear_reuss) == pytest.approx((80, 80))


@pytest.mark.parametrize(
    ("constants", "said"),
    [
        ((150, 160, 80), "C11 - C12 = -10.0"),
        ((150, 100, -5), "C44 = -5.0"),
        ((100, -60, 80), "C11 + 2 C12 = -20.0"),
        ((150, 100, 80), None),
    ],
)
def test_an_unstable_crystal_is_told_by_the_condition_that_it_breaks(constants, said):
    found = born_violations(cubic_matrix(*constants))
    assert (said is None and not found) or (len(found) == 1 and said in found[0])


def test_a_crystal_whose_cubic_part_is_stable_can_be_unstable():
    c = cubic_matrix(250, 130, 60)
    c[3, 3], c[4, 4] = -10.0, 130.0
    (found,) = born_violations(c)
    assert "eigenvalue" in found
    assert "-10.0" in found


def test_errors_of_the_constants_reach_the_moduli():
    constants = CubicConstants(250.0, 130.0, 60.0, (6.0, 3.0, 2.0), 0.05)
    found = propagated(constants)
    generator = np.random.default_rng(0)
    drawn = generator.normal((250, 130, 60), (6, 3, 2), size=(4000, 3))
    sampled = [moduli(cubic_matrix(*draw)).by_property() for draw in drawn]
    for name in found:
        assert found[name] == pytest.approx(np.std([s[name] for s in sampled]), rel=0.06), name


def test_strain_and_stress_use_voigts_order_and_double_shears():
    assert strain_matrix(3, 0.01)[1, 2] == 0.005
    assert np.trace(strain_matrix(0, 0.01)) == 0.01
    stress = np.arange(9.0).reshape(3, 3)
    assert to_voigt((stress + stress.T) / 2).tolist() == [0, 4, 8, 6, 4, 2]
    # energy per volume: 1/2 strain : stress = 1/2 e.s in Voigt's notation
    for k in range(6):
        e = np.eye(6)[k]
        assert np.tensordot(strain_matrix(k, 1.0), (stress + stress.T) / 2) == pytest.approx(
            e @ to_voigt((stress + stress.T) / 2)
        )


def birch(v, v0, bulk, derivative):
    """The equation in its usual form, eV."""
    y = (v0 / v) ** (2 / 3)
    return -9.0 + 9 * v0 * bulk / 16 / EV_PER_A3 * ((y - 1) ** 3 * derivative + (y - 1) ** 2 * (6 - 4 * y))


@pytest.mark.parametrize(
    ("v0", "bulk", "derivative"), [(16.0, 305.0, 4.3), (18.1, 170.0, 3.0), (18.1, 170.0, 6.0)]
)
def test_the_fit_finds_the_equation_that_made_the_energies(v0, bulk, derivative):
    v = 16.9 * np.linspace(0.9, 1.1, 7)
    state = fit_equation_of_state(v.tolist(), birch(v, v0, bulk, derivative).tolist())
    assert state is not None
    assert state.volume == pytest.approx(v0, rel=1e-6)
    assert state.bulk_modulus == pytest.approx(bulk, rel=1e-5)
    assert state.derivative == pytest.approx(derivative, rel=1e-4)
    assert state.energy == pytest.approx(-9.0, abs=1e-8)
    assert state.residual < 1e-6
    assert state.inside


def test_a_minimum_beyond_the_sampled_volumes_is_said_to_be_outside():
    v = np.linspace(17.0, 19.0, 7)
    state = fit_equation_of_state(v.tolist(), birch(v, 16.5, 305.0, 4.0).tolist())
    assert state is not None
    assert not state.inside


def test_energies_without_a_minimum_have_no_equation_of_state():
    v = np.linspace(14.0, 18.0, 7)
    concave = fit_equation_of_state(v.tolist(), (-((v - 16) ** 2)).tolist())
    assert concave is None or not concave.inside
    assert fit_equation_of_state(v.tolist(), (0.1 * v ** (-2 / 3)).tolist()) is None


def test_the_scatter_of_the_energies_is_the_error_of_the_answer():
    v = 16.0 * np.linspace(0.94, 1.06, 7)
    generator = np.random.default_rng(0)
    fits = [
        fit_equation_of_state(
            v.tolist(), (birch(v, 16.0, 305.0, 4.3) + generator.normal(scale=1e-4, size=7)).tolist()
        )
        for _ in range(400)
    ]
    assert np.sqrt(np.mean([f.volume_sigma**2 for f in fits])) == pytest.approx(
        np.std([f.volume for f in fits]), rel=0.15
    )
    assert np.sqrt(np.mean([f.bulk_modulus_sigma**2 for f in fits])) == pytest.approx(
        np.std([f.bulk_modulus for f in fits]), rel=0.15
    )
    assert all(f.residual > 1e-5 for f in fits)
    assert math.isclose(EV_PER_A3, 160.2177, rel_tol=1e-6)
