"""Reading compositions as people write them."""

import re
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hea_loop import Composition, InputError, parse_composition

METALS = ("Al", "Cr", "Hf", "Mo", "Nb", "Re", "Si", "Ta", "Ti", "V", "W", "Zr")


def parts(**counts):
    return Composition(tuple(sorted(counts.items())))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HfNbTaTiZr", parts(Hf=200, Nb=200, Ta=200, Ti=200, Zr=200)),
        ("Hf0.5Nb0.5Ta0.5Ti1.5Zr", parts(Hf=125, Nb=125, Ta=125, Ti=375, Zr=250)),
        ("Nb47 Ti22 Si16 Mo15", parts(Nb=470, Ti=220, Si=160, Mo=150)),
        ("Nb: 47, Ti=22; Si_16 - Mo 15", parts(Nb=470, Ti=220, Si=160, Mo=150)),
        ("Hf-Nb-Ta-W", parts(Hf=250, Nb=250, Ta=250, W=250)),
        ("Hf20-Nb30-Ta50", parts(Hf=200, Nb=300, Ta=500)),
        ("Nb50 – Ta50", parts(Nb=500, Ta=500)),
        ("Hf₀.₅Nb₁.₅", parts(Hf=250, Nb=750)),
        ("NbTaNb2", parts(Nb=750, Ta=250)),
        ("W", parts(W=1000)),
        ("VW", parts(V=500, W=500)),
        ("CoCO2", parts(C=250, Co=250, O=500)),
        ("Nb20at.%Ti80at.%", parts(Nb=200, Ti=800)),
        ("Nb 0.2 Ti 0.8 at. pct", parts(Nb=200, Ti=800)),
        ("NbTi (at.%)", parts(Nb=500, Ti=500)),
        ("Nb 49.5% Ti 49.5%", parts(Nb=500, Ti=500)),
    ],
)
def test_formula_means_what_its_writer_meant(text, expected):
    assert parse_composition(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(NbTa)80W20", parts(Nb=400, Ta=400, W=200)),
        ("(NbTa)0.8W0.2", parts(Nb=400, Ta=400, W=200)),
        ("[Nb3Ta]80W20", parts(Nb=600, Ta=200, W=200)),
        ("((NbTa)50W50)80Mo20", parts(Nb=200, Ta=200, W=400, Mo=200)),
        ("Ti2(NbTa)", parts(Ti=500, Nb=250, Ta=250)),
        ("Ti(NbTa2)3", parts(Ti=100, Nb=300, Ta=600)),
        ("(NbTa)80 W bal", parts(Nb=400, Ta=400, W=200)),
        ("W20 bal (NbTa)", parts(Nb=400, Ta=400, W=200)),
    ],
)
def test_bracket_shares_in_an_alloy_and_multiplies_in_chemistry(text, expected):
    assert parse_composition(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Al10 Cr5 Nb bal",
        "Al10Cr5Nbbal",
        "Al10Cr5Nb bal.",
        "Al10 Cr5 bal Nb",
        "bal Nb Al10 Cr5",
        "Nb-bal, Al10, Cr5",
        "Nb - balance Al 10 Cr 5",
        "Al10 Nb rem Cr5",
        "Al10 Cr5 Nb: Bal",
        "Al10%, Cr5%, Nb balance at.%",
    ],
)
def test_balance_takes_what_is_missing_wherever_it_stands(text):
    assert parse_composition(text) == parts(Al=100, Cr=50, Nb=850)


def test_balance_glued_to_a_one_letter_symbol_is_read_as_balance():
    assert parse_composition("Re3Wbal") == parts(Re=30, W=970)
    assert parse_composition("Rebal W3") == parts(Re=970, W=30)


def test_hyphenated_name_is_in_the_unit_it_states_with_its_base_as_balance():
    # 90/47.867, 6/26.9815, 4/50.9415 mol: 1.88021, 0.22237, 0.07852, sum 2.18110
    assert parse_composition("Ti-6Al-4V wt.%") == parts(Ti=862, Al=102, V=36)
    assert parse_composition("Ti-6Al-4V at.%") == parts(Ti=900, Al=60, V=40)
    assert parse_composition("Ti-6Al-4V", unit="wt.%") == parse_composition("Ti-6Al-4V wt%")


@pytest.mark.parametrize("unit", ["wt.%", "wt%", "mass %", "weight percent", "(wt.%)", "wt. pct", "Wt.%"])
def test_weight_percent_is_recognised_however_it_is_spelt(unit):
    # 50/92.906 and 50/183.84 mol: 0.53818 and 0.27198, so 66.43 at.% Nb
    assert parse_composition(f"Nb50W50 {unit}") == parts(Nb=664, W=336)


