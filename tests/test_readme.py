"""What README and CONTRIBUTING say is so: their code blocks, commands, targets of make, links and figures."""

from __future__ import annotations

import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from ruamel.yaml import YAML

from app.command_line import application
from hea_loop.campaign import parse_campaign
from hea_loop.formula import parse_composition
from tests.in_process_cli import hea_loop
from tests.programs import ROOT, environment, write_campaign
from tests.small_campaign import small_campaign

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[str]:
    """Code blocks of the README in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def shell_lines() -> list[str]:
    """Every command that the README shows, in blocks and inline, without comments."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    lines += re.findall(r"`((?:hea-loop|make|python -m) [^`]+)`", README.replace("\n", " "))
    return [line.partition(" #")[0].strip() for line in lines if line.partition(" #")[0].strip()]


def hea_loop_lines() -> list[str]:
    return [line for line in shell_lines() if "hea-loop " in line]


def test_the_readme_has_something_to_check() -> None:
    assert len(hea_loop_lines()) >= 8
    assert len(blocks("yaml")) == 1
    assert len(blocks("python")) == 1


@pytest.mark.parametrize("line", hea_loop_lines())
def test_every_command_shown_exists_with_its_options(line: str) -> None:
    words = shlex.split(line.partition("hea-loop ")[2].partition(" > ")[0])
    command = typer.main.get_command(application)
    while words and hasattr(command, "commands"):
        # `queue approve|reject` shows two at once
        for name in words[0].split("|"):
            assert name in command.commands, name
        command = command.commands[words.pop(0).split("|")[0]]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


@pytest.mark.parametrize("line", [w for w in shell_lines() if w.startswith("python -m")])
def test_every_module_that_is_called_takes_the_options_shown(line: str) -> None:
    module = line.split()[2]
    shown = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {word for word in line.split() if word.startswith("--")} <= set(re.findall(r"--[a-z-]+", shown))


def test_every_target_of_make_exists_and_has_its_line_in_the_help() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    said = {
        name
        for document in DOCUMENTS
        for code in re.findall(
            r"`[^`\n]+`|^make .*$|^```sh\n.*?^```$", document.read_text(), re.MULTILINE | re.DOTALL
        )
        for name in re.findall(r"(?:^|[`\s])make ([a-z-]+)", code)
    }
    assert {"run", "test", "server", "deploy", "worker", "figures"} <= said
    assert said <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_every_relative_link_and_picture_is_there(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


def test_the_campaign_shown_is_one() -> None:
    campaign = parse_campaign(YAML(typ="safe").load(blocks("yaml")[0]))
    assert f"{campaign.name}.yaml" in README
    assert campaign.validators.calphad is not None
    assert campaign.validators.calphad.budget >= campaign.iterations * campaign.batch_size


def test_the_predictions_shown_are_answered() -> None:
    (line,) = (w for w in shell_lines() if w.startswith("hea-loop predict"))
    ended = hea_loop(*shlex.split(line)[1:], "--json")
    assert ended.code == 0
    assert len({row["composition"] for row in ended.json}) == 3


@pytest.mark.parametrize(
    "text", ["(NbTa)80W20", "Al10 Cr5 Nb bal", "HfNbTaTiZr", "NbMo0.5Ti", "Ti-6Al-4V wt.%"]
)
def test_the_ways_of_writing_that_the_readme_names_are_understood(text: str) -> None:
    assert text in README
    assert len(parse_composition(text).elements) > 1


@pytest.mark.slow
def test_the_python_shown_runs_as_a_script(tmp_path: Path) -> None:
    """On a small campaign, since the quickstart takes minutes; the rest is as it stands."""
    code = blocks("python")[0]
    assert (ROOT / re.search(r"load_campaign\(\"(.+?)\"\)", code)[1]).is_file()  # type: ignore[index]
    write_campaign(tmp_path, small_campaign(iterations=1))
    code = code.replace("campaigns/quickstart.yaml", "small.yaml").replace('"quickstart"', '"small"')
    imports = [line for line in code.splitlines() if line.startswith(("from ", "import "))]
    calls = [line for line in code.splitlines() if line and line not in imports]
    script = [*imports, 'if __name__ == "__main__":', *(f"    {line}" for line in calls)]
    (tmp_path / "script.py").write_text("\n".join([*script, "    print(results.columns.tolist())"]))
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "BCC_A2" in done.stdout
    assert "hit_rate" in done.stdout.splitlines()[-1]


def test_the_counts_of_the_packaged_data_are_so() -> None:
    with (ROOT / "db/data/literature.csv").open(newline="", encoding="utf-8") as file:
        facts = list(csv.DictReader(file))
    with (ROOT / "db/data/first_principles_ternaries.csv").open(newline="", encoding="utf-8") as file:
        ternaries = list(csv.DictReader(file))
    materials = {parse_composition(text).key for text in {fact["composition"] for fact in facts}}
    dois = {fact["doi"] for fact in facts if fact["doi"]}
    said = (
        f"{len(facts):,} facts on {len(materials):,} unique refractory compositions from {len(dois)} DOIs",
        f"{len(ternaries):,} first-principles ternaries",
    )
    for text in said:
        assert text in README


@pytest.mark.slow
def test_a_wheel_carries_what_the_commands_need(tmp_path: Path) -> None:
    """Built from a copy of the sources: the quickstart, migrations, tables and templates are in it."""
    import shutil
    import zipfile

    source = tmp_path / "source"
    source.mkdir()
    for name in ("app", "campaigns", "db", "flows", "hea_loop", "validators"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    kinds = {".csv", ".yaml", ".html", ".css", ".ini", ".mako", ".tdb", ".typed"}
    wanted = {
        path.relative_to(source)
        for name in ("app", "campaigns", "db", "flows", "hea_loop", "validators")
        for path in (source / name).rglob("*")
        if path.suffix in kinds | {".py"}
    }
    packed = {p.relative_to(tmp_path / "installed") for p in (tmp_path / "installed").rglob("*")}
    assert wanted <= packed

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = environment(elsewhere, PYTHONPATH=str(tmp_path / "installed"))
    code = (
        "import app, sys; from app.campaign_run import campaign_to_run; print(app.__file__);"
        "from app.command_line import main; print(campaign_to_run(None, None).name);"
        "sys.exit(main(['init']) or main(['check', 'NbTi', '--temperature', '1273']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=elsewhere, env=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert Path(lines[0]).is_relative_to(tmp_path / "installed")
    assert lines[1] == "quickstart"
    assert "BCC_A2 1.000" in done.stdout
