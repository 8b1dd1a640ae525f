"""A promotion that waits for a person, on a real server: the run is suspended, an answer goes on with it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks import machine
from tasks.ledger import LedgerEntry, open_ledger
from tasks.machine import Machine
from tasks.report.summary import Summary
from tests import servers
from tests.flows.conftest import SMALL
from tests.processes import RUN_SECONDS, end_tree, find_descendant, wait_for

NAME = "practice-cnn"
DEPLOYMENT = "retrain/retrain-approved"

SERVE = """
from prefect.flows import EntrypointType
from flows.retraining import retrain
retrain.serve(name="retrain-approved", entrypoint_type=EntrypointType.MODULE_PATH)
"""
EASY = {"require_approval": True, "margin": 0.5, "classes": "report", "calibration": "report"}
"""A rule by which any model of these few images is promoted."""


@dataclass(frozen=True)
class ServedFlow:
    """A server, and a process that starts runs for it.

    Attributes:
        environ: Of the server's clients.
        runner: It has a child for each run that is at work.
    """

    environ: dict[str, str]
    runner: "subprocess.Popen[bytes]"

    @property
    def store(self) -> Path:
        return Path(self.environ["RETRAINING_STORE"])

    def start(self, seed: int, **register: Any) -> str:
        """Start a run that trains with a seed and registers by `EASY`, but for what is given; its id."""
        parameters = {**SMALL, "train": {**SMALL["train"], "seed": seed}, "register": {**EASY, **register}}
        return servers.start_run(self.environ, DEPLOYMENT, parameters)

    def run(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = servers.get(self.environ, f"/flow_runs/{run_id}")
        return found

    def wait(self, run_id: str, *states: str) -> dict[str, Any]:
        """The run once it is in one of the states, or in one that is final."""

        def there() -> dict[str, Any] | None:
            state = (found := self.run(run_id))["state"]
            return found if state["type"] in servers.ENDED or state["name"] in states else None

        return wait_for(there, lambda: self.runner.poll() is None, RUN_SECONDS, servers.POLL_SECONDS)

    def question(self, run_id: str) -> str:
        """The key of the answer that a run waits for; empty where it waits for none."""
        return str(self.run(run_id)["state"]["state_details"]["pause_key"] or "")

    def answer(self, run_id: str, **answer: str) -> dict[str, Any]:
        """What the dashboard sends; the server's reply."""
        reply: dict[str, Any] = servers.post(self.environ, f"/flow_runs/{run_id}/resume", {"run_input": answer})
        return reply

    def events(self, run_id: str) -> list[str]:
        """Those of verdicts that the run has emitted, the first one first."""
        body = {"filter": {"event": {"prefix": ["retraining."]}, "order": "ASC"}, "limit": 50}
        found = servers.post(self.environ, "/events/filter", body)["events"]
        return [event["event"] for event in found if run_id in json.dumps(event["related"])]

    def summary(self, run_id: str) -> Summary:
        return Summary.model_validate_json((self.store / "runs" / run_id / "summary.json").read_bytes())

    def champion(self) -> LedgerEntry | None:
        with machine.use(Machine(store=self.store)):
            return open_ledger(NAME).champion()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedFlow]:
    folder = tmp_path_factory.mktemp("service")
    with servers.server(folder, PREFECT_RUNNER_POLL_FREQUENCY="1") as environ, (folder / "runner.log").open("w") as log:
        runner = subprocess.Popen([sys.executable, "-c", SERVE], stdout=log, stderr=log, env=environ, cwd=servers.ROOT)
        try:
            wait_for(
                lambda: servers.request(environ, "GET", f"/deployments/name/{DEPLOYMENT}").is_success,
                lambda: runner.poll() is None,
                every=servers.POLL_SECONDS,
            )
            yield ServedFlow(environ, runner)
        finally:
            end_tree(runner)


