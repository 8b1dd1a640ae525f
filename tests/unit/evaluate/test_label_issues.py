import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from cnn_model.class_names import CLASS_NAMES
from tasks.evaluate import label_issues
from tasks.evaluate.label_issues import Scored
from tasks.values.label_issues import FILE, Suspect


def tinted(num_images: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Noise with a tint for each class, and its labels."""
    rng = np.random.default_rng(1)
    labels = (np.arange(num_images) % 10).astype(np.uint8)
    tints = rng.integers(40, 216, size=(10, 1, 1, 3))
    images = np.clip(tints[labels] + rng.normal(0, 120, size=(num_images, 32, 32, 3)), 0, 255)
    return images.astype(np.uint8), labels


def flipped(labels: NDArray[np.uint8], share: float) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The labels with some made wrong, and which."""
    rng = np.random.default_rng(2)
    wrong = rng.choice(len(labels), round(share * len(labels)), replace=False)
    changed = labels.copy()
    changed[wrong] = (changed[wrong] + rng.integers(1, 10, len(wrong))) % 10
    return changed, wrong


def out_of_fold(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What models say of images that they were not trained on, by their mean colours."""
    features = images.reshape(len(images), -1, 3).mean(axis=1) / 255
    given = cross_val_predict(LogisticRegression(C=1e4, max_iter=2000), features, labels, cv=3, method="predict_proba")
    return np.asarray(given, np.float32)


def test_planted_flips_are_found() -> None:
    images, right = tinted(1000)
    labels, wrong = flipped(right, 0.02)
    found = label_issues.find(out_of_fold(images, labels), labels)
    hits = np.isin(found, wrong)
    # 16 of 20 here, and nothing else.
    assert hits.sum() / len(wrong) >= 0.75
    assert hits.mean() >= 0.9
    # The most suspicious first.
    assert hits[: len(wrong) // 2].all()


def test_right_labels_are_not_suspected() -> None:
    probabilities = np.eye(10, dtype=np.float32)[np.arange(200) % 10]
    assert len(label_issues.find(probabilities, (np.arange(200) % 10).astype(np.uint8))) == 0


@pytest.mark.parametrize("labels", [np.zeros(0, np.uint8), np.arange(40, dtype=np.uint8) % 10, np.zeros(500, np.uint8)])
def test_of_few_images_or_a_single_class_nothing_is_said(labels: NDArray[np.uint8]) -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(10), len(labels)).astype(np.float32)
    assert len(label_issues.find(probabilities, labels)) == 0


def test_the_list_names_split_place_image_and_both_classes(tmp_path: Path) -> None:
    images, right = tinted(1000)
    labels, _ = flipped(right, 0.02)
    probabilities = out_of_fold(images, labels)
    parts = (("test", slice(0, 600)), ("validation", slice(600, 1000)))
    scored = [Scored(name, images[part], labels[part], probabilities[part]) for name, part in parts]

    suspects = label_issues.write(tmp_path, scored, CLASS_NAMES)

    with (tmp_path / FILE).open(newline="") as file:
        lines = [Suspect(**line) for line in csv.DictReader(file)]
    assert {line.split for line in lines} == {"test", "validation"}
    for name, part in parts:
        of_split = [line for line in lines if line.split == name]
        assert [int(line.position) for line in of_split] == list(suspects[name])
        for line in of_split:
            place = int(line.position)
            assert line.image_sha256 == hashlib.sha256(images[part][place].tobytes()).hexdigest()
            assert line.label == CLASS_NAMES[labels[part][place]]
            assert line.suggested == CLASS_NAMES[probabilities[part][place].argmax()]
            assert line.correct_label == ""
    own = [float(line.label_probability) for line in lines]
    assert own == sorted(own)
