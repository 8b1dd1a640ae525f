"""A run that is started again, as by the dashboard's Retry, or by an engine that starts a job twice."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry

from flows.retraining import retrain
from tasks import machine, store
from tasks.machine import Machine
from tasks.report.summary import Summary
from tests.flows.conftest import SMALL, FinishedRun


def started_again(summary: Summary, folder: Path, **parameters: Any) -> Summary:
    """Run it a second time under the same id, as Prefect's worker does."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(summary.run_id), AwaitingRetry(), force=True)
        run = client.read_flow_run(UUID(summary.run_id))
    with machine.use(Machine(store=folder)):
        again = run_flow(retrain, flow_run=run, parameters={**SMALL, **parameters})
    assert isinstance(again, Summary)
    return again


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_that_has_ended_keeps_what_it_came_to(
    filled_store: Path, first_run: FinishedRun, caplog: pytest.LogCaptureFixture
) -> None:
    folder = filled_store / "runs" / first_run.summary.run_id
    before = contents(folder)
    again = started_again(first_run.summary, filled_store)
    assert again == first_run.summary
    assert again.outcome == "promoted"
    assert contents(folder) == before
    assert "This run has ended before and stays as it is" in caplog.text
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(again.run_id)).state
    assert state is not None
    assert (state.type, state.message) == ("COMPLETED", first_run.summary.verdict)


@pytest.mark.parametrize("changed", [{"outcome": "failed"}, {"bundle": None}])
def test_a_run_that_came_to_no_end_goes_on(filled_store: Path, first_run: FinishedRun, changed: dict[str, Any]) -> None:
    before = first_run.summary.model_copy(update=changed)
    with machine.use(Machine(store=filled_store)):
        store.current().shared("runs").write(f"{before.run_id}/summary.json", before.model_dump_json())
    again = started_again(before, filled_store)
    assert (again.outcome, again.run_id) == ("unchanged", before.run_id)
    assert again.bundle is not None
