import numpy as np
import pytest
from scipy.special import softmax

from cnn_model.calibration import fit_temperature, negative_log_likelihood


@pytest.mark.parametrize("planted", [0.5, 1.0, 2.5])
def test_a_planted_temperature_is_recovered(planted: float):
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, size=(20_000, 10)).astype(np.float32)
    labels = (softmax(logits, axis=1).cumsum(axis=1) < generator.random((len(logits), 1))).sum(axis=1).astype(np.uint8)

    temperature = fit_temperature(logits * np.float32(planted), labels)

    assert temperature == pytest.approx(planted, rel=0.05)


def test_nothing_to_fit_on_leaves_the_logits_alone():
    assert fit_temperature(np.zeros((0, 10), np.float32), np.zeros(0, np.uint8)) == 1.0


def test_logits_that_are_always_right_give_a_temperature_within_bounds():
    labels = np.arange(10, dtype=np.uint8)

    assert 0.04 < fit_temperature(10 * np.eye(10, dtype=np.float32), labels) < 1


def test_likelihood_of_equal_logits_is_that_of_ten_equal_classes():
    loss = negative_log_likelihood(np.zeros((3, 10), np.float32), np.array([0, 5, 9], np.uint8))

    assert loss == pytest.approx(np.log(10))
