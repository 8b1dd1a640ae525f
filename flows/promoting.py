"""Promotion and rollback as flows, for the dashboard's forms; the command line is `flows.promotion`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from prefect import State, flow, runtime
from prefect.artifacts import create_markdown_artifact
from prefect.states import Completed
from pydantic import Field

from flows import dashboard
from flows.logs import logs_sent_to_dashboard
from tasks import machine, promotion, store
from tasks.ledger import MODEL_NAMES, LedgerEntry, open_ledger
from tasks.promotion import MAX_ACTOR_LENGTH, MAX_REASON_LENGTH, Manual

OFFICIAL = MODEL_NAMES["cifar10"]
RECENT_ENTRIES = 10

# What each is for stands below `Args:`, where Prefect's form takes it from.
ModelName = Annotated[str, Field(pattern="^[a-z0-9-]+$", max_length=200)]
Version = Annotated[int, Field(ge=1)]
Reason = Annotated[str, Field(pattern=r"\S", max_length=MAX_REASON_LENGTH)]
Actor = Annotated[str, Field(pattern=r"\S", max_length=MAX_ACTOR_LENGTH)]


@flow(name="promote", flow_run_name="promote {model_name} version {version}")
@dashboard.failing_in_words
def promote(version: Version, reason: Reason, actor: Actor, model_name: ModelName = OFFICIAL) -> State[Any]:
    """Make a version champion, whatever the gate said of it.

    Args:
        version: A version that MLflow lists, 1 or more.
        reason: Why, in a sentence of up to 500 characters; kept in the ledger.
        actor: Who, in up to 100 characters; kept in the ledger.
        model_name: The registered model.

    Raises:
        RegistryError: if it is champion already or unknown, or another process promoted at the same moment.
        RegistryUnreachableError: if the registry does not answer.
        StoreError: if the model's artifact is missing or damaged.
    """
    with _at_the_door():
        made = promotion.promote(model_name, version, reason=reason, actor=actor, run_id=str(runtime.flow_run.id))
        return _shown(made)


@flow(name="rollback", flow_run_name="roll back {model_name}")
@dashboard.failing_in_words
def rollback(reason: Reason, actor: Actor, to: Version | None = None, model_name: ModelName = OFFICIAL) -> State[Any]:
    """Take the champion back: an earlier one becomes champion again.

    Args:
        reason: Why, in a sentence of up to 500 characters; kept in the ledger.
        actor: Who, in up to 100 characters; kept in the ledger.
        to: An earlier champion's version, 1 or more; left out, the one that the champion replaced.
        model_name: The registered model.

    Raises:
        RegistryError: if there is none to go back to, or another process promoted at the same moment.
        StoreError: if the earlier champion's artifact is missing or damaged.
    """
    with _at_the_door():
        made = promotion.roll_back(model_name, to, reason=reason, actor=actor, run_id=str(runtime.flow_run.id))
        return _shown(made)


@contextmanager
def _at_the_door() -> Iterator[None]:
    with machine.use(machine.current() or machine.from_environment(os.environ)), logs_sent_to_dashboard():
        store.current().check_writable()
        yield


def _shown(made: Manual) -> State[Any]:
    """Who is champion now: as an artifact, and in the message of the run's last state."""
    entry = made.entry
    entries = open_ledger(entry.model_name).entries()
    again = " again" if entry.basis == "rollback" else ""
    sentence = f"{entry.model_name} version {entry.version} is champion{again} (entry {entry.number} of the ledger)."
    if made.problem is not None:
        sentence += f" MLflow's aliases follow with the next run: {made.problem}"
    rows = ["| entry | when, UTC | version | replaces | basis | actor | reason |", "|---|---|---|---|---|---|---|"]
    rows += [_row(found) for found in reversed(entries[-RECENT_ENTRIES:])]
    create_markdown_artifact(
        key=f"champion-{entry.model_name}", markdown="\n".join([sentence, "", *rows]), description=sentence
    )
    return Completed(message=sentence)


def _row(entry: LedgerEntry) -> str:
    cells = (
        entry.number,
        f"{entry.promoted_at:%Y-%m-%d %H:%M}",
        entry.version,
        entry.replaces_version or "-",
        entry.basis or "improve",
        entry.actor,
        entry.reason,
    )
    return "| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in cells) + " |"