@pytest.mark.timeout(1800)
def test_a_run_waits_without_a_process_and_a_person_promotes(service: ServedFlow) -> None:
    run_id = service.start(seed=1)
    state = service.wait(run_id, "Suspended")["state"]
    assert state["name"] == "Suspended", state["message"]
    wait_for(lambda: find_descendant("-m", "prefect.flow_engine", of=service.runner.pid) is None)
    waiting = service.summary(run_id)
    assert waiting.outcome == "waiting"
    assert waiting.verdict.startswith("Waits for approval until ")
    assert service.champion() is None
    assert waiting.report is not None
    assert waiting.verdict in Path(waiting.report).read_text()

    for nonsense in ({"decision": "maybe", "name": "Jane Doe", "reason": "x"}, {"decision": "promote", "name": " "}):
        assert service.answer(run_id, **nonsense)["status"] == "REJECT"
    assert service.run(run_id)["state"]["name"] == "Suspended"

    assert service.answer(run_id, decision="promote", name="Jane Doe", reason="it is needed")["status"] == "ACCEPT"
    ended = service.wait(run_id)
    assert ended["state"]["name"] == "Completed", ended["state"]["message"]
    promoted, champion = service.summary(run_id), service.champion()
    assert promoted.outcome == "promoted"
    assert promoted.verdict.endswith("Approved by Jane Doe: it is needed.")
    assert champion is not None
    assert (champion.actor, champion.reason, champion.run_id) == ("Jane Doe", promoted.verdict, run_id)
    assert promoted.run_id == waiting.run_id
    assert promoted.steps["train"] == waiting.steps["train"]
    assert promoted.bundle is not None

    # What a person sees of it on the dashboard.
    assert ended["name"].startswith("approved 20")
    assert ended["state"]["message"] == promoted.verdict
    assert promoted.dataset is not None
    assert set(ended["tags"]) == {f"data:{promoted.dataset.digest[:12]}", f"{NAME}:v1", "promoted"}
    told = ["retraining.waiting", "retraining.promoted"]
    wait_for(lambda: service.events(run_id) == told, every=servers.POLL_SECONDS)


@pytest.mark.timeout(1800)
def test_a_person_refuses(service: ServedFlow) -> None:
    run_id = service.start(seed=2, margin=0.49)
    before = service.champion()
    assert service.wait(run_id, "Suspended")["state"]["name"] == "Suspended"
    # Resumed too early, as by an automation that is set to fewer hours, it asks again.
    service.answer(run_id)
    wait_for(lambda: service.question(run_id).endswith("-2"), seconds=RUN_SECONDS, every=servers.POLL_SECONDS)
    service.answer(run_id, decision="refuse", name="Jane Doe", reason="not on a Friday.")
    assert service.wait(run_id)["state"]["name"] == "Completed"
    summary = service.summary(run_id)
    assert summary.outcome == "refused"
    assert summary.verdict.startswith("Not promoted: Jane Doe refused it: not on a Friday. ")
    assert service.champion() == before
    assert json.loads((service.store / "runs" / run_id / "summary.json").read_text())["decision"]["approval"] == {
        "promote": False,
        "actor": "Jane Doe",
        "reason": "not on a Friday.",
        "hours": 24.0,
    }


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ({}, "Not promoted: nobody approved it within 0.0001 hours. "),
        (
            {"decision": "promote", "name": "Jane Doe", "reason": "late"},
            "Not promoted: nobody approved it within 0.0001 hours; Jane Doe said promote at ",
        ),
    ],
)
def test_without_an_answer_in_time_it_is_refused(service: ServedFlow, answer: dict[str, str], verdict: str) -> None:
    run_id = service.start(seed=2, margin=0.48 if answer else 0.47, approval_hours=0.0001)
    assert service.wait(run_id, "Suspended")["state"]["name"] == "Suspended"
    service.answer(run_id, **answer)
    assert service.wait(run_id)["state"]["name"] == "Completed"
    assert service.summary(run_id).verdict.startswith(verdict)
