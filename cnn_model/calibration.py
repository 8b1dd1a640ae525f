"""Fits the temperature that logits are divided by, so that confidence means what it says. SciPy, no Keras.

Reference: Guo et al., "On Calibration of Modern Neural Networks", arXiv 1706.04599.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

LOWEST, HIGHEST = 0.05, 20.0
"""Bounds of the search; a temperature outside them means that the logits are useless."""


def fit_temperature(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8]) -> float:
    """The temperature with the lowest negative log-likelihood; 1.0 where there is nothing to fit on.

    Args:
        logits: ndarray of shape (num_images, num_classes).
        labels: ndarray of shape (num_images,).
    """
    if len(labels) == 0:
        return 1.0

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(logits / np.exp(log_temperature), labels)

    fitted = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    return float(np.exp(fitted.x))


def negative_log_likelihood(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.uint8]) -> float:
    """Mean over the images, in nats."""
    log_probabilities = log_softmax(logits.astype(np.float64), axis=1)
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())
