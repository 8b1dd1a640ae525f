import numpy as np
import pytest

from cnn_model import metrics
from cnn_model.reliability import reliability


def test_bins_hold_equally_many_images_and_the_unsurest_come_first() -> None:
    confidences = np.array([0.9, 0.6, 0.8, 0.7], np.float32)
    probabilities = np.stack([confidences, 1 - confidences], axis=1)
    first, second = reliability(probabilities, np.array([0, 0, 1, 1], np.uint8), num_bins=2)
    assert (first.num_images, second.num_images) == (2, 2)
    assert (first.confidence, second.confidence) == pytest.approx((0.65, 0.85))
    assert (first.accuracy.value, second.accuracy.value) == (0.5, 0.5)
    assert first.accuracy == metrics.accuracy_interval(1, 2)


def test_the_bins_are_those_of_the_calibration_error() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(10, 0.3), 1007).astype(np.float32)
    labels = rng.integers(0, 10, 1007).astype(np.uint8)
    bins = reliability(probabilities, labels)
    assert sum(found.num_images for found in bins) == 1007
    error = sum(found.num_images * abs(found.confidence - found.accuracy.value) for found in bins) / 1007
    assert error == pytest.approx(metrics.expected_calibration_error(probabilities, labels))


def test_fewer_images_than_bins() -> None:
    assert [found.num_images for found in reliability(np.eye(3, dtype=np.float32), np.arange(3, dtype=np.uint8))] == [
        1
    ] * 3
