"""Processes that a test watches, kills and waits for."""

import os
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import psutil

T = TypeVar("T")

PATIENCE_SECONDS = 120
"""For what takes seconds, on a machine that has other work."""

RUN_SECONDS = 600
"""For a run of the pipeline, which takes a minute, on such a machine. pytest has to be given more than this as well."""


def without_settings() -> dict[str, str]:
    """The environment, but for what whoever runs the tests has set of Prefect and of the pipeline."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "RETRAINING_"))}


def free_port() -> int:
    """A port of the loopback interface that nobody has at this moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def end_tree(process: "subprocess.Popen[Any]") -> None:
    """End a process that has not ended before, with all that is below it: SIGTERM for itself, SIGKILL for what is left.

    Who is below is asked first: a run has a session of its own and outlives its worker, and then has another parent.
    """
    if process.poll() is not None:
        return
    below = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for left in below:
        with suppress(psutil.NoSuchProcess):
            left.kill()


def find_descendant(*words: str, of: int | None = None) -> psutil.Process | None:
    """The process below `of`, else below this one, whose command line has all the words.

    A process that ends meanwhile is none, and a child between fork and exec is not taken for its program: it still has
    the command line of its parent.
    """
    for process in psutil.Process(os.getpid() if of is None else of).children(recursive=True):
        try:
            if set(words) <= set(process.cmdline()):
                return process
        except psutil.NoSuchProcess:  # a zombie is one, too
            continue
    return None


def ended(process: psutil.Process) -> bool:
    """Whether it is gone, or only its entry is left."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for(
    condition: Callable[[], T | None],
    alive: Callable[[], bool] = lambda: True,
    seconds: float = PATIENCE_SECONDS,
    every: float = 0.05,
) -> T:
    """What the condition gives once it gives something, as long as `alive` holds; asked after so many seconds again."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        assert alive(), "the process ended before"
        time.sleep(every)
    raise AssertionError(f"nothing happened in {seconds:.0f} s")
