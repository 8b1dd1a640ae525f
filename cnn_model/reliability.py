"""How far the probabilities of a model can be taken at their word. NumPy and SciPy alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn_model.metrics import NUM_BINS, Probabilities, accuracy_interval
from cnn_model.results import Interval


@dataclass(frozen=True)
class ReliabilityBin:
    """Images of like confidence.

    Attributes:
        num_images: As many as in any other bin, give or take one.
        confidence: Mean probability of the likeliest class, 0 to 1.
        accuracy: Wilson score interval.
    """

    num_images: int
    confidence: float
    accuracy: Interval


def reliability(
    probabilities: Probabilities, labels: npt.NDArray[np.integer[Any]], num_bins: int = NUM_BINS
) -> tuple[ReliabilityBin, ...]:
    """Confidence beside accuracy over bins of equal mass, those of the expected calibration error; the unsurest first.

    Args:
        probabilities: ndarray of shape (num_images, num_classes), each row with sum 1; at least one image.
        labels: ndarray of shape (num_images,).
        num_bins: How many bins; fewer where there are fewer images.
    """
    confidences = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    parts = np.array_split(np.argsort(confidences, kind="stable"), min(num_bins, len(labels)))
    return tuple(
        ReliabilityBin(
            num_images=len(part),
            confidence=float(confidences[part].mean()),
            accuracy=accuracy_interval(int(correct[part].sum()), len(part)),
        )
        for part in parts
    )
