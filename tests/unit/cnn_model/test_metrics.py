import numpy as np
import pytest

from cnn_model.metrics import accuracy_interval, evaluate, expected_calibration_error, negative_log_likelihood


def _probabilities(predictions: list[int], confidences: list[float]) -> np.ndarray:
    rows = np.zeros((len(predictions), 10), np.float32)
    for row, prediction, confidence in zip(rows, predictions, confidences, strict=True):
        row[:] = (1 - confidence) / 9
        row[prediction] = confidence
    return rows


def test_wilson_interval_is_the_textbook_one():
    interval = accuracy_interval(80, 100)  # (p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)

    assert interval.value == 0.8
    assert interval.low == pytest.approx(0.71117, abs=1e-5)
    assert interval.high == pytest.approx(0.86663, abs=1e-5)


def test_figures_of_a_handful_of_predictions():
    labels = np.array([0, 0, 0, 3, 3, 5], np.uint8)
    result = evaluate(_probabilities([0, 0, 3, 3, 3, 3], [0.8] * 6), labels)

    assert result.num_images == 6
    assert result.accuracy.value == pytest.approx(4 / 6)
    cat = result.per_class[3]
    assert (cat.class_name, cat.num_images) == ("cat", 2)
    assert cat.precision == pytest.approx(2 / 4)
    assert cat.recall == pytest.approx(1.0)
    assert result.per_class[0].recall == pytest.approx(2 / 3)
    assert result.per_class[9].f1 == 0.0  # no image, no prediction: zero, not a warning
    assert result.macro_recall == pytest.approx((2 / 3 + 1 + 0) / 10)
    assert result.confusion_matrix[0][3] == 1
    assert [(c.true_class, c.predicted_class, c.count) for c in result.worst_confusions] == [
        ("airplane", "cat", 1),
        ("dog", "cat", 1),
    ]
    assert result.worst_confusions[0].share == pytest.approx(1 / 3)
    assert result.loss == pytest.approx(-(4 * np.log(0.8) + 2 * np.log(0.2 / 9)) / 6, rel=1e-5)


def test_loss_stays_finite_where_a_probability_is_zero():
    assert np.isfinite(negative_log_likelihood(_probabilities([0], [1.0]), np.array([1], np.uint8)))


def test_calibration_error_by_hand_over_two_bins():
    labels = np.array([0, 1, 0, 0], np.uint8)
    probabilities = _probabilities([0, 0, 0, 0], [0.6, 0.6, 0.9, 0.9])

    # Bins {0.6, 0.6} with accuracy 0.5, and {0.9, 0.9} with accuracy 1.
    assert expected_calibration_error(probabilities, labels, num_bins=2) == pytest.approx(0.1, abs=1e-6)


def test_calibrated_predictions_have_a_small_error_and_overconfident_ones_a_large():
    generator = np.random.default_rng(0)
    confidences = generator.uniform(0.2, 1.0, 20_000)
    labels = np.where(generator.random(20_000) < confidences, 0, 1).astype(np.uint8)
    rows = _probabilities([0] * 20_000, confidences.tolist())

    assert expected_calibration_error(rows, labels) < 0.02
    assert expected_calibration_error(_probabilities([0] * 20_000, [0.99] * 20_000), labels) > 0.3
