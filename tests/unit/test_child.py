"""The child process, with small scripts in the place of the model library's verbs."""

import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from tasks import child, machine
from tasks.errors import (
    ChildError,
    ChildKilledError,
    ChildRefusedError,
    ChildStalledError,
    ChildTimeoutError,
    DeviceError,
    OutOfMemoryError,
    SourceError,
    TransientError,
)

VERBS = """
import json, os, signal, subprocess, sys, time
def tell(**event): print(json.dumps(event), flush=True)
verb, argument = sys.argv[1], sys.argv[2]
if verb == "train":
    tell(event="epoch", epoch=1)
    print("a library's chatter", flush=True)
    tell(event="result", accuracy=0.5)
elif verb == "error":
    tell(event="error", kind=argument, message="what happened")
    sys.exit(1)
elif verb == "crash":
    print("Traceback", file=sys.stderr)
    raise ValueError("a bug")
elif verb == "leave":
    subprocess.Popen(["sleep", "600"])
    tell(event="result", group=os.getpid())
elif verb == "silent":
    sys.exit(0)
elif verb == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
elif verb == "signal":
    os.kill(os.getpid(), getattr(signal, argument))
elif verb == "stall":
    tell(event="progress", done=1)
    subprocess.Popen(["sleep", "600"])
    open(argument, "w").write(str(os.getpid()))
    while True:
        print("a library's chatter", flush=True)
        time.sleep(0.2)
elif verb == "slow":
    for done in range(14):
        tell(event="progress", done=done)
        time.sleep(0.5)
    tell(event="result")
elif verb == "hang":
    subprocess.Popen(["sleep", "600"])
    open(argument, "w").write(str(os.getpid()))
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def verbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package `cnn_model` of scripts, found before the real one."""
    package = tmp_path / "cnn_model"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(VERBS)
    monkeypatch.setattr(child, "ROOT", tmp_path)


def test_events_arrive_in_order_and_the_result_is_returned() -> None:
    events: list[child.Event] = []
    result = child.run("train", ["x"], timeout_seconds=60, on_event=events.append)
    assert events == [{"event": "epoch", "epoch": 1}]
    assert result == {"accuracy": 0.5}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("out_of_memory", OutOfMemoryError),
        ("no_device", DeviceError),
        ("bad_data", SourceError),
        ("bad_request", ChildRefusedError),
        ("other", ChildError),
    ],
)
def test_a_failure_that_the_child_explains_keeps_its_kind(kind: str, expected: type[Exception]) -> None:
    with pytest.raises(expected, match="what happened"):
        child.run("error", [kind], timeout_seconds=60)


@pytest.mark.parametrize(
    ("verb", "message"),
    [("crash", "exit code 1.*ValueError: a bug"), ("silent", "exit code 0.*without a result")],
)
def test_a_child_that_ends_otherwise_is_an_error(verb: str, message: str) -> None:
    with pytest.raises(ChildError, match=message):
        child.run(verb, ["x"], timeout_seconds=60)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_child_that_is_ended_from_outside_may_be_tried_again(name: str) -> None:
    with pytest.raises(ChildKilledError, match=rf"from outside with signal {name}.* goes on after the last epoch") as e:
        child.run("signal", [name], timeout_seconds=60)
    assert isinstance(e.value, TransientError)


def test_a_fault_of_its_own_is_not_tried_again() -> None:
    with pytest.raises(ChildError, match="signal SIGSEGV and without a result") as caught:
        child.run("signal", ["SIGSEGV"], timeout_seconds=60)
    assert not isinstance(caught.value, TransientError)


def test_a_kill_by_the_kernel_for_memory_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([3, 4])
    monkeypatch.setattr(child, "_out_of_memory_kills", lambda: next(counts))
    with pytest.raises(OutOfMemoryError, match="memory") as caught:
        child.run("kill", ["x"], timeout_seconds=60)
    assert not isinstance(caught.value, TransientError)


def test_at_the_limit_the_whole_process_group_ends(tmp_path: Path) -> None:
    with pytest.raises(ChildTimeoutError, match="limit of 5 s"):
        child.run("hang", [str(tmp_path / "pid")], timeout_seconds=5)
    assert not running_in_group(int((tmp_path / "pid").read_text()))


def test_without_progress_the_whole_process_group_ends(tmp_path: Path) -> None:
    """Chatter is no progress."""
    with pytest.raises(ChildStalledError, match="no progress for its limit of 5 s") as caught:
        child.run("stall", [str(tmp_path / "pid")], timeout_seconds=60, stall_seconds=5)
    assert isinstance(caught.value, TransientError)
    assert not running_in_group(int((tmp_path / "pid").read_text()))


def test_a_slow_child_that_makes_progress_runs_to_its_end() -> None:
    events: list[child.Event] = []
    assert child.run("slow", ["x"], timeout_seconds=60, stall_seconds=5, on_event=events.append) == {}
    assert len(events) == 14


def test_what_a_child_leaves_behind_ends_with_it_and_its_result_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "TERMINATION_SECONDS", 0.5)
    result = child.run("leave", ["x"], timeout_seconds=60)
    assert not running_in_group(result["group"])


def test_an_interrupt_ends_the_whole_process_group(tmp_path: Path) -> None:
    def interrupt() -> None:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            child.run("hang", [str(tmp_path / "pid")], timeout_seconds=60)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not running_in_group(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_the_framework_is_the_machines_and_not_a_stray_variables(
    backend: machine.Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import json, os\nprint(json.dumps({'event': 'result', 'backend': os.environ['KERAS_BACKEND']}))\n"
    (tmp_path / "cnn_model" / "__main__.py").write_text(script)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with machine.use(machine.Machine(store=tmp_path, backend=backend)):
        assert child.run("train", [], timeout_seconds=60) == {"backend": backend}


def test_the_child_gets_what_it_computes_with_and_no_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import json, os\nprint(json.dumps({'event': 'result', **os.environ}))\n"
    (tmp_path / "cnn_model" / "__main__.py").write_text(script)
    secrets = ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "PREFECT_API_AUTH_STRING", "PGPASSWORD")
    kept = ("CUDA_VISIBLE_DEVICES", "XLA_FLAGS", "TF_FORCE_GPU_ALLOW_GROWTH", "JAX_PLATFORMS", "LD_LIBRARY_PATH")
    for name in (*secrets, *kept):
        monkeypatch.setenv(name, "planted")
    found = child.run("train", [], timeout_seconds=60)
    assert {name: found.get(name) for name in secrets} == dict.fromkeys(secrets)
    assert {name: found.get(name) for name in kept} == dict.fromkeys(kept, "planted")


def running_in_group(group: int) -> list[psutil.Process]:
    """The processes of a group that still do something, after a moment for the last signal to arrive."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        alive = [process for process in psutil.process_iter() if _group(process) == group]
        if not alive:
            return []
        time.sleep(0.1)
    return alive


def _group(process: psutil.Process) -> int | None:
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else os.getpgid(process.pid)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return None
