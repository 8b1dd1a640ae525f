"""Where log records go. The rooms log to Python's own loggers and know neither Prefect nor a terminal."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.logging.handlers import APILogHandler, PrefectConsoleHandler

from flows.execution import one_line
from flows.terminal import Terminal

FIRST_PARTY = ("tasks", "cnn_model", "flows")


@contextmanager
def logs_sent_to_dashboard() -> Iterator[None]:
    """Within a flow: send what the steps log to Prefect, which keeps it with the run."""
    handler = APILogHandler()
    loggers = [logging.getLogger(name) for name in FIRST_PARTY]
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def show_logs_of_steps(terminal: Terminal) -> None:
    """Put the terminal in the place of Prefect's console log: a person wants to see the steps, not the engine."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, PrefectConsoleHandler)]:
        root.removeHandler(handler)
    root.addHandler(_TerminalHandler(terminal))


class _TerminalHandler(logging.Handler):
    """What the steps say, warnings of libraries, and of Prefect only that a step is tried again.

    What has several lines, such as a traceback, is for the dashboard and for `--debug`.
    """

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(logging.INFO)
        self._terminal = terminal

    def filter(self, record: logging.LogRecord) -> bool:
        package = record.name.split(".")[0]
        if package == "prefect":
            return "Retry" in str(record.msg)
        if "\n" in record.getMessage() or package == "urllib3":
            return False
        return package in FIRST_PARTY or record.levelno >= logging.WARNING

    def emit(self, record: logging.LogRecord) -> None:
        style = "yellow" if record.levelno >= logging.WARNING else "dim"
        if record.name.startswith("prefect") and isinstance(record.args, tuple) and len(record.args) == 5:
            # Prefect's words: "... failed with %s: %r - Retry %s/%s will start %s".
            _, error, retry, retries, when = record.args
            text = f"{one_line(error) if isinstance(error, BaseException) else error}"
            self._terminal.say(f"    {text} Tried again ({retry} of {retries}), {_rounded(str(when))}.", style)
        else:
            self._terminal.say(f"    {record.getMessage()}", style)


def _rounded(when: str) -> str:
    return re.sub(r"(\d+)\.\d+ second\(s\) from now", r"\1 seconds from now", when)
