"""Golden images: a few test images and what the model gives for them, by which any host sees that it is that model.

Knows nothing of Keras.
"""

import numpy as np
import numpy.typing as npt

NUM_IMAGES = 32

TOLERANCE = 1e-3
"""Of a probability, on whichever host loads the model. Other processors and frameworks sum in another order, which
changes the sixth digit; another model is off by far more on one of the images."""


def choose(labels: npt.NDArray[np.uint8], num_images: int = NUM_IMAGES) -> npt.NDArray[np.int64]:
    """The first image of each class, then the second of each, and so on; hangs on nothing but the labels' order.

    Args:
        labels: ndarray of shape (num_labels,).
        num_images: How many are wanted.

    Returns:
        Their places, ndarray of shape (num_images,); all there are, where there are fewer.
    """
    ranks = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        of_class = labels == label
        ranks[of_class] = np.arange(of_class.sum())
    return np.lexsort((labels, ranks))[:num_images]


def largest_difference(expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> float:
    """The largest absolute difference of two probabilities; infinite where shapes differ or one is no number."""
    if expected.shape != found.shape:
        return float("inf")
    difference = float(np.abs(expected.astype(np.float64) - found.astype(np.float64)).max(initial=0))
    return difference if np.isfinite(difference) else float("inf")
