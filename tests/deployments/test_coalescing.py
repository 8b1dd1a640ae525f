"""Ticks of one deployment that pile up while no worker is there give one run."""

from pathlib import Path

import pytest

from tests.deployments import servers
from tests.flows.conftest import SMALL
from tests.processes import wait_for

NUM_TICKS = 20


@pytest.fixture
def piled_up(deployed: dict[str, str]) -> list[str]:
    """Runs of retrain-weekly, on practice images, that are due and that nobody has started; the first tick first."""
    place = f"/deployments/{servers.get(deployed, '/deployments/name/retrain/retrain-weekly')['id']}/schedules"
    often = {"schedule": {"interval": 1}, "active": True, "slug": "often", "parameters": SMALL}
    (schedule,) = servers.post(deployed, place, [often])

    def late() -> list[str]:
        found = servers.runs(deployed, "retrain-weekly", "SCHEDULED")
        return [run["id"] for run in found if run["state_name"] == "Late"]

    wait_for(lambda: len(late()) >= NUM_TICKS)
    # The ticks to come go with it, those that are due stay.
    servers.patch(deployed, f"{place}/{schedule['id']}", {"active": False})
    return late()


def test_after_an_outage_there_is_one_run(deployed: dict[str, str], piled_up: list[str]) -> None:
    first, *others = piled_up

    def ended(state: str) -> set[str]:
        return {run["id"] for run in servers.runs(deployed, "retrain-weekly", state)}

    with servers.worker(deployed, Path(deployed["PREFECT_HOME"]), "gpu") as worker:
        wait_for(lambda: set(others) <= ended("CANCELLED"), lambda: worker.poll() is None)
        wait_for(lambda: first in ended("RUNNING"), lambda: worker.poll() is None)
        wait_for(lambda: first in ended("COMPLETED"), lambda: first in ended("RUNNING") | ended("COMPLETED"))
    assert not servers.runs(deployed, "retrain-weekly", "FAILED", "CRASHED", "PENDING", "RUNNING")
