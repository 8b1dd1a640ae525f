"""Images that are kept for testing only, through the whole flow, on practice images."""

from pathlib import Path

import numpy as np
import pytest

from flows.execution import StepFailedError
from flows.retraining import main
from tasks.ingest.synthetic import CLASS_NAMES
from tasks.report.summary import Summary
from tasks.values.execution import StepName
from tests.drops import Arrays, drop_pictures, drop_records, noise
from tests.flows.conftest import SMALL, FinishedRun, retrain_in

TRAINED: tuple[StepName, ...] = ("preprocess", "train")
"""The steps in which extra test images must not show."""


def run(store: Path, extra_test: Path, **ingest: object) -> Summary:
    return retrain_in(store, ingest={**SMALL["ingest"], "extra_test": str(extra_test), **ingest})


def published(store: Path, split: str) -> Arrays:
    """Images and labels of the dataset that a run has left in the store."""
    (images,) = (
        path
        for path in store.rglob(f"{split}_images.npy")
        if (path.parent / "test_labels.npy").exists() and not (path.parent / "validation_images.npy").exists()
    )
    return np.load(images), np.load(images.with_name(f"{split}_labels.npy"))


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything in a folder, with when it was changed."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in (folder, *folder.rglob("*"))
    }


@pytest.mark.timeout(600)
def test_extra_test_images_are_scored_apart_and_retrain_nothing(
    filled_store: Path, first_run: FinishedRun, tmp_path: Path
) -> None:
    folder = drop_pictures(tmp_path / "our-cameras", noise(30, seed=1), CLASS_NAMES)
    (folder / "_SUCCESS").unlink()  # nothing waits for it here
    before = snapshot(folder)
    summary = run(filled_store, folder)
    assert snapshot(folder) == before
    assert [summary.steps[step].outcome for step in TRAINED] == ["cached"] * 2
    assert [summary.steps[step].outcome for step in ("ingest", "validate", "evaluate")] == ["ran"] * 3
    assert (summary.outcome, summary.model_version) == ("unchanged", 1)
    assert summary.dataset == first_run.summary.dataset
    assert summary.extra_test is not None
    assert summary.extra_test.name == "our-cameras"
    assert summary.extra_test.num_images == dict.fromkeys(CLASS_NAMES, 3)
    assert summary.extra_test.failed_checks == ()

    # The published figures stay, to the last digit.
    assert summary.metrics is not None
    assert first_run.summary.metrics is not None
    extra = summary.metrics.extra_test_accuracy
    assert extra is not None
    assert extra.low is not None
    assert extra.high is not None
    assert extra.low < extra.value < extra.high
    assert summary.metrics.model_copy(update={"extra_test_accuracy": None}) == first_run.summary.metrics
    assert summary.report is not None
    page = Path(summary.report).read_text()
    assert "our-cameras, 30 images for testing only" in page
    assert summary.extra_test.digest in page

    # More of them: read, checked and scored, and nothing else.
    drop_pictures(folder / "7", noise(10, seed=2), ["later"] * 10)
    again = run(filled_store, folder)
    assert [again.steps[step].outcome for step in TRAINED] == ["cached"] * 2
    assert again.extra_test is not None
    assert sum(again.extra_test.num_images.values()) == 40
    assert again.extra_test.digest != summary.extra_test.digest
    assert again.outcome == "unchanged"
    third = run(filled_store, folder)
    assert [step.outcome for step in third.steps.values()] == ["cached"] * 5 + ["ran"] * 2
    assert third.metrics == again.metrics


def test_a_drop_with_an_extra_test_image_is_bad(filled_store: Path, tmp_path: Path) -> None:
    images, labels = noise(40, seed=1)
    folder = drop_records(tmp_path / "extra", (images, labels))
    other = noise(40, seed=2)
    other[0][7] = images[3]
    drop_records(tmp_path / "drops" / "leak", other)
    summary = run(filled_store, folder, drops=str(tmp_path / "drops"))
    assert [(drop.name, drop.state) for drop in summary.drops] == [("leak", "quarantined")]
    assert "test images: 1 of 40 images" in summary.drops[0].reason
    assert summary.outcome == "unchanged"


def test_a_training_image_among_them_stops_the_run_before_training(filled_store: Path, tmp_path: Path) -> None:
    images, labels = noise(40, seed=1)
    images[11] = published(filled_store, "train")[0][5]
    folder = drop_records(tmp_path / "extra", (images, labels))
    with pytest.raises(
        StepFailedError, match=r"validate failed \(\w+\): .*training images: observed 1 of 40 images.*\(batch\.bin#11\)"
    ) as caught:
        run(filled_store, folder)
    summary = caught.value.summary
    assert summary is not None
    assert (summary.steps["train"].outcome, summary.metrics) == ("not_run", None)
    assert summary.report is not None
    assert "extra test images: training images" in Path(summary.report).read_text()


def test_a_folder_that_is_not_there_is_a_wrong_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    with pytest.raises(SystemExit) as caught:
        main(["--source", "synthetic", "--store", str(store), "--ingest.extra-test", str(tmp_path / "typo")])
    assert caught.value.code == 2
    assert "--ingest.extra-test is" in capsys.readouterr().err
    assert not store.exists()
