"""A registered model with everything that its bundle tells of it, whose files are no models."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import numpy as np

from cnn_model import metrics
from cnn_model.class_names import CLASS_NAMES
from cnn_model.results import EpochMetrics, Scores
from tasks.bundle.writing import HandedOver
from tasks.export import golden_images
from tasks.registry import VERDICT_TAG, Registry
from tasks.store import Store
from tasks.values.bundle import Exported
from tasks.values.dataset import RawDataset
from tasks.values.evaluation import Evaluation, SubsetAccuracy
from tasks.values.label_issues import LabelIssues
from tasks.values.model import TrainedModel
from tasks.values.registration import Registration
from tasks.values.splits import Splits
from tests.bundles import CHECKED, IMAGES
from tests.results import make_training_result

MODEL = b"content of the model"
SENTENCE = "Promoted: the first model, accuracy 60.00 %."


def publish(opened: Store, **files: bytes) -> Any:
    """An artifact of files whose names have underscores in place of slashes and dots."""
    with opened.staging() as folder:
        for name, content in files.items():
            path = folder / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return opened.publish(folder)


def make(opened: Store, dataset_name: str = "synthetic") -> HandedOver:
    """Publish all artifacts and register the model as version 1."""
    labels = (np.arange(40) % 10).astype(np.uint8)
    with opened.staging() as folder:
        np.save(folder / "test_images.npy", np.resize(IMAGES, (40, 32, 32, 3)))
        np.save(folder / "test_labels.npy", labels)
        arrays = opened.publish(folder)
    splits = Splits(
        artifact=arrays,
        dataset_name=dataset_name,
        class_names=CLASS_NAMES,
        num_images={"train": 80, "validation": 5, "calibration": 5, "test": 40},
        test_digest="0" * 64,
        channel_mean=(0.5, 0.5, 0.5),
        channel_std=(0.2, 0.2, 0.2),
    )
    dataset = RawDataset(
        name=dataset_name, artifact=arrays, class_names=CLASS_NAMES, num_train_images=90, num_test_images=40
    )
    scores = Scores(loss=1, accuracy=0.5, precision=0.5, recall=0.5)
    history = (EpochMetrics(epoch=1, train=scores, learning_rate=0.1, seconds=1, images_per_second=9),)
    digest = hashlib.sha256(MODEL).hexdigest()
    model = TrainedModel(
        artifact=publish(opened, model_dot_keras=MODEL),
        result=make_training_result(history, model_sha256=digest, versions={"keras": "3.15.1"}),
        trained_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    # 24 of 40 right: the last four classes are never told.
    probabilities = np.full((40, 10), 0.05, np.float32)
    probabilities[np.arange(40), np.where(labels < 6, labels, 0)] = 0.55
    evaluation = Evaluation(
        artifact=publish(opened, probabilities=b""),
        test_digest=splits.test_digest,
        result=metrics.evaluate(probabilities, labels, CLASS_NAMES),
        without_near_duplicates=SubsetAccuracy(num_images=30, accuracy=metrics.accuracy_interval(15, 30)),
        label_issues=LabelIssues(artifact=arrays, num_images=50, num_suspects=3),
        without_label_issues=None,
    )
    registry, name = Registry(), "practice-cnn" if dataset_name == "synthetic" else "cifar10-cnn"
    tags = {
        "model_sha256": digest,
        "start": "cold",
        "code_version": "abc",
        "flow_run_id": "the-run",
        "verdict_sentence": SENTENCE,
        VERDICT_TAG: "promoted",
    }
    logged = registry.log_run("tests", "run", model_name=name, parameters={}, figures=(), tags=tags)
    version = registry.create_version(name, logged, model.artifact.digest, tags)
    return HandedOver(
        dataset=dataset,
        splits=splits,
        model=model,
        evaluation=evaluation,
        registration=Registration(
            model_name=name,
            version=version.number,
            verdict="promoted",
            sentence=SENTENCE,
            champion_version=1,
            ledger_entry=1,
            run_id=logged.run_id,
            num_decisions=1,
        ),
        exported=Exported(
            artifact=publish(
                opened,
                saved_model__saved_model_dot_pb=b"graph",
                saved_model__variables__variables_dot_index=b"weights",
                model_dot_onnx=b"graph",
                probabilities_dot_npy=b"golden",
            ),
            golden=golden_images.publish(splits),
            result=CHECKED,
        ),
    )
