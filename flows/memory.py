"""How much memory a step takes, children included."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

INTERVAL_SECONDS = 0.1


class PeakMemory:
    """The largest sum of resident memory that was sampled, in bytes."""

    def __init__(self) -> None:
        self.bytes = 0


@contextmanager
def watch_memory() -> Iterator[PeakMemory]:
    """Sample this process and the children that start within the block, ten times a second.

    Children that were there before, such as an embedded Prefect server, are no part of the step.
    """
    process, peak, ended = psutil.Process(), PeakMemory(), threading.Event()
    present = {child.pid for child in process.children(recursive=True)}

    def sample() -> None:
        total = process.memory_info().rss
        for child in process.children(recursive=True):
            if child.pid not in present:
                try:
                    total += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
        peak.bytes = max(peak.bytes, total)

    def watch() -> None:
        while not ended.wait(INTERVAL_SECONDS):
            sample()

    sample()
    thread = threading.Thread(target=watch, daemon=True, name="memory")
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()
        sample()
