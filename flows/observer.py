"""What a run tells while it goes on, and to whom: the terminal of a person, or Prefect's log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from prefect.logging import get_run_logger

from tasks.progress import Progress
from tasks.values.execution import RunInfo, StepName, StepRecord


class Observer(Protocol):
    """Who watches a run."""

    def run_started(self, info: RunInfo, warning: str | None) -> None:
        """The source is resolved and the steps begin; `warning` is what a person must not overlook."""

    def step_started(self, step: StepName) -> None:
        """A step begins."""

    def step_progressed(self, step: StepName, progress: Progress) -> None:
        """A long step says how far it is."""

    def step_ended(self, record: StepRecord) -> None:
        """A step ended, one way or another."""


class LogObserver:
    """Writes to Prefect's log, which the dashboard shows; progress at most every 30 seconds."""

    INTERVAL_SECONDS = 30.0

    def __init__(self) -> None:
        self._logger = get_run_logger()
        self._last = 0.0

    def run_started(self, info: RunInfo, warning: str | None) -> None:
        """Say what the run works on."""
        self._logger.info("Source: %s. Recipe %s, seed %s.", info.resolved_source, info.recipe, info.seed_in_words)
        if warning is not None:
            self._logger.warning(warning)

    def step_started(self, step: StepName) -> None:
        """Nothing: Prefect logs the start of a task itself."""

    def step_progressed(self, step: StepName, progress: Progress) -> None:
        """Log how far the step is."""
        if time.monotonic() - self._last >= self.INTERVAL_SECONDS:
            self._last = time.monotonic()
            share = progress.done / progress.total if progress.total else 0.0
            self._logger.info("%s: %.0f %% of %s. %s", step, 100 * share, progress.unit, progress.note)

    def step_ended(self, record: StepRecord) -> None:
        """Log outcome and time."""
        self._logger.info("%s: %s in %.1f s", record.name, record.outcome, record.seconds)


_observer: ContextVar[Observer | None] = ContextVar("observer", default=None)


def current() -> Observer:
    """The observer that was set, or else Prefect's log. Call it within a flow."""
    return _observer.get() or LogObserver()


@contextmanager
def observe_with(observer: Observer) -> Iterator[None]:
    """Make `observer` watch the runs within the block."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)
