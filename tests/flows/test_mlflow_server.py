"""The flow with an MLflow server on PostgreSQL, as a team has it."""

import logging
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from flows import observer
from flows.execution import StepFailedError
from flows.retraining import retrain
from tasks import machine
from tasks.machine import Machine
from tasks.progress import Progress
from tasks.report.summary import Summary
from tasks.values.execution import RunInfo, StepName, StepRecord
from tests.flows.conftest import SMALL
from tests.mlflow_server import MlflowServer

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]


def retrain_with(server: MlflowServer, store: Path, seed: int, **register: Any) -> Summary:
    train = {**SMALL["train"], "seed": seed}
    with machine.use(Machine(store=store, tracking_uri=server.uri)):
        summary: Summary = retrain(**{**SMALL, "train": train, "register": register})
        return summary


class Away:
    """Takes a server away when the step train begins: the flow's door found it at work."""

    def __init__(self, server: MlflowServer) -> None:
        self._server = server

    def run_started(self, info: RunInfo, warning: str | None) -> None:
        pass

    def step_started(self, step: StepName) -> None:
        if step == "train":
            self._server.kill()

    def step_progressed(self, step: StepName, progress: Progress) -> None:
        pass

    def step_ended(self, record: StepRecord) -> None:
        pass


class Restart(logging.Handler):
    """Starts a server anew as soon as a task run says that it does not answer."""

    def __init__(self, server: MlflowServer) -> None:
        super().__init__()
        self._server = server
        self.message = ""

    def emit(self, record: logging.LogRecord) -> None:
        if not self.message and "does not answer" in record.getMessage():
            self.message = record.getMessage()
            self._server.start()


def test_two_models_one_after_the_other_and_a_server_that_goes_away(
    empty_server: MlflowServer, prefect_server: None, tmp_path: Path
) -> None:
    client = MlflowClient(empty_server.uri, empty_server.uri)
    first = retrain_with(empty_server, tmp_path / "store", seed=1)
    assert (first.outcome, first.model_version) == ("promoted", 1)
    assert not (tmp_path / "store" / "mlflow.db").exists()

    restart, logger = Restart(empty_server), logging.getLogger("prefect.task_runs")
    logger.addHandler(restart)
    try:
        with observer.observe_with(Away(empty_server)):
            second = retrain_with(
                empty_server, tmp_path / "store", seed=2, policy="force", actor="Jane Doe", reason="to see both"
            )
    finally:
        logger.removeHandler(restart)
    assert f"RegistryUnreachableError('The MLflow server {empty_server.uri} does not answer" in restart.message
    assert (second.outcome, second.model_version) == ("promoted", 2)

    model = client.get_registered_model("practice-cnn")
    assert {alias: int(version) for alias, version in model.aliases.items()} == {
        "champion": 2,
        "previous": 1,
        "challenger": 2,
    }
    assert len(client.search_model_versions("name = 'practice-cnn'")) == 2
    for summary, seed in ((first, 1), (second, 2)):
        assert summary.metrics is not None
        version = client.get_model_version("practice-cnn", str(summary.model_version))
        run = client.get_run(version.run_id)
        assert (run.info.status, run.data.params["seed"]) == ("FINISHED", str(seed))
        assert run.data.metrics["test_accuracy"] == pytest.approx(summary.metrics.accuracy.value)
        assert version.tags["verdict"] == "promoted"
        assert version.tags["verdict_sentence"] == summary.verdict
        assert {"dataset_digest", "splits_digest", "model_digest", "model_sha256", "code_version"} <= set(version.tags)
        logged = client.get_logged_model(version.tags["logged_model_id"])
        figures = {(metric.key, metric.dataset_name): metric.value for metric in logged.metrics}
        assert figures["test_accuracy", "synthetic-test"] == pytest.approx(summary.metrics.accuracy.value)
        assert ("loss", "synthetic") in figures

    empty_server.postgres.stop()
    try:
        with pytest.raises(StepFailedError, match=r"register failed \(RegistryUnreachableError\): ") as caught:
            retrain_with(empty_server, tmp_path / "store", seed=3)
    finally:
        empty_server.postgres.start()
    assert caught.value.summary is not None
    assert caught.value.summary.steps["ingest"].outcome == "not_run"

    again = retrain_with(empty_server, tmp_path / "store", seed=2)
    assert (again.outcome, again.model_version) == ("unchanged", 2)
