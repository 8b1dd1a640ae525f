"""What an image is known by, wherever it lies: in a dataset, a drop, a split or a reviewer's list."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def pixel_sha256(image: NDArray[np.uint8]) -> str:
    """SHA-256 of the pixels, 64 hexadecimal digits.

    Args:
        image: ndarray of shape (32, 32, 3), dtype=uint8: 3,072 bytes, row by row, red, green and blue of each.
    """
    return hashlib.sha256(image.tobytes()).hexdigest()
