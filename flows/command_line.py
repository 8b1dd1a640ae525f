"""Runs a flow for a person: a terminal, a server where none is, one line for a failure, an exit code."""

import signal
import traceback
from collections.abc import Callable
from typing import TypeVar

from flows import embedded, observer
from flows.execution import StepFailedError, one_line
from flows.lineage import code_version
from flows.logs import show_logs_of_steps
from flows.terminal import Terminal
from tasks import machine, store
from tasks.machine import Machine

R = TypeVar("R")


def run(
    flow: Callable[[], R], closing: Callable[[Terminal, R], None], settings: Machine, *, debug: bool, kept: str
) -> int:
    """Run a flow to its end.

    Args:
        flow: Runs it.
        closing: Writes the closing lines.
        settings: Of the machine.
        debug: Whether to show Prefect's log, and the traceback of a failure.
        kept: What an interrupt leaves, in a sentence.

    Returns:
        The exit code: 0 if it did its job, 1 if it failed, 130 after Ctrl-C.
    """
    code_version()  # before another run is waited for, in which time the checkout may change
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: with the child and the server
    with Terminal() as terminal, machine.use(settings), observer.observe_with(terminal):
        if not debug:
            show_logs_of_steps(terminal)
        try:
            with embedded.server_where_none_is(store.current(), waiting=terminal.say):
                result = flow()
        except Exception as error:  # whatever it is, a person gets one line
            if debug:
                traceback.print_exception(error)
            terminal.failed(one_line(error), error.summary if isinstance(error, StepFailedError) else None)
            return 1
        except KeyboardInterrupt:
            terminal.failed(f"Interrupted. {kept}")
            return 130
        closing(terminal, result)
        return 0
