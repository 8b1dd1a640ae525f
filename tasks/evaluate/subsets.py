"""Accuracy on a part of the test images."""

import numpy as np
from numpy.typing import NDArray

from cnn_model.metrics import accuracy_interval
from tasks.values.evaluation import SubsetAccuracy


def accuracy_without(
    probabilities: NDArray[np.float32], labels: NDArray[np.uint8], left_out: NDArray[np.bool_]
) -> SubsetAccuracy | None:
    """The accuracy on the images that are not left out; None where none remain.

    Args:
        probabilities: ndarray of shape (num_images, num_classes).
        labels: ndarray of shape (num_images,).
        left_out: ndarray of shape (num_images,).
    """
    correct = (probabilities.argmax(axis=1) == labels)[~left_out]
    if not len(correct):
        return None
    return SubsetAccuracy(num_images=len(correct), accuracy=accuracy_interval(int(correct.sum()), len(correct)))
