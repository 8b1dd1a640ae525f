"""One process at a time: a lock that the kernel gives back when its holder dies, and a note of who holds it."""

import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

POLL_SECONDS = 0.2


@contextmanager
def turn(folder: Path, name: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other process is in a block of the same name, then enter it.

    Args:
        folder: Where the lock lies.
        name: Of the lock: `NAME.lock`, and beside it `NAME.json` for the note.
        waiting: Told once who is waited for, where the lock is not free: "process 12 on host, since 2026-11-21T...".
    """
    lock = FileLock(folder / f"{name}.lock")
    # Beside the lock: whoever asks for the lock empties its file.
    note = folder / f"{name}.json"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting(_holder(note))
        lock.acquire(poll_interval=POLL_SECONDS)
    try:
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        note.write_text(json.dumps({"process": os.getpid(), "host": platform.node(), "since": now}))
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _holder(note: Path) -> str:
    try:
        holder = json.loads(note.read_text())
        return f"process {holder['process']} on {holder['host']}, since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process, which has just started"
