"""The whole flow, on practice images."""

import hashlib
import json
import logging
import os
import re
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
    LogFilter,
    LogFilterFlowRunId,
)

from flows.execution import StepFailedError
from flows.retraining import retrain
from tasks import machine
from tasks.errors import ConfigurationError
from tasks.ingest.records import encode
from tasks.machine import Machine
from tasks.report.summary import Summary
from tasks.values.execution import StepName
from tests.flows.conftest import FinishedRun, retrain_in
from tests.processes import wait_for

STEPS: list[StepName] = ["ingest", "validate", "preprocess", "train", "evaluate", "register", "report"]


def outcomes(summary: Summary | None) -> dict[str, str]:
    """Of the seven steps; what stands beside them is left out."""
    assert summary is not None
    return {name: summary.steps[name].outcome for name in STEPS}


def ran_from(step: StepName) -> dict[str, str]:
    """Everything before the step from the cache, the step and what follows anew."""
    first = STEPS.index(step)
    return {name: "cached" if position < first else "ran" for position, name in enumerate(STEPS)}


def test_a_first_run_does_every_step_and_promotes(first_run: FinishedRun) -> None:
    summary = first_run.summary
    assert outcomes(summary) == dict.fromkeys(STEPS, "ran")
    assert (summary.outcome, summary.model_name, summary.model_version) == ("promoted", "practice-cnn", 1)
    assert summary.practice
    assert summary.metrics is not None
    assert summary.metrics.accuracy.low is not None
    assert all(step.peak_memory_bytes and step.peak_memory_bytes > 5e7 for step in summary.steps.values())
    assert summary.steps["train"].seconds > 1


def test_report_and_summary_lie_side_by_side(first_run: FinishedRun) -> None:
    assert first_run.summary.report is not None
    report = Path(first_run.summary.report)
    assert "practice" in report.read_text()
    assert json.loads((report.parent / "summary.json").read_text()) == first_run.summary.model_dump(mode="json")


def test_the_dashboard_has_the_figures_and_the_epochs(first_run: FinishedRun) -> None:
    run = UUID(first_run.summary.run_id)
    with get_client(sync_client=True) as client:
        kept = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run])))
        shown = client.read_flow_run(run)

        # Both travel beside the run, and may arrive after it.
        def tasks() -> set[str]:
            found = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])))
            return {task.name for task in found}

        def messages() -> list[str]:
            return [log.message for log in client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run])))]

        expected = {
            "ingest, synthetic images",
            "validate synthetic",
            "preprocess synthetic",
            "train tutorial-64-logits seed 1, epochs: 1",
            "evaluate tutorial-64-logits seed 1",
            "register tutorial-64-logits",
            "export for serving",
            "bundle of version 1",
            "report, promoted",
        }
        wait_for(lambda: expected <= tasks())
        assert tasks() == expected
        wait_for(lambda: any(message.startswith("epoch 1 of 1: loss") for message in messages()))
    first_line, *lines = {artifact.key: str(artifact.data) for artifact in kept}["report-summary"].splitlines()
    assert first_line == f"**{first_run.summary.verdict}**"
    assert "- Model: practice-cnn, version 1" in lines
    assert shown.name.startswith("local 2")
    assert shown.name.endswith(" tutorial-64-logits seed 1")
    assert shown.state is not None
    assert shown.state.message == first_run.summary.verdict
    assert first_run.summary.dataset is not None
    assert set(shown.tags) == {f"data:{first_run.summary.dataset.digest[:12]}", "practice-cnn:v1", "promoted"}


def test_nothing_new_ends_as_unchanged_without_a_second_version(filled_store: Path) -> None:
    summary = retrain_in(filled_store)
    assert outcomes(summary) == ran_from("register")
    assert (summary.outcome, summary.model_version) == ("unchanged", 1)


