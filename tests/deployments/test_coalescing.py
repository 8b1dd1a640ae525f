"""Ticks of one deployment that pile up while no worker is there give one run."""

from pathlib import Path

import pytest
import yaml

from deployments import pools
from tests import servers
from tests.flows.conftest import SMALL
from tests.processes import RUN_SECONDS, wait_for

NUM_TICKS = 8
"""Not more: thirty runs that begin at once bring a server on SQLite to a stand for a minute."""

MOST_TICKS = 100
"""So many of a deployment Prefect's scheduler plans ahead, for somebody to find late after an outage."""


def test_the_pools_let_in_all_that_an_outage_leaves() -> None:
    """Those that it does not let in beside the first run after it, instead of being cancelled."""
    for pool in pools.load("process"):
        assert pool.concurrency_limit is None or pool.concurrency_limit >= MOST_TICKS


def test_what_a_schedule_starts_is_cancelled_beside_another() -> None:
    for deployment in yaml.safe_load((pools.FOLDER.parent / "prefect.yaml").read_text())["deployments"]:
        strategy = deployment["concurrency_limit"]["collision_strategy"]
        assert strategy == ("CANCEL_NEW" if deployment.get("schedules") else "ENQUEUE"), deployment["name"]


@pytest.fixture
def piled_up(deployed: dict[str, str]) -> set[str]:
    """Runs of retrain-weekly, on practice images, that are due and that nobody has started."""
    place = f"/deployments/{servers.get(deployed, '/deployments/name/retrain/retrain-weekly')['id']}/schedules"
    often = {"schedule": {"interval": 4}, "active": True, "slug": "often", "parameters": SMALL}
    (schedule,) = servers.post(deployed, place, [often])

    def late() -> set[str]:
        found = servers.runs(deployed, "retrain-weekly", "SCHEDULED")
        return {run["id"] for run in found if run["state_name"] == "Late"}

    wait_for(lambda: len(late()) >= NUM_TICKS, every=servers.POLL_SECONDS)
    # The ticks to come go with it, those that are due stay.
    servers.patch(deployed, f"{place}/{schedule['id']}", {"active": False})
    return late()


@pytest.mark.service
@pytest.mark.timeout(900)
def test_after_an_outage_there_is_one_run(deployed: dict[str, str], piled_up: set[str]) -> None:
    def now(*states: str) -> set[str]:
        return {run["id"] for run in servers.runs(deployed, "retrain-weekly", *states)} & piled_up

    with servers.worker(deployed, Path(deployed["PREFECT_HOME"]), "gpu") as worker:

        def only_one_is_left() -> bool:
            return len(now("CANCELLED")) == len(piled_up) - 1

        # Which one is left to chance: the worker asks for all of them at once.
        for condition in (only_one_is_left, lambda: now("COMPLETED")):
            wait_for(condition, lambda: worker.poll() is None, RUN_SECONDS, servers.POLL_SECONDS)
    assert len(now("COMPLETED")) == 1
    assert len(now("CANCELLED")) == len(piled_up) - 1
