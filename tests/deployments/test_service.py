"""The service as a team has it, from the deployments' files, on this machine: used by its schedule, from the command
line, from the dashboard, and by a kill.

One story on one service; each test says what it needs of the one before.
"""

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from tests import browser
from tests.deployed import DeployedService, running
from tests.flows.conftest import SMALL
from tests.processes import RUN_SECONDS, find_descendant, wait_for
from tests.servers import POLL_SECONDS

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]

MANUAL = "retrain/retrain-manual"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedService]:
    with running(tmp_path_factory.mktemp("service")) as found:
        yield found


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go; a person who wants to look at them names a folder."""
    named = os.environ.get("SCREENSHOTS")
    return Path(named) if named else tmp_path_factory.mktemp("screenshots")


def test_a_tick_of_the_schedule_trains_and_promotes(service: DeployedService) -> None:
    deployment = service.deployment("retrain/retrain-weekly")
    with service.worker("one", "gpu"):
        # The server looks at the schedules once a minute, and makes runs of ticks to come alone.
        soon = datetime.now(UTC) + timedelta(seconds=70)
        schedule = service.post(
            f"/deployments/{deployment['id']}/schedules",
            [
                {
                    "schedule": {"interval": 86400, "anchor_date": soon.isoformat()},
                    "active": True,
                    "parameters": SMALL,
                }
            ],
        )[0]
        after = soon - timedelta(seconds=1)
        run = wait_for(lambda: service.last_run(deployment, after), seconds=300, every=POLL_SECONDS)
        run = service.finished(run["id"])
        service.delete(f"/deployments/{deployment['id']}/schedules/{schedule['id']}")
    assert run["state"]["type"] == "COMPLETED", run["state"]["message"]
    assert run["auto_scheduled"]
    assert run["name"] == f"weekly {soon:%Y-%m-%d} tutorial-64-logits seed 1"
    assert service.summary(run)["outcome"] == "promoted"
    assert any(re.fullmatch("data:[0-9a-f]{12}", tag) for tag in run["tags"])
    assert "practice-cnn:v1" in run["tags"]


def test_another_worker_takes_it_from_the_store_for_the_command_line(service: DeployedService) -> None:
    parameters = [f"--param={name}={json.dumps(value)}" for name, value in SMALL.items()]
    with service.worker("two", "gpu"):
        service.call("-m", "prefect", "--no-prompt", "deployment", "run", MANUAL, *parameters, "--watch")
    run = service.last_run(service.deployment(MANUAL))
    assert run is not None
    summary = service.summary(run)
    assert summary["outcome"] == "unchanged"
    for name in ("ingest", "validate", "preprocess", "train", "evaluate"):
        assert summary["steps"][name]["outcome"] == "cached"


def test_a_person_fills_in_the_form(service: DeployedService, pictures: Path) -> None:
    deployment = service.deployment(MANUAL)
    with service.worker("two", "gpu"), browser.opened(service.url, pictures) as dashboard:
        dashboard.sign_in(service.environment["PREFECT_API_AUTH_STRING"])
        dashboard.open(f"/deployments/deployment/{deployment['id']}/run", "source")
        dashboard.fill("source", "synthetic")
        dashboard.fill("Synthetic Images", "480", section="ingest")
        dashboard.choose("Recipe", "tutorial-64-logits", section="train")
        dashboard.fill("Seed", "2", section="train")
        dashboard.fill("Corruption Images", "0", section="evaluate")
        dashboard.fill("Epochs", "0", section="train")
        dashboard.press("Submit")
        dashboard.wait_for("0 is not valid")
        dashboard.screenshot("form-refused", height=5000)
        dashboard.fill("Epochs", "1", section="train")
        before = datetime.now(UTC) - timedelta(seconds=1)
        dashboard.press("Submit")
        run = wait_for(lambda: service.last_run(deployment, after=before), every=POLL_SECONDS)
        run = service.finished(run["id"])
        assert run["state"]["type"] == "COMPLETED", run["state"]["message"]
        summary = service.summary(run)
        assert (summary["training"]["seed"], summary["model_version"]) == (2, 2)

        dashboard.open("/dashboard", "Flow Runs")
        dashboard.screenshot("dashboard")
        dashboard.open(f"/runs/flow-run/{run['id']}", run["name"])
        dashboard.wait_for("train")
        dashboard.screenshot("run", height=1400)
        dashboard.click("Artifacts")
        dashboard.wait_for("report-summary")
        dashboard.screenshot("artifacts", height=1200)
        found = service.artifact(run, "report-summary")
        dashboard.open(f"/artifacts/artifact/{found['id']}", summary["verdict"][:30])
        dashboard.screenshot("verdict", height=1400)
        assert dashboard.foreign == []
        dashboard.follow(service.processes.reports_url)
        dashboard.wait_for(run["name"])
        dashboard.screenshot("report")


def test_a_worker_killed_in_training_is_noticed_and_the_next_run_goes_on(service: DeployedService) -> None:
    # Epochs of seconds, as real ones are: what one leaves is in the bucket before the next is over.
    train = {**SMALL["train"], "epochs": 15, "seed": 3}
    parameters = {**SMALL, "ingest": {"synthetic_images": 12000}, "train": train}
    with service.worker("three", "gpu") as worker:
        run = service.start(MANUAL, parameters)
        leader = psutil.Process(worker.process.pid)
        trainer = wait_for(lambda: find_descendant("cnn_model", "train", of=leader.pid), leader.is_running, RUN_SECONDS)
        wait_for(lambda: [name for name in service.names("checkpoints") if name.endswith(".json")], trainer.is_running)
        assert service.active_slots("gpu") == 1
        for process in [leader, *leader.children(recursive=True)]:
            process.kill()
    crashed = service.finished(run)
    assert (crashed["state"]["type"], crashed["state"]["name"]) == ("CRASHED", "Crashed")
    assert "No sign of life" in crashed["state"]["message"]
    wait_for(lambda: service.active_slots("gpu") == 0, every=POLL_SECONDS)

    with service.worker("four", "gpu"):
        again = service.finished(service.start(MANUAL, parameters))
    assert again["state"]["type"] == "COMPLETED", again["state"]["message"]
    assert any(re.search(r"training goes on after epoch \d+ of 15", line) for line in service.log(again))
