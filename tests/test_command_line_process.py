"""The command line as its own process: exit codes, streams, start-up, interruption."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def hea_loop(*arguments: str, cwd: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_results_go_to_stdout_and_nothing_to_stderr(tmp_path: Path) -> None:
    ended = hea_loop("predict", "--property", "density", "--json", cwd=tmp_path, stdin="NbTi\n")
    assert ended.returncode == 0
    assert ended.stderr == ""
    assert json.loads(ended.stdout)[0]["composition"] == "NbTi"


def test_what_a_person_got_wrong_is_one_line_on_stderr_and_ends_with_2(tmp_path: Path) -> None:
    ended = hea_loop("predict", "NbXx", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: composition = 'NbXx': ")
    assert ended.stderr.count("\n") == 1


def test_a_wrong_option_is_one_line_on_stderr_and_ends_with_2(tmp_path: Path) -> None:
    ended = hea_loop("predict", "--frobnicate", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "error: No such option: --frobnicate; see `hea-loop predict --help`\n"


def test_a_fault_of_ours_keeps_its_traceback_and_ends_with_1(tmp_path: Path) -> None:
    code = (
        "import sys, hea_loop.formula\n"
        "def broken(*a, **k): raise ZeroDivisionError('ours')\n"
        "hea_loop.formula.parse_composition = broken\n"
        "from app.command_line import main\n"
        "sys.exit(main(['predict', 'NbTi']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "ZeroDivisionError: ours" in ended.stderr


def test_an_interrupted_command_ends_with_130_and_without_a_traceback(tmp_path: Path) -> None:
    code = (
        "import signal, sys\n"
        "from app.command_line import main\n"
        "class Waiting:\n"
        "    def read(self):\n"
        "        print('waiting', flush=True)\n"
        "        signal.pause()\n"
        "sys.stdin = Waiting()\n"
        "sys.exit(main(['predict', '-']))"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert command.stdout is not None
    assert command.stdout.readline() == "waiting\n"
    command.send_signal(signal.SIGINT)
    _, stderr = command.communicate(timeout=30)
    assert command.returncode == 130
    assert stderr == ""


def test_help_is_quick_and_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom app.command_line import main\nmain(['--help'])\n"
        "heavy = {'torch', 'prefect', 'pymatgen', 'pycalphad', 'sqlalchemy', 'matplotlib', 'numpy', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert ended.stderr == "[]\n"
    # processor time: others may be busy on the same machine
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    hea_loop("--help", cwd=tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.7


@pytest.mark.parametrize("command", ["run", "status", "show", "predict", "check", "report", "doctor", "init"])
def test_every_command_has_json(command: str, tmp_path: Path) -> None:
    ended = hea_loop(command, "--help", cwd=tmp_path)
    assert ended.returncode == 0
    assert "--json" in ended.stdout


def test_output_cut_off_by_its_reader_gives_no_traceback(tmp_path: Path) -> None:
    ended = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m app doctor --schema | head -n 1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert ended.stdout == "{\n"
    assert ended.stderr == ""


def test_a_full_disk_under_stdout_is_one_line(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "app", "predict", "NbTi", "--json"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "error: output = stdout: No space left on device; make room, or write elsewhere\n"
