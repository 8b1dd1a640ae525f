"""`python -m flows.retraining` as a process, without a server: what a person types, sees and gets."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import psutil
import pytest

from tasks import locks
from tasks.store import Store
from tests.processes import PATIENCE_SECONDS, RUN_SECONDS, ended, find_descendant, wait_for, without_settings

# More than a run may take.
pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
SMALL = ["--source", "synthetic", "--ingest.synthetic-images", "480", "--train.recipe", "tutorial-64-logits"]


class Start(Protocol):
    def __call__(self, *options: str, new_group: bool = False) -> "subprocess.Popen[str]": ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the command on the store of the test; what still runs at the test's end is killed."""
    with ExitStack() as processes:

        def started(*options: str, new_group: bool = False) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [sys.executable, "-m", "flows.retraining", "--store", str(tmp_path / "store"), *SMALL, *options],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=new_group,
                env={**without_settings(), "HOME": str(tmp_path)},
            )
            processes.enter_context(process)
            processes.callback(process.kill)
            return process

        yield started


def trainer_of(process: "subprocess.Popen[str]") -> psutil.Process:
    """Its child that trains, as soon as there is one."""
    return wait_for(
        lambda: find_descendant("cnn_model", "train", of=process.pid), lambda: process.poll() is None, RUN_SECONDS
    )


WAITED = """
import sys
from pathlib import Path
from flows import command_line
from flows.lineage import code_version
from tasks.machine import Machine
settings = Machine(store=Path(sys.argv[1]))
command_line.run(code_version, lambda terminal, version: terminal.say(version), settings, debug=False, kept="")
"""


def test_a_run_that_waited_for_another_names_the_commit_with_which_it_began(tmp_path: Path) -> None:
    checkout, store = tmp_path / "checkout", Store(tmp_path / "store")
    for package in ("flows", "tasks", "cnn_model"):
        shutil.copytree(ROOT / package, checkout / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", checkout)
    git(checkout, "init", "--quiet")
    began = commit(checkout)
    command = [sys.executable, "-c", WAITED, str(store.root)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    with ExitStack() as processes:
        with locks.turn(store.folder("locks"), "run", lambda holder: None):
            run = processes.enter_context(
                subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, text=True, env=environ)
            )
            processes.callback(run.kill)
            assert run.stdout is not None
            assert run.stdout.readline().startswith("Waiting for another run")
            assert commit(checkout) != began
        assert run.stdout.read() == f"{began}\n"


def commit(checkout: Path) -> str:
    """Commit all that is there, or nothing anew; the commit's name."""
    git(checkout, "add", "--all")
    author = ("-c", "user.name=someone", "-c", "user.email=someone@example.org")
    git(checkout, *author, "commit", "--quiet", "--allow-empty", "--message=state")
    return git(checkout, "rev-parse", "HEAD").strip()


def git(checkout: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", checkout, *arguments], capture_output=True, text=True, check=True).stdout


def test_two_runs_at_once_on_one_store(start: Start, tmp_path: Path) -> None:
    """The second waits, names the first, and then takes every step from the cache."""
    first = start("--train.epochs", "1")
    wait_for(lambda: (tmp_path / "store" / "locks" / "run.json").exists(), lambda: first.poll() is None)
    second = start("--train.epochs", "1")
    outputs = [process.communicate(timeout=RUN_SECONDS) for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0], outputs
    assert [stderr for _, stderr in outputs] == ["", ""]
    lines = [stdout.splitlines() for stdout, _ in outputs]
    assert re.search(rf"Waiting for another run.*process {first.pid} on ", lines[1][0])
    reports = [Path(found[-1]) for found in lines]
    assert all(report.is_file() for report in reports)
    summaries = [json.loads((report.parent / "summary.json").read_text()) for report in reports]
    assert [summary["outcome"] for summary in summaries] == ["promoted", "unchanged"]
    text = outputs[0][0]
    assert re.search(r"train +ran +\d+\.\d s", text)
    assert re.search(r"Accuracy +\d+\.\d\d %, 95 % interval", text)
    assert "epoch 1 of 1" in text
    assert re.search(r"train +cached", outputs[1][0])


def test_a_failed_run_says_step_and_cause_in_a_line(start: Start, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "test_batch.bin").write_bytes(b"short")
    process = start("--source", str(tmp_path / "data"))
    stdout, stderr = process.communicate(timeout=RUN_SECONDS)
    assert process.returncode == 1
    assert stderr == ""
    assert "Traceback" not in stdout
    assert len([line for line in stdout.splitlines() if line.startswith("ingest failed (SourceError): ")]) == 1
    assert Path(stdout.splitlines()[-1]).is_file()


@pytest.mark.parametrize("options", [("--train.epochs", "0"), ("--source", "/no/such/archive.tar.gz")])
def test_a_wrong_option_starts_nothing(start: Start, tmp_path: Path, options: tuple[str, ...]) -> None:
    process = start(*options)
    stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, stdout) == (2, "")
    assert len(stderr.splitlines()) == 1
    assert not (tmp_path / "store").exists()


def test_an_interrupt_ends_the_trainer_and_leaves_no_half_artifact(start: Start, tmp_path: Path) -> None:
    process = start("--train.epochs", "1000")
    trainer = trainer_of(process)
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert "Interrupted" in stdout
    assert ended(trainer)
    assert list((tmp_path / "store" / "staging").iterdir()) == []


def test_ctrl_c_in_a_terminal_ends_the_run_at_once(start: Start, tmp_path: Path) -> None:
    """A terminal signals the whole group, Prefect's embedded server included."""
    process = start("--train.epochs", "1000", new_group=True)
    trainer = trainer_of(process)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, stderr) == (130, "")
    assert "Interrupted" in stdout
    assert "failed" not in stdout
    assert ended(trainer)


def test_a_killed_run_leaves_no_trainer_and_no_lock(start: Start, tmp_path: Path) -> None:
    process = start("--train.epochs", "1000")
    trainer = trainer_of(process)
    server = find_descendant("uvicorn", of=process.pid)
    assert server is not None
    process.kill()
    process.wait(timeout=PATIENCE_SECONDS)
    wait_for(lambda: ended(trainer))
    again = start("--train.epochs", "1")
    stdout, stderr = again.communicate(timeout=RUN_SECONDS)
    assert again.returncode == 0, stderr
    assert ended(server)
    assert "Waiting" not in stdout
    assert re.search(r"preprocess +cached", stdout)


def test_importing_the_flow_loads_no_heavy_library() -> None:
    script = (
        "import sys, flows.retraining\n"
        "heavy = {'tensorflow', 'keras', 'great_expectations', 'mlflow', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
