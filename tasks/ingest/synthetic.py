"""Practice images: ten classes of drawn shapes and textures, in the record format of CIFAR-10.

They stand in where there is no data: in tests, in demonstrations, on a machine without network. They are learnable but
not trivial: colours, places, sizes and angles say nothing of the class, a texture fills an outline that is itself a
shape of another class, and faint, noisy or covered images are left in, as real data has them.

The same seed gives the same bytes on the same machine; another processor may round a pixel the other way.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.ingest import records
from tasks.ingest.official import TEST_MEMBER
from tasks.ingest.records import IMAGE_SIZE, NUM_CHANNELS, NUM_CLASSES

CLASS_NAMES = (
    "disc",
    "ring",
    "square",
    "triangle",
    "cross",
    "horizontal stripes",
    "vertical stripes",
    "diagonal stripes",
    "checkers",
    "dots",
)
"""What the labels 0 to 9 mean here."""

TEST_SHARE = 6
"""One image in so many is for testing, as among the official 60,000."""

_FILE_IMAGES = 10_000
_CHUNK_IMAGES = 500
"""Images drawn at once: their planes stay in the processor's cache, which halves the time of 12,000."""

_Floats = npt.NDArray[np.floating[Any]]
_Drawing = Callable[[_Floats, _Floats, _Floats], _Floats]


