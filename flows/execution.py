"""Runs the steps of one flow run, and keeps what each gave and how it went."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar, cast

from prefect import Task
from prefect.client.schemas.objects import State

from flows import results
from flows.memory import PeakMemory, watch_memory
from flows.observer import Observer
from tasks import policies, progress, store
from tasks.errors import PipelineError
from tasks.report.summary import Summary
from tasks.values.execution import StepName, StepOutcome, StepRecord, in_order

P = ParamSpec("P")
R = TypeVar("R")


class StepFailedError(PipelineError):
    """A step failed; its message names the step, the cause's type and the cause in one line.

    It is the message of the flow run's last state, and so what the dashboard shows first.

    Attributes:
        step: The step.
        cause: What it raised.
        summary: What became of the run; set once the report is written.
    """

    summary: Summary | None = None

    def __init__(self, step: StepName, cause: BaseException) -> None:
        super().__init__(f"{step} failed ({type(cause).__name__}): {_text(cause) or 'no message'}")
        self.step = step
        self.cause = cause


class Steps:
    """The steps of one run.

    Args:
        observer: Told of each start, progress and end.
        anew: Steps that run also where the cache has their result, and put theirs in its place.
    """

    def __init__(self, observer: Observer, anew: Collection[StepName] = ()) -> None:
        self._observer = observer
        self._anew = anew
        self._records: dict[StepName, StepRecord] = {}
        self.values: dict[StepName, Any] = {}

    @property
    def records(self) -> tuple[StepRecord, ...]:
        """One record a step, in order; `not_run` for those that were not reached."""
        return in_order(self._records.values())

    def restore(self, records: Iterable[StepRecord]) -> None:
        """Take over how the steps went before the run was suspended."""
        self._records |= {record.name: record for record in records}

    def outcome(self, name: StepName) -> StepOutcome:
        """How a step went; `not_run` until it is over."""
        return self._records[name].outcome if name in self._records else "not_run"

    def run(self, task: Task[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run one step, or take its result from the cache.

        Raises:
            StepFailedError: if it failed, retries included, or its code is not what it was when this process began.
        """
        name = cast(StepName, task.name)
        with self._recorded(name) as record:
            # Results lie in the store, wherever the flow runs; a relative or per-worker folder would lose the cache.
            with self._kept(name) as kept:
                policies.check_code(task)
                stored = task.with_options(**kept, refresh_cache=name in self._anew)
                state: State[Any] = stored(*args, **kwargs, return_state=True)
                result = state.result(raise_on_failure=False)
                if isinstance(result, BaseException):
                    raise StepFailedError(name, result) from result
            record(state.name == "Cached")
            self.values[name] = result
            return cast(R, result)

    @contextmanager
    def _kept(self, name: StepName) -> Iterator[dict[str, Any]]:
        try:
            with results.kept_in(store.current()) as kept:
                yield kept
        except StepFailedError:
            raise
        except PipelineError as error:
            raise StepFailedError(name, error) from error

    def attempt(self, name: StepName, action: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do what belongs to a step before it runs; a failure counts as that step's.

        Raises:
            StepFailedError: if the action fails.
        """
        try:
            return action(*args, **kwargs)
        except Exception as error:
            self._records[name] = StepRecord(name=name, outcome="failed", error=one_line(error))
            raise StepFailedError(name, error) from error

    @contextmanager
    def _recorded(self, name: StepName) -> Iterator[Callable[[bool], None]]:
        self._observer.step_started(name)
        record = StepRecord(name=name, outcome="failed")
        start = time.monotonic()

        def succeeded(from_cache: bool) -> None:
            nonlocal record
            record = record.model_copy(update={"outcome": "cached" if from_cache else "ran"})

        try:
            with watch_memory() as peak, progress.listen(lambda now: self._observer.step_progressed(name, now)):
                yield succeeded
        except Exception as error:
            cause = error.cause if isinstance(error, StepFailedError) else error
            record = record.model_copy(update={"error": one_line(cause)})
            self._end(record, start, peak)
            raise
        # An interrupt is no failure of the step: nothing is recorded of it.
        self._end(record, start, peak)

    def _end(self, record: StepRecord, start: float, peak: PeakMemory) -> None:
        figures = {"seconds": time.monotonic() - start, "peak_memory_bytes": peak.bytes}
        self._records[record.name] = record.model_copy(update=figures)
        self._observer.step_ended(self._records[record.name])


def one_line(error: BaseException) -> str:
    """The error's message without line breaks; its type too, where the message was not written for people."""
    text = _text(error)
    return text if isinstance(error, PipelineError) and text else f"{type(error).__name__}: {text}"


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())
