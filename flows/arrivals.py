"""Watches for labelled drops: each that has arrived is told of by an event, which starts whatever waits for it."""

import logging
import os
import time
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from prefect import State, flow
from prefect.client.orchestration import get_client
from prefect.events import emit_event
from prefect.events.filters import EventFilter, EventIDFilter
from prefect.states import Completed
from pydantic import Field

from flows import dashboard
from flows.logs import logs_sent_to_dashboard
from tasks import machine
from tasks.addresses import Address
from tasks.errors import TransientError
from tasks.ingest.announcing import Announcements, Arrival

logger = logging.getLogger(__name__)

EVENT = "retraining.drop.arrived"

PATIENCE_SECONDS = 60
"""For the server to have an event; it writes them every few seconds."""

# What it is for stands below `Args:`, where Prefect's form takes it from.
MinAge = Annotated[float, Field(gt=0, le=10_080)]


@flow(name="watch", flow_run_name="watch for drops")
@dashboard.failing_in_words
def watch(drops: Address, drop_min_age_minutes: MinAge | None = None) -> State[Any]:
    """Tell of each drop that is complete and that nobody was told of yet, by the event `retraining.drop.arrived`.

    Args:
        drops: The same as `ingest.drops` of the runs that take them: a path, a file:// URL or a URL such as
            s3://bucket/prefix.
        drop_min_age_minutes: The same as `ingest.drop_min_age_minutes` of those runs; left out, a drop needs its
            _SUCCESS.

    Raises:
        ConfigurationError: if the place is none, or cannot be read.
        TransientError: if it cannot be reached, or the server did not get an event.
        StoreError: if the store cannot be written.
    """
    with machine.use(machine.current() or machine.from_environment(os.environ)), logs_sent_to_dashboard():
        announcements = Announcements(drops)
        due = announcements.due(drop_min_age_minutes)
        if due:
            # Killed in between, the next run tells of them again: better twice than never.
            _wait_until_there([_emit(arrival) for arrival in due])
            announcements.tell_of(due)
        names = ", ".join(arrival.name for arrival in due)
        return Completed(message=f"New: {names}." if due else "No new drop.")


def _emit(arrival: Arrival) -> UUID:
    logger.info("The drop %s has arrived.", arrival.place)
    event = emit_event(
        EVENT,
        resource={
            "prefect.resource.id": f"retraining.drop.{arrival.name}",
            "prefect.resource.name": arrival.name,
        },
        payload={"name": arrival.name, "place": arrival.place},
    )
    if event is None:
        raise _lost(1)
    return event.id


def _wait_until_there(events: Sequence[UUID]) -> None:
    """See that the server has them: Prefect emits in the background, and says nothing of what it could not deliver.

    Raises:
        TransientError: if it does not get them.
    """
    wanted = EventFilter(id=EventIDFilter(id=list(events)))
    deadline = time.monotonic() + PATIENCE_SECONDS
    with get_client(sync_client=True) as client:
        while (found := client.read_events(wanted, limit=1).total) < len(events):
            if time.monotonic() > deadline:
                raise _lost(len(events) - found)
            time.sleep(0.5)


def _lost(number: int) -> TransientError:
    return TransientError(
        f"Prefect's server did not get {number} of the events {EVENT}. They are emitted again by the next run; see "
        "whether the server takes websockets at /api/events/in."
    )