def test_another_seed_trains_anew_from_the_same_splits(filled_store: Path) -> None:
    summary = retrain_in(filled_store, train={"recipe": "tutorial-64-logits", "epochs": 1, "seed": 2})
    assert outcomes(summary) == ran_from("train")
    assert summary.steps["champion"].outcome == "ran"
    assert summary.model_version == 2
    assert summary.outcome in ("promoted", "refused")
    assert summary.decision is not None
    assert summary.decision.comparisons[0].num_images == 80
    assert summary.num_test_set_decisions == 2


def test_a_store_that_was_moved_has_its_results_versions_and_champion(
    filled_store: Path, first_run: FinishedRun
) -> None:
    # Where it was is nothing any more, so a path that somebody kept would lead nowhere.
    away = first_run.store.rename(first_run.store.with_name("away"))
    try:
        assert retrain_in(filled_store).outcome == "unchanged"
        summary = retrain_in(filled_store, train={"recipe": "tutorial-64-logits", "epochs": 1, "seed": 2})
    finally:
        away.rename(first_run.store)
    assert outcomes(summary) == ran_from("train")
    assert (summary.model_version, summary.steps["champion"].outcome) == (2, "ran")
    assert summary.decision is not None
    assert [compared.version for compared in summary.decision.comparisons] == [1]


def test_a_corrected_label_is_trained_on(filled_store: Path, first_run: FinishedRun, tmp_path: Path) -> None:
    assert first_run.summary.dataset is not None
    digest = first_run.summary.dataset.digest
    folder = next(path for path in (filled_store / "artifacts").rglob(digest) if path.is_dir())
    image, label = (np.load(folder / f"train_{kind}.npy")[0] for kind in ("images", "labels"))
    corrections = tmp_path / "corrections.csv"
    line = f"{hashlib.sha256(image.tobytes()).hexdigest()},{(label + 1) % 10}"
    corrections.write_text(f"image_sha256,correct_label\n{line}\n")
    summary = retrain_in(filled_store, ingest={"synthetic_images": 480, "corrections": str(corrections)})
    assert summary.dataset is not None
    assert summary.dataset.num_corrected_labels == 1
    assert summary.dataset.digest != digest
    assert outcomes(summary) == ran_from("ingest")


def test_the_seed_can_be_the_scheduled_date(filled_store: Path) -> None:
    summary = retrain_in(filled_store, train={"recipe": "tutorial-64-logits", "epochs": 1, "seed": "date"})
    assert summary.seed is not None
    assert 20260101 < summary.seed < 21000101


def test_the_reports_section_redraws_the_report_alone(filled_store: Path) -> None:
    assert outcomes(retrain_in(filled_store, report={"sample_images": 1})) == ran_from("register")


def test_another_bound_of_a_check_looks_at_the_data_anew_and_trains_nothing(filled_store: Path) -> None:
    summary = retrain_in(filled_store, validate={"max_test_images_in_train": 0.9})
    assert outcomes(summary) == {**ran_from("register"), "validate": "ran"}
    assert summary.outcome == "unchanged"


@pytest.mark.parametrize(("step", "file"), [("train", "model.keras"), ("preprocess", "train_images.npy")])
def test_a_damaged_artifact_is_made_again_and_said_so(
    filled_store: Path, step: StepName, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    (path,) = (filled_store / "artifacts").rglob(file) if file == "model.keras" else _splits(filled_store)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING, logger="tasks.store"):
        summary = retrain_in(filled_store)
    assert summary.steps[step].outcome == "ran"
    assert summary.steps["ingest"].outcome == "cached"
    # The same data and seed give the same bytes, so the champion that was damaged is whole again.
    assert (summary.outcome, summary.model_version) == ("unchanged", 1)
    assert any("damaged" in record.getMessage() and file in record.getMessage() for record in caplog.records)


def _splits(store: Path) -> list[Path]:
    return [
        path
        for path in (store / "artifacts").rglob("train_images.npy")
        if (path.parent / "validation_images.npy").exists()
    ]


