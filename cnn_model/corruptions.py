"""Common corruptions of images, each at three severities, made on the fly with NumPy, SciPy and Pillow.

What is random about a corruption (noise, direction, place) is drawn for each image from the seed, the corruption's name
and the image's own pixels. So an image is corrupted in the same way in any batch, at any place and in any order, and a
higher severity does more of the same to it. Knows nothing of a model or of Keras.

The kinds are those of CIFAR-10-C as far as 32 x 32 pixels need no picture of frost or snow, with translation and
occlusion beside them. Amounts are our own: docs/robustness.md says what they cost a model.

Reference: Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
    arXiv 1903.12261.
"""

import hashlib
import io
from collections.abc import Callable
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter

from cnn_model.data import Images
from cnn_model.failures import BadRequestError

Floats = npt.NDArray[np.float32]
Generators = list[np.random.Generator]
"""One for each image."""

SEVERITIES = (1, 2, 3)
"""From the mildest on."""

SIDE = 32
GREY = 128
NUM_DIRECTIONS = 16
TAPS_PER_PIXEL = 4
"""Of the line that a motion blur averages over."""


def corrupt(images: Images, corruption: str, severity: int, seed: int) -> Images:
    """Corrupt each image.

    Args:
        images: ndarray of shape (num_images, 32, 32, 3), dtype=uint8.
        corruption: One of `NAMES`.
        severity: One of `SEVERITIES`.
        seed: 0 to 2**64 - 1.

    Returns:
        Of the same shape and type; the images that came are left as they are.

    Raises:
        BadRequestError: if there is no such corruption or severity.
    """
    if corruption not in _CORRUPTIONS or severity not in SEVERITIES:
        raise BadRequestError(
            f"the corruption {corruption!r} of severity {severity} was asked for; expected one of {', '.join(NAMES)}, "
            f"of severity {SEVERITIES[0]} to {SEVERITIES[-1]}; choose one of these"
        )
    function, amounts = _CORRUPTIONS[corruption]
    if len(images) == 0:
        return images.copy()
    return function(np.ascontiguousarray(images), amounts[severity - 1], _generators(images, corruption, seed))


def _gaussian_noise(images: Images, deviation: float, generators: Generators) -> Images:
    """Add normal noise of this deviation, on a scale of 0 to 1, to each value."""
    noise = np.stack([rng.standard_normal(images.shape[1:], np.float32) for rng in generators])
    return _rounded(images + 255 * deviation * noise)


def _impulse_noise(images: Images, share: float, generators: Generators) -> Images:
    """Set this share of the values to 0 or 255, salt and pepper, each channel by itself."""
    drawn = np.stack([rng.random(images.shape[1:], np.float32) for rng in generators])
    return np.where(drawn < share / 2, 0, np.where(drawn > 1 - share / 2, 255, images)).astype(np.uint8)


def _gaussian_blur(images: Images, deviation: float, generators: Generators) -> Images:
    """Blur with a normal kernel of this deviation in pixels."""
    return _rounded(gaussian_filter(images.astype(np.float32), (0, deviation, deviation, 0), mode="reflect"))


def _motion_blur(images: Images, length: float, generators: Generators) -> Images:
    """Average along a line of this length in pixels, in a random direction."""
    directions = np.array([rng.integers(NUM_DIRECTIONS) for rng in generators])
    blurred = np.empty(images.shape, np.float32)
    for direction in np.unique(directions):
        chosen = directions == direction
        kernel = _line(length, np.pi * float(direction) / NUM_DIRECTIONS)
        blurred[chosen] = _convolve(images[chosen].astype(np.float32), kernel)
    return _rounded(blurred)


def _brightness(images: Images, amount: float, generators: Generators) -> Images:
    """Raise the value of hue, saturation and value by this amount, on a scale of 0 to 1."""
    value = images.max(axis=-1, keepdims=True).astype(np.float32)
    raised = np.minimum(value + 255 * amount, 255)
    # Hue and saturation stay where the channels keep their ratios; black has none and becomes grey.
    return _rounded(np.where(value > 0, images * (raised / np.maximum(value, 1)), raised))


def _contrast(images: Images, share: float, generators: Generators) -> Images:
    """Leave this share of each value's distance from its channel's mean."""
    means = images.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    return _rounded(means + share * (images - means))


def _pixelation(images: Images, side: float, generators: Generators) -> Images:
    """Average down to so many pixels a side and enlarge again, without smoothing."""
    mixed = _enlarged(int(side)) @ _averaged(int(side))  # (32, 32)
    return _rounded(np.einsum("yj,njkc,xk->nyxc", mixed, images.astype(np.float32), mixed, optimize=True))


