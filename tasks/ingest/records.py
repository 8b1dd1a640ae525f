"""The binary record format of CIFAR-10: one label byte, then 1,024 red, 1,024 green and 1,024 blue bytes, row by row.

Described at https://www.cs.toronto.edu/~kriz/cifar.html, "Binary version". Knows nothing of archives or hosts.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tasks.errors import SourceError

NUM_CLASSES = 10
IMAGE_SIZE = 32
NUM_CHANNELS = 3
RECORD_BYTES = 1 + NUM_CHANNELS * IMAGE_SIZE * IMAGE_SIZE


class Records(NamedTuple):
    """Labelled images.

    Attributes:
        images: ndarray of shape (num_images, 32, 32, 3), dtype=uint8, range [0, 255], C-contiguous.
        labels: ndarray of shape (num_images,), dtype=uint8, range [0, 9].
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]


def parse(data: bytes, name: str) -> Records:
    """Images and labels of one file.

    Args:
        data: The file's bytes.
        name: The file's name, for messages.

    Raises:
        SourceError: if the size is no multiple of a record, or a label is outside 0 to 9.
    """
    if len(data) % RECORD_BYTES:
        raise SourceError(
            f"{name} has {len(data):,} bytes, which is {len(data) // RECORD_BYTES:,} records and "
            f"{len(data) % RECORD_BYTES:,} bytes over; expected a multiple of {RECORD_BYTES:,}, the size of a record. "
            "Check that it is in the binary CIFAR-10 format and complete."
        )
    table = np.frombuffer(data, np.uint8).reshape(-1, RECORD_BYTES)
    labels = table[:, 0].copy()
    wrong = np.flatnonzero(labels >= NUM_CLASSES)
    if len(wrong):
        raise SourceError(
            f"{name} has {len(wrong):,} of {len(labels):,} labels outside 0 to 9; the first is {labels[wrong[0]]}, "
            f"in record {wrong[0]:,}, counted from 0. Correct or leave out those records; "
            "if there are many, check that the file is in the binary CIFAR-10 format (not CIFAR-100)."
        )
    planes = table[:, 1:].reshape(-1, NUM_CHANNELS, IMAGE_SIZE, IMAGE_SIZE)  # (num_images, 3, 32, 32)
    return Records(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels)  # (num_images, 32, 32, 3)


def encode(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> bytes:
    """The inverse of `parse`: a file's bytes for `images` and `labels`."""
    table = np.empty((len(images), RECORD_BYTES), np.uint8)
    table[:, 0] = labels
    table[:, 1:] = images.transpose(0, 3, 1, 2).reshape(len(images), RECORD_BYTES - 1)
    return table.tobytes()
