"""The project's own thermodynamic database, and what is refused of other ones."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.constants import R

from hea_loop import parse_composition
from hea_loop.errors import InputError
from validators.calphad import load_database, phases_at, solidus
from validators.calphad.build import build_tdb
from validators.calphad.tables import functions_in, load_tables

NINE = ("Cr", "Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr")


def gibbs(phase: str, temperature: float, **site_fractions: float) -> float:
    """J per mole of atoms of a phase with the given amounts on its first sublattice."""
    from pycalphad import calculate

    database = load_database()
    elements = sorted(site_fractions)
    y = [site_fractions[e] for e in elements]
    points = np.array([[*y, 1.0]] if phase in {"BCC_A2", "HCP_A3"} else [y])
    result = calculate(
        database.parsed, [*(e.upper() for e in elements), "VA"], [phase], T=temperature, P=101325, N=1,
        points=points, to_xarray=False,
    )  # fmt: skip
    return float(result.GM.item())


# Written out here from Dinsdale, CALPHAD 15 (1991) 317, not read from the tables under test.
def ghser_nb(t: float) -> float:
    return (
        -8519.353
        + 142.045475 * t
        - 26.4711 * t * math.log(t)
        + 2.03475e-4 * t**2
        - 3.5012e-7 * t**3
        + 93399 / t
    )


def ghser_zr(t: float) -> float:
    return -7827.595 + 125.64905 * t - 24.1618 * t * math.log(t) - 4.37791e-3 * t**2 + 34971 / t


def ghser_w(t: float) -> float:
    return (
        -7646.311
        + 130.4 * t
        - 24.1 * t * math.log(t)
        - 1.936e-3 * t**2
        + 2.07e-7 * t**3
        - 5.33e-11 * t**4
        + 44500 / t
    )


def gbcc_zr(t: float) -> float:
    return (
        -525.539 + 124.9457 * t - 25.607406 * t * math.log(t) - 3.40084e-4 * t**2 - 9.729e-9 * t**3
        - 7.6143e-11 * t**4 + 25233 / t
    )  # fmt: skip


@pytest.mark.parametrize("t", [298.15, 1000.0, 1900.0])
def test_pure_elements_have_the_gibbs_energies_of_sgte(t):
    assert gibbs("BCC_A2", t, Nb=1.0) == pytest.approx(ghser_nb(t), abs=1e-6)
    assert gibbs("BCC_A2", t, W=1.0) == pytest.approx(ghser_w(t), abs=1e-6)
    assert gibbs("HCP_A3", t, Zr=1.0) == pytest.approx(ghser_zr(t), abs=1e-6)
    assert gibbs("BCC_A2", t, Zr=1.0) == pytest.approx(gbcc_zr(t), abs=1e-6)


def test_a_binary_solution_has_the_energy_of_its_redlich_kister_polynomial():
    t, x_nb, x_zr = 1200.0, 0.3, 0.7
    ideal = R * t * (x_nb * math.log(x_nb) + x_zr * math.log(x_zr))
    excess = x_nb * x_zr * (15911 + 3.35 * t + (3919 - 1.091 * t) * (x_nb - x_zr))
    expected = x_nb * ghser_nb(t) + x_zr * gbcc_zr(t) + ideal + excess
    assert gibbs("BCC_A2", t, Nb=x_nb, Zr=x_zr) == pytest.approx(expected, abs=0.05)


def test_a_laves_compound_is_its_assessed_value_plus_the_estimated_shift():
    from pycalphad import calculate

    t = 1500.0
    found = calculate(
        load_database().parsed, ["W", "ZR", "VA"], ["LAVES_C15"], T=t, P=101325, N=1,
        points=np.array([[1.0, 1.0]]), to_xarray=False,
    )  # fmt: skip
    expected = (2 * ghser_w(t) + ghser_zr(t) - 23385.6 + 5.8578 * t) / 3
    assert float(found.GM.item()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("element", "melting_K"),
    [
        ("Cr", 2180),
        ("Hf", 2506),
        ("Mo", 2896),
        ("Nb", 2750),
        ("Ta", 3290),
        ("Ti", 1941),
        ("V", 2183),
        ("W", 3695),
        ("Zr", 2128),
    ],
)
def test_pure_elements_melt_where_they_melt(element, melting_K):
    found = solidus(parse_composition(element), load_database(), tolerance_K=0.5)
    assert found.temperature_K == pytest.approx(melting_K, abs=1.0)


@pytest.mark.parametrize(("element", "transition_K"), [("Ti", 1155), ("Zr", 1139), ("Hf", 2016)])
def test_hcp_turns_into_bcc_where_it_does(element, transition_K):
    pure, database = parse_composition(element), load_database()
    assert [p.name for p in phases_at(pure, transition_K - 2, database).phases] == ["HCP_A3"]
    assert [p.name for p in phases_at(pure, transition_K + 2, database).phases] == ["BCC_A2"]


def test_every_row_has_a_known_source_and_says_whether_it_is_an_estimate():
    tables = load_tables()
    known = {r.key: r for r in tables.references}
    for row in tables.parameters:
        assert row.status in {"published", "estimate"}
        assert (row.status == "estimate") == (known[row.reference].attribution == "estimate"), row
        assert row.remark or row.status == "published", row
        mixes = any(len(sublattice) > 1 for sublattice in row.constituents)
        # a zero interaction says that the binary was assessed as ideal; a zero end-member is undefined
        assert mixes or row.expression not in {"0", "0.0", "+0.0"}, row
    assert Counter(r.status for r in tables.parameters)["estimate"] > 0
    assert all(r.doi or r.attribution != "stated" or r.key == "Xiong2004" for r in tables.references)


def test_no_function_is_undefined_or_unused():
    tables = load_tables()
    defined = {f.name for f in tables.functions}
    expressions = [p.expression for p in tables.parameters]
    expressions += [i.expression for f in tables.functions for i in f.intervals]
    assert {name for e in expressions for name in functions_in(e)} == defined


def test_the_compiled_text_is_the_same_every_time_and_short_lined():
    text = build_tdb()
    assert text == build_tdb()
    assert max(map(len, text.splitlines())) <= 80


def test_a_subset_of_elements_compiles_to_a_database_of_its_own(tmp_path: Path):
    path = tmp_path / "nbzr.tdb"
    path.write_text(build_tdb(["Nb", "Zr"]), encoding="utf-8")
    subset = load_database(path)
    assert subset.elements == ("Nb", "Zr")
    assert "LAVES_C15" not in subset.phases
    alloy = parse_composition("NbZr")
    assert phases_at(alloy, 1200.0, subset).phases == phases_at(alloy, 1200.0, load_database()).phases


def test_a_database_is_parsed_once():
    assert load_database() is load_database("refractory10")
    assert load_database().elements == ("Al", *NINE)


def broken(tmp_path: Path, change) -> Path:
    path = tmp_path / "user.tdb"
    path.write_text(change(build_tdb(["Nb", "Zr"])), encoding="utf-8")
    return path


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"database = .*absent\.tdb.*does not exist.*refractory10"):
        load_database(tmp_path / "absent.tdb")
    with pytest.raises(InputError, match="is a directory"):
        load_database(tmp_path)


def test_an_edited_file_is_another_database(tmp_path: Path):
    path = broken(tmp_path, lambda text: text)
    before = load_database(path)
    path.write_text(path.read_text().replace("15911", "15912"), encoding="utf-8")
    assert load_database(path).content_hash != before.content_hash


def test_a_comment_a_citation_or_the_layout_makes_no_other_database(tmp_path: Path):
    path, text = tmp_path / "ours.tdb", build_tdb()
    path.write_text(text, encoding="utf-8")
    before = load_database(path).content_hash
    assert before == load_database().content_hash
    for old, new in (
        ("ESTIMATE: ", "ESTIMATE: as looked up again, "),
        ("6000 N Xiong2004 !", "6000  N  Xiong2005 !"),
        ("; doi 10.1016", "; DOI 10.1016"),
    ):
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        assert load_database(path).content_hash == before
