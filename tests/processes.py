"""Processes that a test watches, kills and waits for."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

import psutil

T = TypeVar("T")

PATIENCE_SECONDS = 120
"""For what takes seconds, on a machine that has other work."""


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
    condition: Callable[[], T | None], alive: Callable[[], bool] = lambda: True, seconds: float = PATIENCE_SECONDS
) -> T:
    """What the condition gives once it gives something, as long as `alive` holds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        assert alive(), "the process ended before"
        time.sleep(0.05)
    raise AssertionError(f"nothing happened in {seconds:.0f} s")