def _jpeg_compression(images: Images, quality: float, generators: Generators) -> Images:
    """Compress with this quality, 1 to 100, and decompress."""
    given = np.empty_like(images)
    for index, image in enumerate(images):
        with io.BytesIO() as file:
            Image.fromarray(image).save(file, "JPEG", quality=int(quality))
            given[index] = np.asarray(Image.open(file, formats=("JPEG",)))
    return given


def _translation(images: Images, distance: float, generators: Generators) -> Images:
    """Move by this distance in pixels in a random direction; the last row and column are repeated at the edge."""
    angles = np.array([rng.uniform(0, 2 * np.pi) for rng in generators])
    rows, columns = (
        np.clip(np.arange(SIDE) - np.rint(distance * part)[:, None], 0, SIDE - 1).astype(np.int64)
        for part in (np.sin(angles), np.cos(angles))
    )
    moved: Images = images[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved


def _occlusion(images: Images, side: float, generators: Generators) -> Images:
    """Cover a square of so many pixels a side with grey, wholly within the image, around a random place."""
    centres = np.stack([rng.uniform(0, SIDE, 2) for rng in generators])  # (num_images, 2)
    corners = np.rint(np.clip(centres - side / 2, 0, SIDE - side))
    rows, columns = (
        (np.arange(SIDE) >= corner[:, None]) & (np.arange(SIDE) < corner[:, None] + side) for corner in corners.T
    )
    covered = rows[:, :, None] & columns[:, None, :]
    return np.where(covered[..., None], np.uint8(GREY), images).astype(np.uint8)


Corruption = Callable[[Images, float, Generators], Images]

_CORRUPTIONS: MappingProxyType[str, tuple[Corruption, tuple[float, float, float]]] = MappingProxyType(
    {
        "Gaussian noise": (_gaussian_noise, (0.02, 0.04, 0.06)),
        "Impulse noise": (_impulse_noise, (0.002, 0.006, 0.02)),
        "Gaussian blur": (_gaussian_blur, (0.5, 0.75, 1.0)),
        "Motion blur": (_motion_blur, (3, 5, 7)),
        "Brightness": (_brightness, (0.15, 0.3, 0.45)),
        "Contrast": (_contrast, (0.5, 0.3, 0.2)),
        "Pixelation": (_pixelation, (28, 22, 16)),
        "JPEG compression": (_jpeg_compression, (70, 40, 20)),
        "Translation": (_translation, (3, 6, 9)),
        "Occlusion": (_occlusion, (8, 12, 16)),
    }
)
"""Each with its amount at each severity."""

NAMES = tuple(_CORRUPTIONS)


def _generators(images: Images, corruption: str, seed: int) -> Generators:
    start = hashlib.blake2b(corruption.encode(), digest_size=16, key=seed.to_bytes(8, "little"))
    keys = []
    for image in images:
        keyed = start.copy()
        keyed.update(image.tobytes())
        keys.append(int.from_bytes(keyed.digest(), "little"))
    return [np.random.Generator(np.random.Philox(key=key)) for key in keys]


def _rounded(values: Floats) -> Images:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _line(length: float, angle: float) -> Floats:
    """A kernel of an odd side that averages along a line, each of its points shared by the four pixels around it."""
    reach = int(np.ceil(length / 2))
    kernel = np.zeros((2 * reach + 2, 2 * reach + 2), np.float32)
    for along in np.linspace(-length / 2, length / 2, int(TAPS_PER_PIXEL * length) + 1):
        row, column = reach + along * np.sin(angle), reach + along * np.cos(angle)
        top, left = int(np.floor(row)), int(np.floor(column))
        down, right = row - top, column - left
        kernel[top : top + 2, left : left + 2] += np.outer((1 - down, down), (1 - right, right))
    normalized: Floats = kernel[:-1, :-1] / kernel.sum()
    return normalized


def _convolve(images: Floats, kernel: Floats) -> Floats:
    reach = len(kernel) // 2
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    total = np.zeros_like(images)
    for row, column in np.argwhere(kernel):
        total += kernel[row, column] * padded[:, row : row + SIDE, column : column + SIDE]
    return total


def _averaged(side: int) -> Floats:
    """The matrix (side, 32) that averages over equal parts of a row of pixels."""
    edges = np.linspace(0, SIDE, side + 1)
    pixels = np.arange(SIDE)
    overlaps = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(np.maximum(overlaps, 0) * side / SIDE, np.float32)


def _enlarged(side: int) -> Floats:
    """The matrix (32, side) that takes for each pixel the part that its middle lies in."""
    nearest = ((np.arange(SIDE) + 0.5) * side / SIDE).astype(np.int64)
    return np.asarray(np.eye(side)[nearest], np.float32)
