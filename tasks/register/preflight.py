"""What registering needs, seen to in seconds, before any step runs: hours of training must not end at a closed door.

Called at the flow's door. A server that is being restarted is waited for, and only so long; one that refuses is not
asked again.
"""

import contextvars
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tasks import machine, store
from tasks.errors import RegistryError, RegistryUnreachableError, TransientError
from tasks.ledger import ledger_address, ledger_names

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 15.0
"""How long after the first question the last one begins."""

PAUSE_SECONDS = 3.0

LEDGER_SECONDS = 20.0
"""How long the place of the ledgers may take in all; the driver of S3 tries a dead one again for up to ten."""

ANSWER_SECONDS = 5
"""How long one answer may take; MLflow takes whole seconds."""


def check() -> None:
    """See that ledger and registry answer, and let this run in.

    Raises:
        ConfigurationError: if credentials are missing or refused, or an address cannot be right.
        RegistryUnreachableError: if the registry's server does not answer.
        RegistryError: if the registry is damaged or no MLflow, or the ledger cannot be read.
        TransientError: if the network to the ledger is lost.
    """
    _check_ledger()
    settings = machine.current()
    if settings is None or settings.tracking_uri is None:
        _check_database()
        return
    # A second of imports, which the step register would need as well.
    from tasks.registry import Registry

    start = time.monotonic()
    with _answers_within(ANSWER_SECONDS):
        while True:
            try:
                Registry()
                return
            except RegistryUnreachableError as error:
                if time.monotonic() + PAUSE_SECONDS > start + PATIENCE_SECONDS:
                    raise
                logger.warning("%s It is asked again in %.0f seconds.", error, PAUSE_SECONDS)
                time.sleep(PAUSE_SECONDS)


def _check_ledger() -> None:
    """See that the ledgers can be listed. A driver may ask a mute server for minutes: that is not waited for."""
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            ledger_names()
        except Exception as error:
            failures.append(error)

    # The thread sees the machine's settings, and holds up no process that ends.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(ask,), daemon=True)
    thread.start()
    thread.join(LEDGER_SECONDS)
    if thread.is_alive():
        raise TransientError(
            f"The ledger's place {ledger_address()} gave no answer within {LEDGER_SECONDS:.0f} s. See to the network "
            "and to the endpoint, or mend RETRAINING_LEDGER."
        )
    for failure in failures:
        raise failure


def _check_database() -> None:
    """See that the store's own registry, if it is there, is a database, without loading MLflow."""
    path = store.current().folder() / "mlflow.db"
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError:
        return  # locked by a run at work
    except sqlite3.DatabaseError as error:
        raise RegistryError(
            f"The registry {path} cannot be used: {error}. Bring the file back from a backup."
        ) from error


@contextmanager
def _answers_within(seconds: int) -> Iterator[None]:
    """Give up on an answer of MLflow's server sooner than a registration would."""
    name = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    before = os.environ[name]  # set when `tasks.registry` was imported
    os.environ[name] = str(min(seconds, int(before)))
    try:
        yield
    finally:
        os.environ[name] = before
