"""The commands, inside the test's process: what they print where, and how they end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.output import print_json
from app.progress import RunProgress, fraction_done
from db.models import Candidate, DataPoint, Decision
from db.store import open_store
from flows.progress import ProgressEvent
from hea_loop.formula import parse_composition
from tests.example_campaigns import (
    LITERATURE,
    add_campaign,
    add_computed_alloy,
    add_literature,
    material_of,
)
from tests.in_process_cli import hea_loop


@pytest.fixture(scope="module")
def _filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    with open_store(f"sqlite:///{folder / 'hea_loop.sqlite'}") as store, store.write() as session:
        add_literature(session)
        add_computed_alloy(session, "Mo60Re40", "10.1000/computed")
        add_campaign(session, scored=2)
        add_campaign(session, name="reviewed", scored=1, in_progress="collecting", seed=4)
    return folder


@pytest.fixture
def place(_filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "hea_loop.sqlite").write_bytes((_filled / "hea_loop.sqlite").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEA_LOOP_DATABASE_URL", raising=False)
    return tmp_path


def queued(place: Path) -> list[int]:
    with open_store(f"sqlite:///{place / 'hea_loop.sqlite'}") as store, store.read() as session:
        return [i for (i,) in session.query(Candidate.id).filter_by(state="queued").order_by(Candidate.id)]


def test_predict_gives_one_object_for_each_property_of_each_composition() -> None:
    ended = hea_loop("predict", "HfNbTaTiZr", "MoNbTaW", "--json")
    assert ended.code == 0
    assert ended.err == ""
    assert {frozenset(row) for row in ended.json} == {
        frozenset(("composition", "property", "value", "sigma", "unit", "method"))
    }
    assert {row["composition"] for row in ended.json} == {"HfNbTaTiZr", "MoNbTaW"}
    moduli = {r["composition"]: r["value"] for r in ended.json if r["property"] == "shear_modulus"}
    assert moduli["MoNbTaW"] > moduli["HfNbTaTiZr"]


def test_predict_gives_only_the_property_asked_for() -> None:
    ended = hea_loop("predict", "NbTi", "--property", "density", "--json")
    assert [(row["property"], row["unit"]) for row in ended.json] == [("density", "g/cm3")]


def test_predict_in_a_table_says_the_unit_and_the_method() -> None:
    ended = hea_loop("predict", "NbTi", "--property", "density")
    assert "g/cm3" in ended.out
    assert "density" in ended.out


@pytest.mark.parametrize("source", ["arguments", "file", "csv", "csv column", "stdin", "dash"])
def test_the_same_compositions_give_the_same_predictions_from_every_source(
    source: str, tmp_path: Path
) -> None:
    lines = tmp_path / "alloys.txt"
    lines.write_text("# two alloys\nNbTi   # soft\n\nMoNbTaW\n")
    table = tmp_path / "alloys.csv"
    table.write_text("\ufeffn,formula,mix\n1,NbTi,NbTi\n2,MoNbTaW,MoNbTaW\n", encoding="utf-8")
    arguments = {
        "arguments": ["NbTi", "MoNbTaW"],
        "file": ["--file", str(lines)],
        "csv": ["--file", str(table)],
        "csv column": ["--file", str(table), "--column", "mix"],
        "stdin": [],
        "dash": ["-"],
    }[source]
    stdin = lines.read_text() if source in {"stdin", "dash"} else ""
    ended = hea_loop("predict", *arguments, "--property", "density", "--json", stdin=stdin)
    assert ended.code == 0, ended.err
    assert [row["composition"] for row in ended.json] == ["NbTi", "MoNbTaW"]


def test_check_answers_each_temperature_with_an_equilibrium() -> None:
    ended = hea_loop("check", "MoNbTaW", "--temperature", "1273", "--temperature", "1673", "--json")
    assert ended.code == 0, ended.err
    assert [row["temperature_K"] for row in ended.json] == [1273, 1673]
    for row in ended.json:
        assert {"composition", "temperature_K", "outcome", "single_phase_bcc", "phases", "tier"} <= set(row)
        assert row["outcome"] == "converged"
        assert row["single_phase_bcc"] is True
        assert row["tier"] == "confirm"
        assert sum(p["fraction"] for p in row["phases"]) == pytest.approx(1, abs=1e-6)
        assert [set(p) for p in row["phases"]] == [{"name", "fraction"}]


def test_check_takes_three_temperatures_when_none_is_given() -> None:
    ended = hea_loop("check", "NbTi", "--json")
    assert [row["temperature_K"] for row in ended.json] == [1273, 1473, 1673]


def test_check_gives_the_solidus_when_asked() -> None:
    ended = hea_loop("check", "Nb", "--temperature", "1273", "--solidus", "--json")
    assert ended.json[0]["solidus_K"] == pytest.approx(2750, abs=5)  # melting point of niobium
    assert "solidus_K" not in hea_loop("check", "Nb", "--temperature", "1273", "--json").json[0]


def test_check_of_several_says_on_stderr_where_it_is() -> None:
    ended = hea_loop("check", "Nb", "NbTi", "--temperature", "1273", "--json")
    assert ended.err.splitlines() == ["1/2 Nb", "2/2 NbTi"]
    assert len(ended.json) == 2


def test_status_in_json_has_the_numbers_of_every_iteration(place: Path) -> None:
    ended = hea_loop("status", "example", "--json")
    (campaign,) = ended.json["campaigns"]
    assert (campaign["campaign"], campaign["seed"], campaign["state"]) == ("example", 7, "done")
    keys = {"proposed", "validated", "hit", "failed", "unconverged", "hit_rate", "ci_low", "ci_high"}
    for row in campaign["iterations"]:
        assert keys | {"random_hit_rate", "random_validated", "validated_in_all"} <= set(row)
        assert row["validated"] + row["random_validated"] == row["validated_in_all"]
        assert row["hit_rate"] == row["hit"] / row["validated"]
    total = campaign["totals"]
    assert total["validated"] == sum(row["validated"] for row in campaign["iterations"])
    assert total["ci_low"] < total["hit_rate"] < total["ci_high"]


def test_status_without_a_name_shows_every_campaign(place: Path) -> None:
    ended = hea_loop("status")
    assert "example, seed 7: done" in ended.out
    assert "reviewed, seed 7: interrupted" in ended.out


def test_an_iteration_that_is_not_scored_has_counts_and_no_rate(place: Path) -> None:
    ended = hea_loop("status", "reviewed", "--json")
    last = ended.json["campaigns"][0]["iterations"][-1]
    assert last["stage"] == "collecting"
    assert (last["proposed"], last["validated"], last["failed"], last["unconverged"]) == (18, 3, 1, 1)
    assert (last["hit_rate"], last["random_hit_rate"], last["pending"]) == (None, None, 15)


def test_queue_lists_who_waits(place: Path) -> None:
    rows = hea_loop("queue", "list", "--json").json["queued"]
    assert [row["id"] for row in rows] == queued(place)
    assert {row["campaign"] for row in rows} == {"reviewed"}
    table = hea_loop("queue", "list", "reviewed").out
    assert "values are predictions" in table
    assert rows[0]["composition"] in table


def test_queue_of_a_campaign_where_nobody_waits_is_empty(place: Path) -> None:
    ended = hea_loop("queue", "list", "example")
    assert ended.out == ""
    assert "no candidate waits" in ended.err


@pytest.mark.parametrize(("verdict", "state"), [("approve", "approved"), ("reject", "rejected")])
def test_a_decision_is_recorded_with_who_and_why(place: Path, verdict: str, state: str) -> None:
    first, second, *_ = queued(place)
    ended = hea_loop(
        "queue", verdict, str(first), str(second), "--reason", "as agreed", "--who", "Ada", "--json"
    )
    assert ended.code == 0, ended.err
    assert [(d["candidate"], d["who"]) for d in ended.json["decisions"]] == [(first, "Ada"), (second, "Ada")]
    with open_store() as store, store.read() as session:
        assert {session.get_one(Candidate, i).state for i in (first, second)} == {state}
        recorded = session.query(Decision).order_by(Decision.id).all()
        assert [(d.verdict, d.reason) for d in recorded] == [(verdict, "as agreed")] * 2


def test_show_gives_facts_by_source_and_the_nearest_literature_with_doi(place: Path) -> None:
    ended = hea_loop("show", "ZrTiTaNbHf", "--json")
    assert ended.json["known"] is True
    assert {f["property"]: f["value"] for f in ended.json["facts"]} == {
        "phases_observed": "BCC",
        "hardness": 400.0,
    }
    nearest = ended.json["nearest"]
    assert (nearest[0]["composition"], nearest[0]["distance"]) == ("HfNbTaTiZr", 0)
    assert nearest[0]["dois"] == [LITERATURE[0][2]]
    assert [n["distance"] for n in nearest] == sorted(n["distance"] for n in nearest)
    table = hea_loop("show", "HfNbTaTiZr").out
    assert "literature (2)" in table
    assert LITERATURE[0][2] in table


def test_show_says_what_a_published_value_holds_for(place: Path) -> None:
    with open_store() as store, store.write() as session:
        session.add(
            DataPoint(
                material_id=material_of(session, parse_composition("MoNbTaW")).id,
                property="ductility",
                value=20.0,
                unit="%",
                kind="literature",
                fidelity="experiment",
                method="as published",
                source="table:stopped",
                doi="10.1000/stopped",
                conditions={
                    "qualifier": "at least",
                    "test": "compression",
                    "phases": ["BCC"],
                    "processing": ["annealed", "arc melted"],
                },
            )
        )
    shown = " ".join(hea_loop("show", "MoNbTaW", "--nearest", "0").out.split())
    assert "≥ 20" in shown
    for condition in ("at least", "compression", "BCC", "annealed", "arc melted"):
        assert condition in shown


def test_show_of_a_material_that_nobody_knows_gives_its_neighbours(place: Path) -> None:
    ended = hea_loop("show", "Ir50 Os50", "--nearest", "1", "--json")
    assert ended.json["known"] is False
    assert ended.json["facts"] == []
    assert [n["distance"] for n in ended.json["nearest"]] == [1.0]
    assert "has nothing on this material" in hea_loop("show", "IrOs").out


def test_a_neighbour_that_was_only_computed_is_not_shown_as_measured(place: Path) -> None:
    (computed,) = hea_loop("show", "Mo50Re50", "--nearest", "1", "--json").json["nearest"]
    assert (computed["composition"], computed["measured"]) == ("Mo60Re40", False)
    assert "computed only" in hea_loop("show", "Mo50Re50", "--nearest", "1").out
    (made,) = hea_loop("show", "HfNbTaTiZr", "--nearest", "1", "--json").json["nearest"]
    assert made["measured"] is True


def test_show_of_a_candidate_says_who_proposed_it(place: Path) -> None:
    row = hea_loop("queue", "list", "--json").json["queued"][0]
    proposed = hea_loop("show", row["composition"], "--json").json["proposed_by"]
    assert proposed[0] == {
        "campaign": "reviewed",
        "iteration": 2,
        "candidate": row["id"],
        "origin": "strategy",
        "state": "queued",
    }


def test_report_writes_one_file_and_says_where(place: Path) -> None:
    ended = hea_loop("report", "example", "--out", "deep/report.html")
    assert (ended.code, ended.out.strip()) == (0, "deep/report.html")
    assert (place / "deep" / "report.html").read_text().startswith("<!doctype html>")
    assert [p.name for p in (place / "deep").iterdir()] == ["report.html"]


def test_report_without_a_name_is_of_the_campaign_that_moved_last(place: Path) -> None:
    assert hea_loop("report", "--json").json["campaign"] == "reviewed"
    assert (place / "reports" / "reviewed.html").is_file()


def test_doctor_finds_everything_in_place(place: Path) -> None:
    ended = hea_loop("doctor", "--json")
    assert ended.json["ok"] is True, ended.out
    names = [f["name"] for f in ended.json["findings"]]
    assert {"versions", "store", "CALPHAD database", "torch device", "disk", "Prefect"} <= set(names)
    assert ended.code == 0


def test_doctor_ends_with_1_where_the_store_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hea_loop.sqlite").write_text("this is no database, however long the text of it may be " * 20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEA_LOOP_DATABASE_URL", raising=False)
    ended = hea_loop("doctor", "--json")
    assert ended.code == 1
    assert [f["name"] for f in ended.json["findings"] if not f["ok"]] == ["store"]


def test_doctor_does_not_create_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEA_LOOP_DATABASE_URL", raising=False)
    hea_loop("doctor", "--json")
    assert list(tmp_path.iterdir()) == []


def test_doctor_prints_the_schema_and_the_vocabulary() -> None:
    schema = hea_loop("doctor", "--schema").json
    assert {"name", "palette", "targets", "validators"} <= set(schema["properties"])
    vocabulary = hea_loop("doctor", "--properties", "--json").json
    assert {"name": "density", "unit": "g/cm3"}.items() <= next(
        p for p in vocabulary if p["name"] == "density"
    ).items()


def test_another_seed_is_another_campaign(tmp_path: Path) -> None:
    from app.campaign_run import campaign_to_run, quickstart_file

    plain = campaign_to_run(quickstart_file(), None)
    assert campaign_to_run(quickstart_file(), plain.seed) == plain
    other = campaign_to_run(quickstart_file(), plain.seed + 1)
    assert (other.seed, other.name) == (plain.seed + 1, f"{plain.name}-seed{plain.seed + 1}")
    assert campaign_to_run(None, None) == plain


def _events() -> Iterator[ProgressEvent]:
    for iteration in (1, 2):
        for stage in ("training", "generating", "dispatching", "collecting"):
            for done in (0, 5, 10):
                yield ProgressEvent("c", iteration, 2, stage, done, 10)
        yield ProgressEvent("c", iteration, 2, "scored")
    yield ProgressEvent("c", 2, 2, "finished")


def test_the_fraction_done_grows_from_nothing_to_all() -> None:
    fractions = [fraction_done(e) for e in _events()]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)


def test_progress_without_a_terminal_is_a_line_per_stage_with_the_time_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seconds = iter(float(s) for s in range(0, 100_000, 10))
    with RunProgress(clock=lambda: next(seconds)) as progress:
        for event in _events():
            progress(event)
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert lines[0] == "iteration 1/2: training the generator"
    assert any(line.startswith("iteration 2/2: checking phase stability 10/10") for line in lines)
    assert any("left)" in line for line in lines)
    assert len(lines) < len(list(_events()))


def test_an_event_that_knows_of_fewer_iterations_does_not_make_the_campaign_shorter(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with RunProgress() as progress:
        progress(ProgressEvent("c", 1, 5, "collecting", 10, 10))
        progress(ProgressEvent("c", 1, 1, "scored", message="half of them hit"))
    assert "iteration 1/5: scored (half of them hit" in capsys.readouterr().err


def test_json_holds_no_number_that_json_does_not_have(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": float("nan"), "b": [float("inf"), 1.5]})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5]}


def test_hit_rates_fit_a_terminal_of_80_columns(place: Path) -> None:
    ended = hea_loop("status", "example")
    table = [line.rstrip() for line in ended.out.splitlines()]
    assert max(len(line) for line in table) <= 80
    assert re.search(r"^iter- +pro- +vali- +uncon-", table[1])
    assert re.search(r"^ation +posed +dated +failed +verged +hit +hit rate +.*random share$", table[2])
    assert sum(bool(re.match(r" +[12] +18 ", line)) for line in table) == 2


def test_predictions_of_several_alloys_stand_in_a_table_each_and_of_one_property_in_one() -> None:
    assert hea_loop("predict", "NbTi", "MoW").out.count("predictions") == 2
    one = hea_loop("predict", "NbTi", "MoW", "--property", "density").out
    assert one.count("predictions") == 1
    assert [line.split()[0] for line in one.splitlines()[3:5]] == ["NbTi", "MoW"]


def test_a_column_without_a_single_entry_is_left_out(place: Path) -> None:
    computed = hea_loop("show", "Mo60Re40", "--nearest", "0").out
    assert "property" in computed
    assert "sigma" not in computed


def test_no_command_shows_the_help_and_says_what_is_missing() -> None:
    ended = hea_loop()
    assert ended.code == 2
    assert "predict" in ended.out
    assert ended.err == "error: a command is missing; see `hea-loop --help`\n"


def test_a_csv_of_a_spreadsheet_with_semicolons_is_read(tmp_path: Path) -> None:
    (tmp_path / "alloys.csv").write_text("name;composition;HV\na;HfNbTaTiZr;3,5\nb;NbTi;2,5\n")
    rows = hea_loop("predict", "--file", str(tmp_path / "alloys.csv"), "--property", "density", "--json").json
    assert [row["composition"] for row in rows] == ["HfNbTaTiZr", "NbTi"]
