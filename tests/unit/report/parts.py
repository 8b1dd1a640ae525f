"""What the steps of a small run gave, of real artifacts in the store that is open."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np

from cnn_model.class_names import CLASS_NAMES
from cnn_model.results import (
    ClassMetrics,
    Confusion,
    EpochMetrics,
    EvaluationResult,
    Interval,
    Scores,
    TrainingResult,
)
from tasks import store
from tasks.values.dataset import RawDataset
from tasks.values.evaluation import Evaluation, SubsetAccuracy
from tasks.values.execution import STEP_NAMES, StepOutcome, StepRecord
from tasks.values.history import ModelHistory, PastRun, Promotion
from tasks.values.label_issues import COLUMNS, FILE, LabelIssues
from tasks.values.robustness import CorruptionScore, Robustness
from tasks.values.splits import Splits
from tasks.values.validation import Check, DropCheck
from tests.results import make_training_result

NUM_IMAGES = 60
NUM_TRAIN_IMAGES = 300
NUM_MISTAKES = 6
PAIRS = [(3, 303), (10, 20), (21, 32), (4, 307), (306, 307)]
"""Near-duplicates in the base; test images count on from train."""

RUN = {
    "run_id": "5f3c0e6e-6f0f-4a3b-9a55-3c2d7f8d2f11",
    "run_name": "wise-heron",
    "started": "2026-11-21T07:01:22+00:00",
    "source": "auto",
    "resolved_source": "the official archive",
    "practice": False,
    "recipe": "fast",
    "seed": 1,
    "code_version": "e00b921f4c1a",
    "configuration": {"train": {"epochs": None, "seed": 1}, "ingest": {"allow_unofficial": False}},
}
NOT_RUN: tuple[StepOutcome, ...] = ("not_run",) * 6
TRAINED_AT = datetime(2026, 11, 18, 6, 0, tzinfo=UTC)
VERSIONS = {"python": "3.11.7", "prefect": "3.8.8"}
CHECKS = (
    Check(name="Test images", severity="critical", passed=True, observed="60", expected="60"),
    Check(name="Sharpness", severity="warning", passed=False, observed="4", expected="below 3", num_images=4),
    Check(name="Overlap", severity="critical", passed=False, observed="17 images", expected="none", num_images=17),
)

BLANK = DropCheck(
    name="blank images",
    severity="critical",
    passed=False,
    observed="40 of 1,240 images",
    expected="at least 2 levels of contrast",
    num_images=40,
    files=("cat/<1>.png", "dog/2.png"),
    examples=(3, 14),
    advice="Look at the program that wrote them.",
)


HISTORY = ModelHistory(
    model_name="cifar10-cnn",
    promotions=(
        Promotion(
            number=2,
            promoted_at=datetime(2026, 11, 14, tzinfo=UTC),
            version=2,
            replaces_version=1,
            accuracy=0.8667,
            test_digest="ab" * 32,
            basis="improve",
            actor="<weekly>",
            reason="Promoted: +3.33 points.",
        ),
        Promotion(
            number=1,
            promoted_at=datetime(2026, 11, 7, tzinfo=UTC),
            version=1,
            replaces_version=None,
            accuracy=0.8333,
            test_digest="ab" * 32,
            basis=None,
            actor="by hand",
            reason="The first one.",
        ),
    ),
    num_promotions=2,
    runs=tuple(
        PastRun(
            run_id=f"run-{number}",
            run_name=f"weekly {number}",
            started=datetime(2026, 11, 7 * number, tzinfo=UTC),
            outcome=outcome,
            version=number,
            accuracy=Interval(value=0.8 + number / 30, low=0.7, high=0.9),
            test_digest=digest,
        )
        for number, outcome, digest in ((1, "promoted", None), (2, "refused", "ab" * 32))
    ),
    num_unreadable=1,
)


def training_result(num_epochs: int = 3) -> TrainingResult:
    history = tuple(
        EpochMetrics(
            epoch=epoch,
            train=Scores(loss=1.5 / epoch, accuracy=1 - 0.6 / epoch, precision=0.8, recall=1 - 0.7 / epoch),
            validation=Scores(loss=1.6 / epoch, accuracy=1 - 0.65 / epoch, precision=0.7, recall=1 - 0.75 / epoch),
            learning_rate=0.01,
            seconds=2.5,
            images_per_second=120,
        )
        for epoch in range(1, num_epochs + 1)
    )
    return make_training_result(
        history,
        num_parameters=1_147_466,
        best_epoch=num_epochs,
        temperature=1.1,
        num_train_images=270,
        seconds=7.5,
        peak_memory_bytes=2**30,
        precision="bfloat16",
        versions={"python": "3.11.7", "keras": "3.15.1"},
    )


def step_records(*outcomes: StepOutcome, error: str | None = None) -> tuple[StepRecord, ...]:
    return tuple(
        StepRecord(
            name=name,
            outcome=outcome,
            seconds=0 if outcome == "not_run" else 2.5,
            peak_memory_bytes=None if outcome == "not_run" else 600 * 2**20,
            error=error if outcome == "failed" else None,
        )
        for name, outcome in zip(STEP_NAMES, outcomes, strict=True)
    )


def make_labels() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.arange(NUM_IMAGES, dtype=np.uint8) % 10


def publish_dataset() -> RawDataset:
    rng = np.random.default_rng(1)
    with store.current().staging() as folder:
        for split, size in (("train", NUM_TRAIN_IMAGES), ("test", NUM_IMAGES)):
            np.save(folder / f"{split}_images.npy", rng.integers(0, 256, (size, 32, 32, 3), dtype=np.uint8))
            np.save(folder / f"{split}_labels.npy", np.arange(size, dtype=np.int64).astype(np.uint8) % 10)
        artifact = store.current().publish(folder)
    return RawDataset(
        name="cifar10",
        artifact=artifact,
        class_names=CLASS_NAMES,
        num_train_images=NUM_TRAIN_IMAGES,
        num_test_images=NUM_IMAGES,
    )


def publish_drop_of(num_images: int) -> store.Reference:
    with store.current().staging() as folder:
        images = np.random.default_rng(2).integers(0, 256, (num_images, 32, 32, 3), dtype=np.uint8)
        np.save(folder / "images.npy", images)
        np.save(folder / "labels.npy", np.arange(num_images, dtype=np.int64).astype(np.uint8) % 10)
        (folder / "names.json").write_text(json.dumps([f"cat/{number:04d}.png" for number in range(num_images)]))
        return store.current().publish(folder)


def publish_splits() -> Splits:
    images = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, 32, 32, 3), dtype=np.uint8)
    with store.current().staging() as folder:
        np.save(folder / "test_images.npy", images)
        np.save(folder / "test_labels.npy", make_labels())
        np.save(folder / "validation_images.npy", images[:15])
        artifact = store.current().publish(folder)
    return Splits(
        artifact=artifact,
        dataset_name="cifar10",
        class_names=CLASS_NAMES,
        num_images={"train": 270, "validation": 15, "calibration": 15, "test": NUM_IMAGES},
        test_digest="ab" * 32,
        channel_mean=(0.49, 0.48, 0.45),
        channel_std=(0.25, 0.24, 0.26),
    )


def make_evaluation() -> Evaluation:
    """Each of the first six images is taken for the next class, the sixth (a dog, for a frog) most surely."""
    confidences = 0.6 + 0.05 * (np.arange(NUM_IMAGES) % NUM_MISTAKES)
    return Evaluation(
        artifact=publish_probabilities(take_for_next_class(range(NUM_MISTAKES), confidences)),
        test_digest="ab" * 32,
        result=_evaluation_result(),
        without_near_duplicates=SubsetAccuracy(num_images=57, accuracy=Interval(value=0.8947, low=0.7887, high=0.9508)),
        label_issues=publish_label_issues(),
        without_label_issues=SubsetAccuracy(num_images=58, accuracy=Interval(value=0.931, low=0.8357, high=0.9729)),
    )


def take_for_next_class(mistaken: range, confidences: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Probabilities of a model that takes some images for the next class and recognises the others."""
    labels = make_labels().astype(np.int64)
    probabilities = np.full((NUM_IMAGES, 10), 0.01, dtype=np.float32)
    seen = np.where(np.isin(np.arange(NUM_IMAGES), mistaken), (labels + 1) % 10, labels)
    probabilities[np.arange(NUM_IMAGES), seen] = confidences
    return probabilities


