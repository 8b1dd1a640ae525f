"""Runs `python -m cnn_model VERB` as a child process, so that Prefect's process never loads a framework.

The child has a process group of its own, which ends with the block however it ends; memory and device are free after
it. It writes one JSON object a line to standard output: `{"event": "epoch", ...}` for progress, at last
`{"event": "result", ...}` or `{"event": "error", "kind": ..., "message": ...}`. What it writes to standard error is
kept for the error message. It holds the read end of a pipe from this process, and ends itself when that closes: a
flow that is killed with -9 leaves no trainer behind.
"""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tasks import machine
from tasks.errors import (
    ChildError,
    ChildKilledError,
    ChildRefusedError,
    ChildStalledError,
    ChildTimeoutError,
    DeviceError,
    OutOfMemoryError,
    PipelineError,
    SourceError,
)

logger = logging.getLogger(__name__)

Event = dict[str, Any]

ROOT = Path(__file__).parents[1]
"""Where `cnn_model` is found."""

TERMINATION_SECONDS = 5.0
"""How long a child has between SIGTERM and SIGKILL."""

_FRAMEWORK_LOG = re.compile(r"[IWE]\d{4} |WARNING: All log messages|To enable the following instructions")
"""What TensorFlow writes to standard error however well it is."""

_KINDS: dict[str, type[PipelineError]] = {
    "out_of_memory": OutOfMemoryError,
    "no_device": DeviceError,
    "bad_data": SourceError,
    "bad_request": ChildRefusedError,
}

_NOT_FOR_THE_CHILD = ("AWS_", "AZURE_", "GOOGLE_", "GCS_", "MLFLOW_", "PG", "PREFECT_", "RETRAINING_")
"""How the names of variables begin that hold credentials, or lead to where they count. The child reads and writes local
files and asks nobody."""

_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
"""Signals that a process gets for a fault of its own: it would get them again."""


def run(
    verb: str,
    arguments: Sequence[str],
    *,
    timeout_seconds: float,
    stall_seconds: float | None = None,
    on_event: Callable[[Event], None] | None = None,
    backend: machine.Backend | None = None,
) -> Event:
    """Run one verb of `cnn_model` to its end.

    Args:
        verb: Of `python -m cnn_model`, one that tells in events.
        arguments: Its command line.
        timeout_seconds: Wall-clock limit; at it the whole process group is ended.
        stall_seconds: Limit of the time without an event; at it likewise. None for verbs that tell of no progress.
        on_event: Called with each event before the result, in this thread.
        backend: What Keras computes with; None for the machine's.

    Returns:
        What the result event holds.

    Raises:
        OutOfMemoryError: if the child or its device ran out of memory, or the kernel killed the child for it.
        DeviceError: if the wanted device is not there.
        ChildTimeoutError: at the limit of wall-clock time.
        ChildStalledError: at the limit of the time without an event.
        ChildKilledError: if a signal from outside ended it.
        ChildRefusedError: if it was asked for what cannot be right.
        ChildError: if it ended otherwise without a result; the message has the cause that it gave.
    """
    command = [sys.executable, "-m", "cnn_model", verb, *arguments, "--events"]
    kills_before = _out_of_memory_kills()
    limits = _Limits(timeout_seconds, stall_seconds)
    with _started(command, backend) as process, _ended_at(limits, process):
        stderr_lines: deque[str] = deque(maxlen=200)
        reader = threading.Thread(target=_collect, args=(process, stderr_lines), daemon=True)
        reader.start()
        final = _follow(process, limits, on_event)
        process.wait()
        reader.join(TERMINATION_SECONDS)
    limits.check(verb)
    if final is not None and final["event"] == "result" and process.returncode == 0:
        return {name: value for name, value in final.items() if name != "event"}
    raise _failure(verb, process.returncode, final, stderr_lines, _out_of_memory_kills() > kills_before)


def _started(command: Sequence[str], backend: machine.Backend | None) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command,
        # Never written to: its end tells the child that this process is gone.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=ROOT,
        env=_environment(backend),
    )


