"""The benchmark of training speed: what it prints, and that its two contestants are one model."""

import contextlib
import io
import json

import numpy as np
import pytest
import torch
from rich.console import Console

from benchmarks import training
from benchmarks.plain_loop import PlainLoop
from benchmarks.tables import fill
from hea_loop.errors import InputError
from hea_loop.generators import TrainingData
from hea_loop.generators.cgan_2021 import Cgan2021, Cgan2021Options


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    out = io.StringIO()
    file = tmp_path_factory.mktemp("training") / "training.json"
    with contextlib.redirect_stdout(out):
        code = training.main(["--smoke", "--json", "--out", str(file)])
    return code, json.loads(out.getvalue()), file


def data(n=40):
    x = np.random.default_rng(1).dirichlet(np.ones(3), n)
    moduli = np.array([30.0, 60.0, 120.0])
    return TrainingData(
        ("Hf", "Nb", "W"),
        x,
        (x @ moduli)[:, None],
        ("shear_modulus",),
        reference=lambda y: (y @ moduli)[:, None],
    )


def test_the_command_gives_seconds_of_both_and_their_ratio_and_says_what_it_could_not_measure(printed):
    code, result, file = printed
    assert code == 0
    assert json.loads(file.read_text()) == result
    cpu = result["devices"]["cpu"]
    for kind in ("plain", "fast"):
        assert cpu[kind]["seconds"] > 0
        assert cpu[kind]["microseconds_per_step"] == pytest.approx(1e6 * cpu[kind]["seconds"] / 60)
    assert cpu["ratio"] == pytest.approx(cpu["plain"]["seconds"] / cpu["fast"]["seconds"])
    assert cpu["ensemble"]["members"] == 4
    assert cpu["default"]["training_s"] > 0
    assert 700 < cpu["default"]["alloys"] < 1000
    assert 0 <= cpu["default"]["hits_2"] <= 1
    assert result["versions"]["torch"]
    assert result["machine"]
    if not torch.cuda.is_available():
        assert result["devices"]["cuda"] == {"status": "unmeasured: no GPU"}


def test_its_table_goes_between_the_markers_of_the_document(printed, tmp_path):
    _, result, _ = printed
    document = tmp_path / "generators.md"
    document.write_text(
        "before\n<!-- begin generated: training speed; by x -->\n<!-- end generated: training speed -->\nafter\n"
    )
    fill(document, training.tables(result))
    text = document.read_text()
    assert "| cpu | plain loop, 60 steps |" in text
    assert "`flow-matching` took" in text
    assert text.startswith("before")
    assert text.endswith("after\n")


def test_both_contestants_do_all_steps_and_are_judged_after_the_same_ones(monkeypatch):
    options, seen = Cgan2021Options(steps=90, width=8, batch_size=8), []
    one_stretch = PlainLoop.train

    def train(loop, first, last):
        seen.extend(range(first, last + 1))
        one_stretch(loop, first, last)

    monkeypatch.setattr(PlainLoop, "train", train)
    monkeypatch.setattr(training, "QUALITY_GPa", 1e9)
    result = training.side_by_side(data(), options, 1)
    assert seen == list(range(1, 91))
    assert result["plain"]["step_of_quality"] == result["fast"]["step_of_quality"] == 1
    assert 0 < result["fast"]["seconds_to_quality"] < result["fast"]["seconds"]


def test_the_plain_loop_answers_as_the_library_does_with_the_same_weights():
    given, options = data(), Cgan2021Options(steps=1, width=8, batch_size=8)
    loop, generator = PlainLoop(given, options, 3), Cgan2021(options)
    generator.fit(given, seed=3, device="cpu")
    generator._weights = loop.weights()[0]
    one, other = loop.generate(given.conditions, 5), generator.generate(given.conditions, seed=5)
    assert np.allclose(one, other, rtol=0, atol=1e-6)


def test_without_a_judge_there_is_no_time_to_a_quality():
    given = data()
    blind = TrainingData(given.elements, given.fractions, given.conditions, given.condition_names)
    with pytest.raises(InputError, match="cannot judge"):
        training.side_by_side(blind, Cgan2021Options(steps=1), 1)


def test_a_person_is_shown_a_table_and_the_quality_of_the_default(printed, capsys):
    _, result, _ = printed
    training._show(result, Console(width=160))
    said = capsys.readouterr().out
    assert "plain loop, 60 steps" in said
    assert "held-out targets" in said


@pytest.mark.parametrize("arguments", [["--repeats", "0"], ["--tables", "no-such-file.json"]])
def test_what_cannot_be_ends_with_one_line_and_code_2(arguments, capfd):
    assert training.main(arguments) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert arguments[1] in said.err