def publish_probabilities(probabilities: np.ndarray[Any, np.dtype[np.float32]]) -> store.Reference:
    with store.current().staging() as folder:
        np.save(folder / "probabilities.npy", probabilities)
        return store.current().publish(folder)


def publish_robustness(clean: float) -> Robustness:
    """Two corruptions, each of which takes five points a severity, of a sample of twenty images."""
    with store.current().staging() as folder:
        np.save(folder / "correct.npy", np.zeros((2, 3, 20), np.bool_))
        artifact = store.current().publish(folder)
    scores = tuple(
        CorruptionScore(corruption=name, severity=severity, accuracy=clean - 0.05 * severity - worse)
        for name, worse in (("shot_noise", 0.0), ("blur", 0.1))
        for severity in (1, 2, 3)
    )
    return Robustness(
        artifact=artifact,
        test_digest="ab" * 32,
        num_images=20,
        clean_accuracy=clean,
        mean_accuracy=Interval(value=clean - 0.15, low=clean - 0.2, high=clean - 0.1),
        scores=scores,
    )


def publish_label_issues() -> LabelIssues:
    """Two suspects in test, the first of them the surest mistake, and one in validation that comes between."""
    lines = [
        ("test", 5, "5a" * 32, "dog", "0.0100", "frog", "0.8500", ""),
        ("validation", 2, "2b" * 32, "bird", "0.0200", "airplane", "0.7000", ""),
        ("test", 4, "4c" * 32, "deer", "0.0300", "dog", "0.8000", ""),
    ]
    with store.current().staging() as folder:
        text = "\n".join(",".join(map(str, line)) for line in (COLUMNS, *lines)) + "\n"
        (folder / FILE).write_text(text)
        return LabelIssues(artifact=store.current().publish(folder), num_images=90, num_suspects=len(lines))


def _evaluation_result() -> EvaluationResult:
    matrix = [[6 * (i == j) for j in range(10)] for i in range(10)]
    for label in range(NUM_MISTAKES):
        matrix[label][label], matrix[label][label + 1] = 5, 1
    return EvaluationResult(
        num_images=NUM_IMAGES,
        accuracy=Interval(value=0.9, low=0.799, high=0.953),
        loss=0.41,
        macro_precision=0.9,
        macro_recall=0.9,
        macro_f1=0.9,
        expected_calibration_error=0.02,
        per_class=tuple(
            ClassMetrics(class_name=name, num_images=6, precision=0.9, recall=0.9, f1=0.9) for name in CLASS_NAMES
        ),
        confusion_matrix=tuple(tuple(row) for row in matrix),
        worst_confusions=(Confusion(true_class="cat", predicted_class="deer", count=1, share=1 / 6),),
    )
