"""What goes wrong with whole images on their way: each fault as the function that commits it.

Detectors learn from them, and tests and benchmarks plant them.
"""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Images = NDArray[np.uint8]

CRUSHED_QUALITY = 10
"""JPEG's quality, of 100, at which an image of 32x32 has lost most of what it shows."""

HARMLESS_QUALITIES = (75, 85, 95)
"""As cameras and programs save; detectors learn to pass them."""


def swap_channels(images: Images) -> Images:
    """Red for blue, as one library reads what another wrote."""
    return images[..., ::-1]


def invert(images: Images) -> Images:
    """A negative."""
    return 255 - images


def crush(images: Images) -> Images:
    """Through a JPEG file that is much too small."""
    return through_jpeg(images, CRUSHED_QUALITY)


def through_jpeg(images: Images, quality: int) -> Images:
    """Each image as it comes out of a JPEG file.

    Args:
        images: ndarray of shape (num_images, height, width, 3), dtype=uint8.
        quality: Pillow's, 1 to 95.
    """
    compressed = np.empty_like(images)
    for index, image in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(image)).save(file, "JPEG", quality=quality)
        with Image.open(file) as picture:
            compressed[index] = np.asarray(picture)
    return compressed


FAULTS: dict[str, Callable[[Images], Images]] = {
    "swapped channels": swap_channels,
    "inverted images": invert,
    "crushed images": crush,
}
"""By the name of the check that finds them."""
