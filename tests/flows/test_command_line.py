"""`python -m flows.retraining` as a process, without a server: what a person types, sees and gets."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

T = TypeVar("T")

SMALL = ["--source", "synthetic", "--ingest.synthetic-images", "480", "--train.recipe", "tutorial-64-logits"]


AS_FROM_A_TERMINAL = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "runpy.run_module('flows.retraining', run_name='__main__', alter_sys=True)"
)
"""`python -m flows.retraining`, also where Ctrl-C is ignored around the tests, as a shell does in the background."""


def start(store: Path, *options: str, new_group: bool = False) -> "subprocess.Popen[str]":
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return subprocess.Popen(
        [sys.executable, "-c", AS_FROM_A_TERMINAL, "--store", str(store), *SMALL, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=new_group,
        env={**environ, "HOME": str(store.parent)},
    )


def test_two_runs_at_once_on_one_store(tmp_path: Path) -> None:
    """The second waits, names the first, and then takes every step from the cache."""
    first = start(tmp_path / "store", "--train.epochs", "1")
    wait_for(lambda: (tmp_path / "store" / "locks" / "run.json").exists(), first)
    second = start(tmp_path / "store", "--train.epochs", "1")
    outputs = [process.communicate(timeout=240) for process in (first, second)]
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


def test_a_failed_run_says_step_and_cause_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "test_batch.bin").write_bytes(b"short")
    process = start(tmp_path / "store", "--source", str(tmp_path / "data"))
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 1
    assert stderr == ""
    assert "Traceback" not in stdout
    assert len([line for line in stdout.splitlines() if line.startswith("ingest failed: ")]) == 1
    assert Path(stdout.splitlines()[-1]).is_file()


@pytest.mark.parametrize("options", [("--train.epochs", "0"), ("--source", "/no/such/archive.tar.gz")])
def test_a_wrong_option_starts_nothing(tmp_path: Path, options: tuple[str, ...]) -> None:
    process = start(tmp_path / "store", *options)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (2, "")
    assert len(stderr.splitlines()) == 1
    assert not (tmp_path / "store").exists()


def test_an_interrupt_ends_the_trainer_and_leaves_no_half_artifact(tmp_path: Path) -> None:
    process = start(tmp_path / "store", "--train.epochs", "1000")
    trainer = wait_for(lambda: find_trainer(process.pid), process)
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted" in stdout
    assert ended(trainer)
    assert list((tmp_path / "store" / "staging").iterdir()) == []


def test_ctrl_c_in_a_terminal_ends_the_run_at_once(tmp_path: Path) -> None:
    """A terminal signals the whole group, Prefect's embedded server included."""
    process = start(tmp_path / "store", "--train.epochs", "1000", new_group=True)
    trainer = wait_for(lambda: find_trainer(process.pid), process)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=40)
    assert (process.returncode, stderr) == (130, "")
    assert "Interrupted" in stdout
    assert "failed" not in stdout
    assert ended(trainer)


def test_a_killed_run_leaves_no_trainer_and_no_lock(tmp_path: Path) -> None:
    process = start(tmp_path / "store", "--train.epochs", "1000")
    trainer = wait_for(lambda: find_trainer(process.pid), process)
    (server,) = [child for child in psutil.Process(process.pid).children() if child != trainer]
    process.kill()
    process.wait(timeout=60)
    wait_for(lambda: ended(trainer), server)
    again = start(tmp_path / "store", "--train.epochs", "1")
    stdout, stderr = again.communicate(timeout=120)
    assert again.returncode == 0, stderr
    assert ended(server)
    assert "Waiting" not in stdout
    assert re.search(r"preprocess +cached", stdout)
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()


def test_importing_the_flow_loads_no_heavy_library() -> None:
    script = (
        "import sys, flows.retraining\n"
        "heavy = {'tensorflow', 'keras', 'great_expectations', 'mlflow', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def find_trainer(pid: int) -> psutil.Process | None:
    children = psutil.Process(pid).children(recursive=True)
    return next((child for child in children if "cnn_model" in child.cmdline()), None)


def ended(process: psutil.Process) -> bool:
    """Whether it is gone, or only its entry is left."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def wait_for(condition: Callable[[], T | None], process: "subprocess.Popen[str] | psutil.Process") -> T:
    """What the condition gives once it gives something, as long as the process lives."""
    for _ in range(1200):
        found = condition()
        if found:
            return found
        alive = process.poll() is None if isinstance(process, subprocess.Popen) else process.is_running()
        assert alive
        time.sleep(0.05)
    raise AssertionError("nothing happened for a minute")