def test_a_deleted_artifact_is_made_again(filled_store: Path) -> None:
    (path,) = (filled_store / "artifacts").rglob("validation_probabilities.npy")
    path.unlink()
    summary = retrain_in(filled_store)
    assert outcomes(summary) == ran_from("evaluate")
    assert summary.outcome == "unchanged"


def test_bad_data_stop_before_training_and_are_reported(tmp_path: Path, prefect_server: None) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("data_batch_1.bin", "test_batch.bin"):
        images = rng.integers(0, 256, (100, 32, 32, 3), dtype=np.uint8)
        (folder / name).write_bytes(encode(images, (np.arange(100) % 9).astype(np.uint8)))
    with pytest.raises(StepFailedError, match=r"validate failed \(\w+\): .*classes in train.*missing 9") as caught:
        retrain_in(tmp_path / "store", source=str(folder), ingest={"allow_unofficial": True})
    summary = caught.value.summary
    assert outcomes(summary) == {
        **dict.fromkeys(STEPS, "not_run"),
        "ingest": "ran",
        "validate": "failed",
        "report": "ran",
    }
    assert summary is not None
    assert summary.outcome == "failed"
    assert summary.dataset is not None
    assert summary.dataset.name == "unofficial-data"
    assert summary.report is not None
    assert "classes in train" in Path(summary.report).read_text()


def test_a_missing_gpu_stops_before_anything_else(
    tmp_path: Path, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with (
        machine.use(Machine(store=tmp_path / "store", device="gpu")),
        pytest.raises(StepFailedError, match=r"train failed \(\w+\): .*gpu") as caught,
    ):
        retrain(source="synthetic")
    assert caught.value.summary is not None
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(caught.value.summary.run_id)).state
    assert state is not None
    assert state.message is not None
    assert state.message.splitlines()[0].startswith("train failed (DeviceError): ")
    assert outcomes(caught.value.summary) == {
        **dict.fromkeys(STEPS, "not_run"),
        "train": "failed",
        "report": "ran",
    }


def test_a_registry_that_is_not_there_stops_before_anything_else(
    tmp_path: Path, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.register.preflight.PATIENCE_SECONDS", 0)
    with machine.use(Machine(store=tmp_path / "store", tracking_uri="http://127.0.0.1:9")):
        state = retrain(source="synthetic", return_state=True)
    assert re.search(
        r"register failed \(RegistryUnreachableError\): The MLflow server http://127.0.0.1:9", str(state.message)
    )
    with pytest.raises(StepFailedError) as caught:
        state.result()
    assert outcomes(caught.value.summary) == {
        **dict.fromkeys(STEPS, "not_run"),
        "register": "failed",
        "report": "ran",
    }


def test_a_report_that_cannot_be_drawn_takes_nothing_back(
    filled_store: Path, first_run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise RuntimeError("no fonts")

    monkeypatch.setattr("tasks.report.page.render", fail)
    summary = retrain_in(filled_store)
    assert (summary.outcome, summary.report) == ("unchanged", None)
    assert summary.steps["report"].error == "RuntimeError: no fonts"


@pytest.mark.real_data
@pytest.mark.timeout(1200)
def test_real_images_give_at_least_80_percent(tmp_path: Path, prefect_server: None) -> None:
    # Four of the recipe's nine epochs are enough for that.
    summary = retrain_in(tmp_path / "store", source=os.environ["CIFAR10_SOURCE"], train={"epochs": 4})
    assert summary.dataset is not None
    assert (summary.dataset.name, summary.model_name, summary.practice) == ("cifar10", "cifar10-cnn", False)
    assert summary.metrics is not None
    assert summary.metrics.accuracy.value >= 0.80


def test_a_deployment_may_not_choose_its_data(
    prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "a-deployment")
    with pytest.raises(ConfigurationError, match="auto"):
        retrain_in(tmp_path / "store", source="auto")


def test_who_is_to_be_asked_must_be_able_to_wait(prefect_server: None, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"this run is no deployment's; expected one that a worker runs"):
        retrain_in(tmp_path / "store", register={"require_approval": True})
    assert not (tmp_path / "store").exists()
