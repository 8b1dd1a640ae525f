"""Two machines that share a store in a bucket and MLflow, and nothing else: processes with caches of their own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prefect import flow, task
from prefect.cache_policies import INPUTS

from flows import results
from flows.execution import StepFailedError, Steps
from flows.observer import LogObserver
from tasks import machine, policies, store
from tasks.errors import TransientError
from tasks.machine import Machine
from tasks.store import Reference
from tests.processes import without_settings
from tests.s3 import started
from tests.unit.ingest.places import BucketPlace
from tests.unit.test_store import publish

if TYPE_CHECKING:
    from moto.server import ThreadedMotoServer

URL = "s3://team/incoming/drops/store"

SMALL = [
    "--source=synthetic",
    "--ingest.synthetic-images=480",
    "--train.recipe=tutorial-64-logits",
    "--train.epochs=1",
    "--evaluate.corruption-images=0",
]

CACHED = ("ingest", "validate", "preprocess", "train", "evaluate")

Command = Callable[..., str]


@pytest.fixture
def on(bucket: BucketPlace, tmp_path: Path) -> Command:
    """Runs a command line on one of the machines; gives what it prints."""

    def run(cache: str, module: str, *options: str) -> str:
        environ = {
            **without_settings(),
            "HOME": str(tmp_path),
            "RETRAINING_STORE": URL,
            "RETRAINING_CACHE": str(tmp_path / cache),
            "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        }
        command = [sys.executable, "-m", module, *options]
        done = subprocess.run(command, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def summary_of(bucket: BucketPlace, output: str) -> dict[str, Any]:
    """The summary in the bucket, beside the report that the last line names."""
    report = output.splitlines()[-1].removeprefix("s3://team/incoming/drops/")
    files = bucket.files()
    assert b"<html" in files[report]
    summary: dict[str, Any] = json.loads(files[report.replace("report.html", "summary.json")])
    return summary


@pytest.mark.timeout(900)
def test_a_run_on_the_second_machine_takes_the_first_ones_steps_from_the_cache(
    on: Command, bucket: BucketPlace, tmp_path: Path
) -> None:
    first = summary_of(bucket, on("first", "flows.retraining", *SMALL))
    second = summary_of(bucket, on("second", "flows.retraining", *SMALL))

    assert (first["outcome"], second["outcome"]) == ("promoted", "unchanged")
    assert {name: second["steps"][name]["outcome"] for name in CACHED} == dict.fromkeys(CACHED, "cached")
    assert second["model_version"] == first["model_version"] == 1
    assert second["bundle"]["archive"] == f"{URL}/bundles/practice-cnn/version-000001.tar.gz"
    # The second machine's report tells of the first one's run, and its bundle is the first one's, verified.
    page = bucket.files()[f"store/runs/{second['run_id']}/report.html"].decode()
    assert first["run_name"] in page
    own = tmp_path / "second" / "s3" / "team" / "incoming" / "drops" / "store"
    assert (own / "bundles" / "practice-cnn" / "version-000001.tar.gz").exists()

    (entry,) = json.loads(on("third", "flows.promotion", "history", "--json"))
    assert (entry["version"], entry["model_name"]) == (1, "practice-cnn")
    assert json.loads(on("third", "flows.promotion", "verify", "--json"))["faults"] == []


RUNS: list[str] = []
"""What the step below has done."""


# Tried again at once; the pipeline's steps wait ten seconds.
@task(
    name="train", **{**policies.cached(distributions=(), retries=1), "cache_policy": INPUTS, "retry_delay_seconds": 0}
)
def step(seed: int, then: Callable[[], object] | None = None) -> Reference:
    RUNS.append("ran")
    reference = publish(store.current(), a="hello")
    if then is not None:
        then()
    return reference


@flow
def run_step(then: Callable[[], object] | None = None) -> Reference:
    return Steps(LogObserver()).run(step.with_options(cache_policy=INPUTS - "then"), 1, then)


def on_machine(folder: Path, bucket: str | None = URL, then: Callable[[], object] | None = None) -> Reference:
    with machine.use(Machine(store=folder, bucket=bucket)):
        reference: Reference = run_step(then)
        return reference


@pytest.fixture
def server(prefect_server: None, bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch) -> "ThreadedMotoServer":
    """One of the test's own, which the test stops. It has the same bucket: servers of one process share them."""
    server, endpoint = started()
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setattr(results, "DELAYS_SECONDS", (0.0, 0.0))
    RUNS.clear()
    return server


def test_a_network_that_is_lost_is_no_miss(server: "ThreadedMotoServer", tmp_path: Path) -> None:
    """The step does not run because its result cannot be asked for."""
    first = on_machine(tmp_path / "first")
    assert on_machine(tmp_path / "second") == first
    server.stop()
    with pytest.raises(StepFailedError, match=r"train failed \(TransientError\): s3://team/.* cannot be") as caught:
        on_machine(tmp_path / "third")
    assert isinstance(caught.value.cause, TransientError)
    assert RUNS == ["ran"]


def test_a_result_that_cannot_be_written_fails_the_step(
    server: "ThreadedMotoServer", tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StepFailedError, match=r"train failed \(TransientError\): s3://team/.* cannot be reached"):
        on_machine(tmp_path / "first", then=server.stop)
    assert "A result is not in the store yet" in caplog.text


def test_a_local_store_that_was_copied_into_the_bucket_has_its_results(
    prefect_server: None, bucket: BucketPlace, tmp_path: Path
) -> None:
    RUNS.clear()
    local = on_machine(tmp_path / "local", bucket=None)
    for path in (tmp_path / "local").rglob("*"):
        if path.is_file():
            bucket.put(f"store/{path.relative_to(tmp_path / 'local')}", path.read_bytes())
    assert on_machine(tmp_path / "cache") == local
    assert RUNS == ["ran"]
