"""Each automation fires, on a server where all of them wait for ten seconds at most."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from deployments.apply import apply
from tests import servers
from tests.files import files_with
from tests.processes import wait_for

SECRET = "hunter2-in-the-path"


class Channel(ThreadingHTTPServer):
    """A channel of a team, as Slack has them: takes `{"text": ...}`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.texts: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{SECRET}"

    def heard(self, *words: str) -> str | None:
        """The first text with all the words."""
        return next((text for text in list(self.texts) if all(word in text for word in words)), None)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        right = self.headers["Content-Type"] == "application/json" and self.path == f"/{SECRET}"
        if right:
            assert isinstance(self.server, Channel)
            self.server.texts.append(json.loads(body)["text"])
        self.send_response(200 if right else 400)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def channel() -> Iterator[Channel]:
    with Channel() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory, channel: Channel) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("impatient")
    with servers.server(folder, PREFECT_FLOWS_HEARTBEAT_FREQUENCY="30") as environ:
        own = {PREFECT_API_URL: environ["PREFECT_API_URL"], PREFECT_HOME: folder}
        with temporary_settings(own):
            apply({**environ, "RETRAINING_NOTIFY_URL": channel.url}, device="auto", at_most=timedelta(seconds=10))
        yield environ


def event(kind: str, resource: str, **payload: Any) -> dict[str, Any]:
    """An event, as a run emits it."""
    return {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": kind,
        "resource": {"prefect.resource.id": resource},
        "related": [],
        "payload": payload,
    }


@contextmanager
def switched_off(environ: dict[str, str], name: str) -> Iterator[None]:
    """Without an automation: at ten seconds a busy machine is taken for a dead one."""
    found = servers.post(environ, "/automations/filter", {"automations": {"name": {"any_": [name]}}})
    (automation,) = found
    url = f"/automations/{automation['id']}"
    servers.patch(environ, url, {"enabled": False})
    try:
        yield
    finally:
        servers.patch(environ, url, {"enabled": True})


def start_run(environ: dict[str, str], statement: str) -> "subprocess.Popen[bytes]":
    """A run with the project's tag, in a process of its own."""
    lines = ["import time", "from prefect import flow, tags", "@flow", "def run():", f"    {statement}"]
    code = "\n".join([*lines, "with tags('cifar10'):", "    run()"])
    return subprocess.Popen([sys.executable, "-c", code], env=environ, stderr=subprocess.DEVNULL)


def test_no_success_is_told_where_there_never_was_one(impatient: dict[str, str], channel: Channel) -> None:
    wait_for(lambda: channel.heard("retrain-weekly, no success"))


def test_a_killed_run_is_crashed_and_told(impatient: dict[str, str], channel: Channel) -> None:
    body = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
    process = start_run(impatient, "time.sleep(600)")
    (run,) = wait_for(lambda: servers.post(impatient, "/flow_runs/filter", body), lambda: process.poll() is None)
    heartbeat = {"filter": {"event": {"name": ["prefect.flow-run.heartbeat"]}}}
    wait_for(lambda: servers.post(impatient, "/events/filter", heartbeat)["events"])
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: servers.get(impatient, f"/flow_runs/{run['id']}")["state_name"] == "Crashed")
    text = wait_for(lambda: channel.heard(run["name"]))
    assert text.startswith(f"{run['name']}, Crashed: No sign of life for five minutes")
    assert text.endswith(f"/runs/flow-run/{run['id']}")


def test_a_run_that_never_starts_is_crashed(impatient: dict[str, str]) -> None:
    deployment = servers.get(impatient, "/deployments/name/retrain/retrain-manual")
    pending = {"state": {"type": "PENDING"}}
    run = servers.post(impatient, f"/deployments/{deployment['id']}/create_flow_run", pending)
    wait_for(lambda: servers.get(impatient, f"/flow_runs/{run['id']}")["state"]["type"] == "CRASHED")
    message = servers.get(impatient, f"/flow_runs/{run['id']}")["state"]["message"]
    assert message == "Pending for an hour: its worker was gone before it began."


