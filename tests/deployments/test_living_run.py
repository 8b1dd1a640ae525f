"""A run that lives is left alone for longer than a dead one is waited for."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from deployments.apply import apply
from tests import servers
from tests.processes import wait_for

HEARTBEAT_SECONDS = 30
"""Prefect takes no less."""

LIMIT_SECONDS = 60
RUN = """
import time
from prefect import flow, tags
@flow
def run():
    time.sleep(100)
with tags("cifar10"):
    run()
"""


@pytest.mark.service
@pytest.mark.timeout(600)
def test_signs_of_life_keep_a_run_from_being_marked_as_crashed(tmp_path: Path) -> None:
    with servers.server(tmp_path, PREFECT_FLOWS_HEARTBEAT_FREQUENCY=str(HEARTBEAT_SECONDS)) as environ:
        with temporary_settings({PREFECT_API_URL: environ["PREFECT_API_URL"], PREFECT_HOME: tmp_path}):
            apply(environ, device="auto", at_most=timedelta(seconds=LIMIT_SECONDS))
        with subprocess.Popen([sys.executable, "-c", RUN], env=environ, stderr=subprocess.DEVNULL) as process:
            try:
                assert process.wait(timeout=400) == 0
            finally:
                process.kill()
        no_deployments = {"flow_runs": {"deployment_id": {"is_null_": True}}}
        (run,) = servers.post(environ, "/flow_runs/filter", no_deployments)
        states = [state["type"] for state in servers.get(environ, f"/flow_run_states/?flow_run_id={run['id']}")]
        heartbeats = {"filter": {"event": {"name": ["prefect.flow-run.heartbeat"]}}}
        seen = wait_for(lambda: servers.post(environ, "/events/filter", heartbeats)["events"])
    assert run["state"]["type"] == "COMPLETED", run["state"]["message"]
    assert "CRASHED" not in states
    assert len(seen) >= LIMIT_SECONDS // HEARTBEAT_SECONDS