class _Limits:
    """How long a child may run in all, and how long without an event."""

    def __init__(self, timeout_seconds: float, stall_seconds: float | None) -> None:
        self._timeout_seconds, self._stall_seconds = timeout_seconds, stall_seconds
        self._start = self._last_event = time.monotonic()
        self._exceeded: Callable[[str], ChildError] | None = None

    def heard(self) -> None:
        """An event came."""
        self._last_event = time.monotonic()

    def seconds_left(self) -> float:
        """Until the nearer of the two; at zero it is noted which one."""
        now = time.monotonic()
        left = self._start + self._timeout_seconds - now
        if left <= 0:
            self._exceeded = self._ran_too_long
            return 0.0
        if self._stall_seconds is None:
            return left
        silent = self._last_event + self._stall_seconds - now
        if silent <= 0:
            self._exceeded = self._was_silent
            return 0.0
        return min(left, silent)

    def check(self, verb: str) -> None:
        """See that the child was not ended at a limit.

        Raises:
            ChildTimeoutError: if it ran too long.
            ChildStalledError: if it was silent for too long.
        """
        if self._exceeded is not None:
            raise self._exceeded(verb)

    def _ran_too_long(self, verb: str) -> ChildError:
        return ChildTimeoutError(
            f"`cnn_model {verb}` ran past its limit of {self._timeout_seconds:.0f} s and was ended; raise the step's "
            "timeout_minutes if it needs longer."
        )

    def _was_silent(self, verb: str) -> ChildError:
        return ChildStalledError(
            f"`cnn_model {verb}` made no progress for its limit of {self._stall_seconds:.0f} s and was ended; raise "
            "the step's stall_minutes if that is a usual pause."
        )


@contextmanager
def _ended_at(limits: _Limits, process: "subprocess.Popen[str]") -> Iterator[None]:
    """End the process group at the first limit, and in any case at the end of the block."""
    over = threading.Event()

    def end_at_limit() -> None:
        while (left := limits.seconds_left()) > 0:
            if over.wait(left):
                return
        _end(process)

    def end_with_leader() -> None:
        # What the leader started may hold its output open, and reading would not end.
        process.wait()
        if not over.wait(TERMINATION_SECONDS):
            _end(process)

    for watch in (end_at_limit, end_with_leader):
        threading.Thread(target=watch, daemon=True, name=watch.__name__).start()
    try:
        yield
    finally:
        over.set()
        _end(process)


def _environment(backend: machine.Backend | None) -> dict[str, str]:
    backend = backend or (machine.current() or machine.Machine()).backend
    needed = {name: value for name, value in os.environ.items() if not name.upper().startswith(_NOT_FOR_THE_CHILD)}
    return {**needed, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUNBUFFERED": "1"}


def _follow(
    process: "subprocess.Popen[str]", limits: _Limits, on_event: Callable[[Event], None] | None
) -> Event | None:
    assert process.stdout is not None
    final: Event | None = None
    for line in process.stdout:
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            logger.info("cnn_model: %s", line.rstrip())
            continue
        if not isinstance(event, dict) or "event" not in event:
            logger.info("cnn_model: %s", line.rstrip())
            continue
        limits.heard()
        if event["event"] in ("result", "error"):
            final = event
        elif on_event is not None:
            on_event(event)
    return final


def _collect(process: "subprocess.Popen[str]", lines: deque[str]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line.rstrip())


def _end(process: "subprocess.Popen[str]") -> None:
    """End the whole process group, gently first; also what a leader that is gone has left behind."""
    with suppress(ProcessLookupError, PermissionError):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(TERMINATION_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)


def _failure(
    verb: str, returncode: int, final: Event | None, stderr_lines: deque[str], killed_for_memory: bool
) -> PipelineError:
    if final is not None and final["event"] == "error":
        if final["kind"] == "unexpected":
            logger.error("The end of what `cnn_model %s` wrote:\n%s", verb, "\n".join(stderr_lines))
        return _KINDS.get(final["kind"], ChildError)(final["message"])
    if returncode == -signal.SIGKILL and killed_for_memory:
        return OutOfMemoryError(f"`cnn_model {verb}` was killed by the kernel for want of memory. Give it more.")
    how = f"signal {signal.Signals(-returncode).name}" if returncode < 0 else f"exit code {returncode}"
    logger.error("The end of what `cnn_model %s` wrote:\n%s", verb, "\n".join(stderr_lines))
    if returncode < 0 and -returncode not in _CRASHES:
        return ChildKilledError(
            f"`cnn_model {verb}` was ended from outside with {how}, by a person or for want of memory. Run it again: a "
            "training goes on after the last epoch that it finished."
        )
    said = [line for line in stderr_lines if line.strip() and not _FRAMEWORK_LOG.match(line)]
    last = said[-1] if said else "nothing on standard error"
    return ChildError(f"`cnn_model {verb}` ended with {how} and without a result: {last}")


def _out_of_memory_kills() -> int:
    """How many processes the Linux kernel has killed for memory since boot; 0 where it does not say."""
    try:
        text = Path("/proc/vmstat").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), 0)