REFUSED = [
    ("", "empty"),
    (" \t", "empty"),
    ("12 13", "names no element"),
    ("((((", "names no element"),
    ("XxNb", "'Xx' is not a chemical element"),
    ("hfnb", "did you mean HfNb?"),
    ("Hfnb", "did you mean HfNb?"),
    ("Nb0W", "the amount of Nb is zero"),
    ("Nb0.0W", "the amount of Nb is zero"),
    ("(NbTa)0W", "the amount of the bracket is zero"),
    ("Nb -5 W 3", "negative"),
    ("Nb=-5 W3", "negative"),
    ("Nb−5 W3", "negative"),
    ("Nb nan W", "not finite"),
    ("Nb inf", "not finite"),
    ("Nb" + "9" * 400, "not finite"),
    ("Nb1e5", "exponents"),
    ("(NbTa", "open bracket"),
    ("NbTa)", "was not opened"),
    ("(NbTa]", "closes '(' with ']'"),
    ("()Nb", "empty bracket"),
    ("(" * 3000 + "Nb" + ")" * 3000, "deep"),
    ("Nb 5 3", "second amount"),
    ("6Al4V", "before any element"),
    ("Nb/Ta", "cannot be read at '/Ta'"),
    ("٣Nb", "cannot be read"),
    ("Ti-6Al-4V", "without a unit"),
    ("Ti-6Al-4Ti wt%", "gives Ti twice"),
    ("Ti-60Al-50V wt%", "leaves nothing"),
    ("Ti-6Al-4Xx wt%", "'Xx' is not a chemical element"),
    ("Al10 bal", "balance of no element"),
    ("bal Nb10 Al", "amount and the balance"),
    ("Al10 Nb bal Ta bal", "two balances"),
    ("Al10 Nb5 Nb bal", "gives Nb twice"),
    ("Al Nb bal", "no amount for Al"),
    ("Al110 Nb bal", "leaves nothing"),
    ("Al10 (Nb bal)", "inside a bracket"),
    ("Nb50 wt.% Ta50 at.%", "two units"),
    ("Nb50 Ta30 wt.%", "sum to 80"),
    ("Nb50% Ta30%", "sum to 80"),
    ("Nb50 Ta53 at.%", "sum to 103"),
    ("NbTa wt.%", "sum to 2"),
]


@pytest.mark.parametrize(("text", "problem"), REFUSED, ids=[repr(t)[:20] for t, _ in REFUSED])
def test_what_names_no_composition_is_refused_in_one_line(text, problem):
    with pytest.raises(InputError) as caught:
        parse_composition(text, field="--file line 3")
    message = str(caught.value)
    assert problem in message
    assert "\n" not in message
    assert message.startswith("--file line 3 = ")
    assert caught.value.mend


@pytest.mark.parametrize("thing", [None, 5, ["Nb"], b"Nb"])
def test_something_that_is_no_text_is_refused(thing):
    with pytest.raises(InputError, match="is not a text"):
        parse_composition(thing)


def test_unit_that_contradicts_the_text_is_refused():
    with pytest.raises(InputError, match=r"in wt\.% and in at\.%"):
        parse_composition("Nb50W50 wt.%", unit="at.%")
    with pytest.raises(InputError, match="is not a unit"):
        parse_composition("Nb50W50", unit="vol.%")


def test_unit_at_percent_as_an_argument_still_takes_mole_ratios():
    assert parse_composition("NbTa2", unit="at.%") == parse_composition("NbTa2")


compositions = st.dictionaries(st.sampled_from(METALS), st.integers(1, 1000), min_size=1, max_size=9).map(
    Composition.from_amounts
)


@pytest.mark.parametrize("name", ["C103", "C-103", "c103", "FS-85", "TZM", "T-111", "Ti64", "Ti 64"])
def test_the_name_of_a_commercial_alloy_is_refused_with_its_composition(name):
    with pytest.raises(InputError, match="commercial alloy") as caught:
        parse_composition(name)
    nominal = re.search("'(.*)'", caught.value.mend)
    assert nominal
    assert len(parse_composition(nominal[1]).elements) >= 3


@pytest.mark.parametrize("name", ["Nb521", "W3", "Ta0.5"])
def test_one_element_with_an_amount_is_no_composition(name):
    with pytest.raises(InputError, match="one element"):
        parse_composition(name)


@pytest.mark.parametrize("text", ["W", "W1", "W100", "W 100 at.%"])
def test_a_pure_element_may_be_written_as_one_or_a_hundred(text):
    assert parse_composition(text).key == "W:1000"


@settings(deadline=None)
@given(compositions)
def test_parsing_the_printed_formula_gives_the_same_material(composition):
    assert parse_composition(composition.formula) == composition
    assert parse_composition(composition.formula, unit="at.%") == composition


@settings(deadline=None)
@given(compositions, st.randoms(use_true_random=False), st.sampled_from([" ", ", ", "; ", "-", "_", " - "]))
def test_order_and_separators_do_not_matter(composition, random, separator):
    items = [f"{e}{n / 10:g}" for e, n in composition.parts]
    random.shuffle(items)
    assert parse_composition(separator.join(items)) == composition


@settings(deadline=None)
@given(st.text(alphabet="AlCrHfNbTiWbal0159.-()[]% wt,", max_size=30))
def test_any_text_gives_a_composition_or_the_one_kind_of_error(text):
    try:
        composition = parse_composition(text)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert sum(n for _, n in composition.parts) == 1000


def test_a_thousand_formulas_are_read_within_a_second():
    parse_composition("W")  # the element table is read once
    texts = [
        f"Hf{i % 30 + 1}.{i % 9 + 1}Nb{i % 17 + 1}Ta0.5Ti{i % 5 + 1}Zr{i / 1000 + 0.1:.3f}"
        for i in range(1000)
    ]
    start = time.perf_counter()
    for text in texts:
        parse_composition(text)
    assert time.perf_counter() - start < 1.0


def test_importing_the_package_imports_neither_torch_nor_pymatgen_nor_prefect():
    script = (
        "import sys, hea_loop, hea_loop.formula, hea_loop.prediction; "
        "print([m for m in ('torch', 'pymatgen', 'prefect') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "text", ["NbTi,VTi", "NbTi, VZr, W", "NbTi;1273", "HfNbTaTiZr,1", "W,Nb2Ti", "V2Nb,(NbTa)W"]
)
def test_a_list_of_alloys_is_never_mixed_into_one(text):
    with pytest.raises(InputError, match="more than one composition"):
        parse_composition(text)