def files(num_images: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Draw the images, one file of at most 10,000 records after another.

    Args:
        num_images: In all; a sixth of them is for testing.
        seed: Of everything that is drawn.

    Yields:
        Name and bytes of `data_batch_1.bin` and so on, at last of `test_batch.bin`. Classes are balanced within one
        image over all training files, and within one in the test file; train and test are drawn alike.
    """
    rng = np.random.default_rng(seed)
    num_test = num_images // TEST_SHARE
    train_labels = _balanced_labels(num_images - num_test, rng)
    for number, start in enumerate(range(0, len(train_labels), _FILE_IMAGES), start=1):
        labels = train_labels[start : start + _FILE_IMAGES]
        yield f"data_batch_{number}.bin", records.encode(draw(labels, rng), labels)
    labels = _balanced_labels(num_test, rng)
    yield TEST_MEMBER, records.encode(draw(labels, rng), labels)


def draw(labels: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """One image for each label.

    Returns:
        ndarray of shape (num_images, 32, 32, 3), dtype=uint8, range [0, 255].
    """
    images = np.empty((len(labels), IMAGE_SIZE, IMAGE_SIZE, NUM_CHANNELS), np.uint8)
    for start in range(0, len(labels), _CHUNK_IMAGES):
        chunk = slice(start, start + _CHUNK_IMAGES)
        images[chunk] = _draw_chunk(labels[chunk], rng)
    return images


def _balanced_labels(num_images: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    return rng.permutation(np.arange(num_images) % NUM_CLASSES).astype(np.uint8)


def _draw_chunk(labels: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    n = len(labels)
    canvas = _background(n, rng)  # (n, 3, 32, 32)
    subject = _subject(labels, rng)  # (n, 32, 32)
    distractor = _distractor(n, rng)
    paint = _contrasting(canvas, rng)  # (n, 3, 1, 1)
    _paint(canvas, distractor, _contrasting(canvas, rng))
    _paint(canvas, subject, paint)
    _paint(canvas, _cover(n, rng), _colours(n, rng))
    noise = rng.standard_normal(canvas.shape, np.float32)
    canvas += noise * _uniform(rng, 4, 32, (n, 1, 1, 1))
    images: npt.NDArray[np.uint8] = np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
    return images.transpose(0, 2, 3, 1)  # (n, 32, 32, 3)


def _background(n: int, rng: np.random.Generator) -> _Floats:
    """A colour, a slope across the image, and soft clouds."""
    x, y = _grid()
    angle = _uniform(rng, 0, 2 * np.pi, (n, 1, 1))
    slope = (np.cos(angle) * x + np.sin(angle) * y) * _uniform(rng, 0, 2.2, (n, 1, 1))
    clouds = _STRETCH @ rng.standard_normal((n, 3, _COARSE, _COARSE), np.float32) @ _STRETCH.T
    return _colours(n, rng) + slope[:, None] + clouds * _uniform(rng, 2, 16, (n, 1, 1, 1))


def _subject(labels: npt.NDArray[np.uint8], rng: np.random.Generator) -> _Floats:
    """Coverage of what each label names, 0 to 1; shape (n, 32, 32)."""
    n = len(labels)
    x, y = _grid()
    place = _uniform(rng, -4.5, 4.5, (2, n, 1, 1))
    radius = _uniform(rng, 8, 13, (n, 1, 1))
    softness = _uniform(rng, 1.0, 2.5, (n, 1, 1))
    angle = _uniform(rng, -np.pi, np.pi, (n, 1, 1))
    tilt = _TILTS[labels].reshape(n, 1, 1) + _uniform(rng, -0.2, 0.2, (n, 1, 1))
    tilt[labels == _DIAGONAL] *= _signs(rng, (int(np.sum(labels == _DIAGONAL)), 1, 1))
    outlines = rng.integers(0, len(_OUTLINES), n)
    outlines[labels < len(_SHAPES)] = -1
    u, v = _turned(x - place[0], y - place[1], angle)
    coverage = np.ones((n, IMAGE_SIZE, IMAGE_SIZE), np.float32)
    for label, shape in enumerate(_SHAPES):
        _draw_where(coverage, labels == label, shape, (u, v, radius), softness)
    for number, shape in enumerate(_OUTLINES):
        _draw_where(coverage, outlines == number, shape, (u, v, radius * 1.3), softness)
    free = np.isnan(tilt)
    u, v = _turned(x - place[0], y - place[1], np.where(free, angle, tilt))
    period = _uniform(rng, 4.5, 8, (n, 1, 1))
    for label, texture in enumerate(_TEXTURES, start=len(_SHAPES)):
        _draw_where(coverage, labels == label, texture, (u, v, period), softness)
    return coverage


def _draw_where(
    coverage: _Floats,
    chosen: npt.NDArray[np.bool_],
    drawing: _Drawing,
    frame: tuple[_Floats, _Floats, _Floats],
    softness: _Floats,
) -> None:
    """Multiply the coverage of the chosen images by that of a drawing, whose edge is `softness` pixels wide."""
    u, v, size = frame
    distance = drawing(u[chosen], v[chosen], size[chosen])
    coverage[chosen] *= np.clip(0.5 - distance / softness[chosen], 0, 1)


# Each drawing gives the signed distance to its edge in pixels, negative inside, in a frame turned about its centre.


def _disc(u: _Floats, v: _Floats, radius: _Floats) -> _Floats:
    distance: _Floats = np.hypot(u, v) - radius * 0.95
    return distance


def _ring(u: _Floats, v: _Floats, radius: _Floats) -> _Floats:
    distance: _Floats = np.abs(np.hypot(u, v) - radius * 0.8) - radius * 0.22
    return distance


def _square(u: _Floats, v: _Floats, radius: _Floats) -> _Floats:
    distance: _Floats = np.maximum(np.abs(u), np.abs(v)) - radius * 0.82
    return distance


def _triangle(u: _Floats, v: _Floats, radius: _Floats) -> _Floats:
    distance: _Floats = np.maximum(-v, np.abs(u) * 0.866 + v * 0.5) - radius * 0.6
    return distance


def _cross(u: _Floats, v: _Floats, radius: _Floats) -> _Floats:
    along, across = np.maximum(np.abs(u), np.abs(v)), np.minimum(np.abs(u), np.abs(v))
    distance: _Floats = np.maximum(along - radius, across - radius * 0.28)
    return distance


def _stripes(u: _Floats, v: _Floats, period: _Floats) -> _Floats:
    return np.sin(v * (2 * np.pi / period)) * period / 6


def _checkers(u: _Floats, v: _Floats, period: _Floats) -> _Floats:
    pitch = np.pi / (period * 0.9)
    return np.sin(u * pitch) * np.sin(v * pitch) * period / 2


def _dots(u: _Floats, v: _Floats, period: _Floats) -> _Floats:
    pitch = 2 * np.pi / period
    return (0.5 - np.cos(u * pitch) - np.cos(v * pitch)) * period / 8


_SHAPES: tuple[_Drawing, ...] = (_disc, _ring, _square, _triangle, _cross)
_TEXTURES: tuple[_Drawing, ...] = (_stripes, _stripes, _stripes, _checkers, _dots)
_OUTLINES: tuple[_Drawing, ...] = (_disc, _square, _triangle)
_DIAGONAL = CLASS_NAMES.index("diagonal stripes")
_TILTS = np.array([np.nan] * 5 + [0, np.pi / 2, np.pi / 4] + [np.nan] * 2, dtype=np.float32)
"""The angle of each class's texture; none has one that says nothing."""


def _distractor(n: int, rng: np.random.Generator) -> _Floats:
    """Coverage of one to no small shape of any kind, which says nothing of the class."""
    x, y = _grid()
    place = _uniform(rng, -15, 15, (2, n, 1, 1))
    u, v = _turned(x - place[0], y - place[1], _uniform(rng, -np.pi, np.pi, (n, 1, 1)))
    kinds = rng.integers(0, len(_SHAPES) + 2, n)
    coverage: _Floats = (kinds < len(_SHAPES)).astype(np.float32).reshape(n, 1, 1) * np.ones_like(u)
    size = _uniform(rng, 2.5, 5, (n, 1, 1))
    for kind, shape in enumerate(_SHAPES):
        _draw_where(coverage, kinds == kind, shape, (u, v, size), np.full_like(size, 1.2))
    return coverage


def _cover(n: int, rng: np.random.Generator) -> _Floats:
    """Coverage of a bar that lies over some images, at any place and angle."""
    x, y = _grid()
    u, _ = _turned(x, y, _uniform(rng, -np.pi, np.pi, (n, 1, 1)))
    width = _uniform(rng, -3, 2, (n, 1, 1))
    coverage: _Floats = np.clip(width - np.abs(u - _uniform(rng, -12, 12, (n, 1, 1))), 0, 1)
    return coverage


def _contrasting(canvas: _Floats, rng: np.random.Generator) -> _Floats:
    """A colour that differs from each canvas's mean colour, by much or by little; shape (n, 3, 1, 1)."""
    n = len(canvas)
    direction = rng.standard_normal((n, 3, 1, 1), np.float32) + 1.2 * _signs(rng, (n, 1, 1, 1))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    mean = canvas.mean(axis=(2, 3), keepdims=True)
    # Towards where there is room: a bright ground gets a darker subject.
    room = np.sign(127.5 - mean.mean(axis=1, keepdims=True))
    direction *= np.where(direction.sum(axis=1, keepdims=True) * room < 0, -1, 1)
    colour: _Floats = mean + direction * _uniform(rng, 30, 150, (n, 1, 1, 1))
    return colour


def _colours(n: int, rng: np.random.Generator) -> _Floats:
    """Colours as photographs have them: any brightness, mostly dull; shape (n, 3, 1, 1)."""
    return _uniform(rng, 45, 200, (n, 1, 1, 1)) + rng.standard_normal((n, 3, 1, 1), np.float32) * np.float32(22)


def _paint(canvas: _Floats, coverage: _Floats, colour: _Floats) -> None:
    canvas += coverage[:, None] * (colour - canvas)


def _turned(x: _Floats, y: _Floats, angle: _Floats) -> tuple[_Floats, _Floats]:
    cos, sin = np.cos(angle), np.sin(angle)
    return x * cos + y * sin, y * cos - x * sin


def _grid() -> tuple[_Floats, _Floats]:
    """Pixel coordinates about the image's middle, x of shape (1, 1, 32) and y of shape (1, 32, 1)."""
    axis = np.arange(IMAGE_SIZE, dtype=np.float32) - (IMAGE_SIZE - 1) / 2
    return axis.reshape(1, 1, -1), axis.reshape(1, -1, 1)


def _uniform(rng: np.random.Generator, low: float, high: float, shape: tuple[int, ...]) -> _Floats:
    return rng.random(shape, np.float32) * np.float32(high - low) + np.float32(low)


def _signs(rng: np.random.Generator, shape: tuple[int, ...]) -> _Floats:
    """-1 or 1, each as often."""
    return (rng.integers(0, 2, shape) * 2 - 1).astype(np.float32)


def _stretch(coarse: int) -> _Floats:
    """The matrix that stretches `coarse` values to a row of pixels, linearly; shape (32, coarse)."""
    position = np.linspace(0, coarse - 1, IMAGE_SIZE)[:, None]
    weights: _Floats = np.maximum(0, 1 - np.abs(position - np.arange(coarse))).astype(np.float32)
    return weights


_COARSE = 6
_STRETCH = _stretch(_COARSE)