def test_a_failed_run_is_told_once_with_the_first_line_of_its_cause(
    impatient: dict[str, str], channel: Channel
) -> None:
    process = start_run(impatient, "raise ValueError('the \"first\" line\\nthe second')")
    process.wait()
    text = wait_for(lambda: channel.heard("ValueError"))
    assert 'ValueError: the "first" line http' in text
    assert "second" not in text
    assert sum("ValueError" in other for other in channel.texts) == 1


def test_a_refused_promotion_is_told(impatient: dict[str, str], channel: Channel) -> None:
    sentence = 'Not promoted: "worse" by 2 points.'
    refused = event(
        "retraining.refused",
        "retraining.model.cifar10-cnn",
        sentence=sentence,
        version=3,
        run_name="retrain-weekly 2026-11-21",
    )
    servers.post(impatient, "/events", [refused])
    text = wait_for(lambda: channel.heard("refused"))
    assert text == f"retrain-weekly 2026-11-21, refused: {sentence}"


def test_drops_that_arrive_together_start_one_run(impatient: dict[str, str]) -> None:
    def triggered() -> list[dict[str, Any]]:
        found = servers.runs(impatient, "retrain-nightly", "SCHEDULED")
        return [run for run in found if run["created_by"]["type"] == "AUTOMATION"]

    def arrived(*names: str) -> None:
        drops = [event("retraining.drop.arrived", f"retraining.drop.{name}", name=name) for name in names]
        servers.post(impatient, "/events", drops)

    arrived("berlin", "paris", "rome")
    (run,) = wait_for(triggered)
    # The event that comes after the ten seconds starts the next one: by then those before would have.
    wait_for(lambda: datetime.now(UTC) > datetime.fromisoformat(run["expected_start_time"]) + timedelta(seconds=2))
    assert len(triggered()) == 1
    arrived("oslo")
    wait_for(lambda: len(triggered()) == 2)


def test_a_run_that_nobody_answers_goes_on_with_the_defaults(impatient: dict[str, str], tmp_path: Path) -> None:
    deployment = {
        "name": "waiting",
        "entrypoint": "tests.deployments.waiting:waiting",
        "tags": ["cifar10"],
        "pull": [{"prefect.deployments.steps.set_working_directory": {"directory": str(servers.ROOT)}}],
        "work_pool": {"name": "cpu"},
    }
    (tmp_path / "prefect.yaml").write_text(json.dumps({"name": "waiting", "deployments": [deployment]}))
    servers.prefect(impatient, "deploy", "--prefect-file", str(tmp_path / "prefect.yaml"), "--all")
    with switched_off(impatient, "retraining: crashed runs"), servers.worker(impatient, tmp_path, "cpu") as worker:
        servers.prefect(impatient, "deployment", "run", "waiting/waiting")
        (run,) = wait_for(lambda: servers.runs(impatient, "waiting", "PAUSED"), lambda: worker.poll() is None)
        (run,) = wait_for(lambda: servers.runs(impatient, "waiting", "COMPLETED"), lambda: worker.poll() is None)
    assert run["state"]["message"] == "refuse"


def test_after_a_success_its_absence_is_told_again(impatient: dict[str, str], channel: Channel) -> None:
    deployment = servers.get(impatient, "/deployments/name/retrain/retrain-weekly")
    run = servers.post(impatient, f"/deployments/{deployment['id']}/create_flow_run", {"state": {"type": "PENDING"}})
    for state in ("RUNNING", "COMPLETED"):
        servers.post(impatient, f"/flow_runs/{run['id']}/set_state", {"state": {"type": state}})
    before = sum("no success" in text for text in channel.texts)
    wait_for(lambda: sum("no success" in text for text in channel.texts) > before)


def test_the_url_is_in_no_log_and_no_table(impatient: dict[str, str], channel: Channel) -> None:
    wait_for(lambda: channel.texts)
    home = Path(impatient["PREFECT_HOME"])
    assert files_with(home, "retrain-weekly")
    assert files_with(home, SECRET) == []
