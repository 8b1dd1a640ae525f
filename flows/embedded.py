"""Runs a flow where no Prefect server is configured: Prefect starts one of its own for the time of the run.

Its database lies in the store, apart from anyone's `~/.prefect`. One such run at a time works on a store: two embedded
servers on one SQLite file would lock each other out. Runs with a real server are not held up; they work side by side,
since artifacts appear whole or not at all and a promotion is one exclusive file.
"""

import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
from prefect.settings import (
    PREFECT_API_DATABASE_CONNECTION_URL,
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    temporary_settings,
)

from tasks import locks
from tasks.errors import StoreError
from tasks.store import Store

# A run whose last words cannot be delivered in this time ends without them.
DRAIN_SECONDS = 10


@contextmanager
def server_where_none_is(store: Store, waiting: Callable[[str], None]) -> Iterator[None]:
    """Give the run within the block an embedded server of the store's own, unless a server is configured.

    Args:
        store: The store that the run works on.
        waiting: Told once, in a sentence, which other such run is waited for.
    """
    if PREFECT_API_URL.value() is not None:
        yield
        return
    store.check_writable()
    home = store.folder("prefect")
    with locks.turn(
        store.folder("locks"), "run", lambda holder: waiting(f"Waiting for another run on this store to end: {holder}.")
    ):
        _end_orphans(home)
        _check_database(home / "prefect.db")
        settings = {
            PREFECT_HOME: home,
            PREFECT_API_DATABASE_CONNECTION_URL: f"sqlite+aiosqlite:///{home / 'prefect.db'}",
            # Nothing acts on heartbeats here, and joining their thread costs each run a second.
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        }
        with temporary_settings(settings), _server(home):
            yield


@contextmanager
def _server(home: Path) -> Iterator[None]:
    """Prefect's embedded server, started before the flow would, and out of reach of Ctrl-C.

    A terminal sends Ctrl-C to the whole process group. Without its server Prefect would try for minutes to report the
    interrupted run, so the server is started with the signal blocked. It ends within the run's turn on the store, after
    the last log records and events have reached it: the next run would take it for an orphan.
    """
    # Two seconds of imports that nobody needs who has a server.
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.server.api.server import SubprocessASGIServer

    server, log = SubprocessASGIServer(), home / "server.log"
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _standard_error_into(log):
            server.start()
    except Exception as error:
        raise StoreError(
            f"Prefect's embedded server did not start with its database in {home}: {type(error).__name__}. The cause "
            f"is in {log}; moving that folder away loses nothing but the history of local runs."
        ) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield
    finally:
        for worker in (APILogWorker, EventsWorker):
            worker.drain_all(timeout=DRAIN_SECONDS)
        server.stop()


@contextmanager
def _standard_error_into(log: Path) -> Iterator[None]:
    """Let processes that are started within the block write their errors to a file.

    The server says more than concerns a person: when it is ended while it writes to its database it prints a
    traceback, and writes the same again.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    try:
        with log.open("wb") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def _check_database(path: Path) -> None:
    """See that the history of earlier runs is a database, before a server fails on it in a thousand lines."""
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{path} is damaged: {error}. It holds the history of local runs and nothing else: move it away."
        ) from error


def _end_orphans(home: Path) -> None:
    """End the server of a run that was killed: nobody else ends it, and it would hold the database."""
    for process in psutil.process_iter():
        try:
            is_server = any("prefect.server" in part for part in process.cmdline())
            if is_server and process.environ().get("PREFECT_HOME") == str(home):
                process.kill()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
