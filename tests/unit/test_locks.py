"""Turns, taken by real processes."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tasks import locks
from tests.processes import wait_for

HOLDER = """
import sys, time
from pathlib import Path
from tasks import locks
with locks.turn(Path(sys.argv[1]), "work", lambda holder: None):
    print("entered", flush=True)
    time.sleep(600)
"""


def unexpected(holder: str) -> None:
    raise AssertionError(f"waited for {holder}")


@pytest.fixture
def holder(tmp_path: Path):
    """Another process within its turn."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "entered\n"
        yield process
        process.kill()


def test_who_waits_is_told_the_holder_and_goes_on_when_that_is_killed(tmp_path: Path, holder):
    told: list[str] = []
    entered = threading.Event()

    def wait() -> None:
        with locks.turn(tmp_path, "work", told.append):
            entered.set()

    thread = threading.Thread(target=wait)
    thread.start()
    wait_for(lambda: told)
    assert not entered.wait(1)
    assert len(told) == 1
    assert told[0].startswith(f"process {holder.pid} on ")
    holder.kill()
    thread.join(20)
    assert entered.is_set()


def test_another_name_is_another_lock(tmp_path: Path, holder):
    with locks.turn(tmp_path, "other work", unexpected):
        assert str(os.getpid()) in (tmp_path / "other work.json").read_text()
    with locks.turn(tmp_path, "other work", unexpected):
        pass
