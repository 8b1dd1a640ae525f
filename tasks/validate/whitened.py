"""Images by their waves, each weighted as photographs lack it: how the search for near-duplicates compares them.

Photographs are alike in what is coarse, sky above and ground below: of two that are not the same, the pixels may
correlate at 0.9. So they are compared after a filter that gives each frequency the weight that photographs lack (their
amplitude falls as 1 / frequency), up to where resizing and compression change it. Pooled to 8x8 they are searched; at
full size two of them are compared over small shifts.

NumPy and SciPy; knows of no more images than it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
Indices = NDArray[np.int32]

POOLED_SIZE = 8
NUM_WAVES = POOLED_SIZE * POOLED_SIZE * 3
POOLED_CUTOFF = 3.0
CUTOFF = 6.0
"""Cycles an image at which the filters have come down to 1 / e; lower in the search, which tries no shifts."""

MIN_POOLED_CONTRAST = 1.0
"""Levels. A pooled image that deviates less from its mean colour has no direction: it is a duplicate of its equals
alone."""

MIN_CANDIDATE_SIMILARITY = 0.7
NUM_CANDIDATES = 5
"""How many neighbours are looked at closely: with a bound, a heap of like images takes linear room."""

MAX_SHIFT = 1
"""Pixels, in each direction."""

NUM_ROWS, NUM_COLUMNS = 512, 2048
"""Of the similarities that are computed at once: 4 MiB stay in a core's caches."""


@dataclass(frozen=True)
class Waves:
    """Pooled images as directions: the product of two is their similarity.

    A mirror image has the horizontal waves of odd number with the other sign, and all others alike.

    Attributes:
        indices: ndarray of shape (num_images,), dtype=int32, ascending: which images. Those without contrast are left
            out.
        even: ndarray of shape (num_images, 96), dtype=float32: horizontal waves of even number.
        odd: Those of odd number, likewise; the squares of both add up to 1.
    """

    indices: Indices
    even: Floats
    odd: Floats

    def between(self, first: int, last: int) -> "Waves":
        """Those of the images from `first` up to `last`, which is left out."""
        start, stop = np.searchsorted(self.indices, (first, last))
        return Waves(self.indices[start:stop], self.even[start:stop], self.odd[start:stop])


def joined(parts: Sequence[Waves]) -> Waves:
    """Parts in the order of their images, as one."""
    none = np.empty((0, NUM_WAVES // 2), np.float32)
    return Waves(
        np.concatenate([np.empty(0, np.int32), *(part.indices for part in parts)]),
        np.concatenate([none, *(part.even for part in parts)]),
        np.concatenate([none, *(part.odd for part in parts)]),
    )


def describe(images: Images, indices: Indices) -> Waves:
    """The waves of images.

    Args:
        images: ndarray of shape (num_images, 32, 32, 3), dtype=uint8, range [0, 255].
        indices: Theirs, shape (num_images,).
    """
    pooled = _pooled(images)
    structured = pooled.std(axis=(1, 2)).max(axis=1, initial=0) >= MIN_POOLED_CONTRAST
    waves = _weighted_waves(pooled[structured], POOLED_CUTOFF)
    waves /= np.sqrt(np.square(waves).sum(axis=(1, 2, 3), keepdims=True))
    even, odd = (waves[:, :, parity::2].reshape(-1, NUM_WAVES // 2) for parity in (0, 1))
    return Waves(indices[structured], even, odd)


def _pooled(images: Images) -> Floats:
    """Means of 4x4 pixels, shape (num_images, 8, 8, 3)."""
    side = images.shape[1] // POOLED_SIZE
    tiles = images.reshape(len(images), POOLED_SIZE, side, POOLED_SIZE, side, 3)
    means: Floats = tiles.mean(axis=(2, 4), dtype=np.float32)
    return means


def _weighted_waves(images: Floats | Images, cutoff: float) -> Floats:
    """The cosine waves of images of shape (num_images, size, size, 3), with the filter's weights.

    The mean colour has no weight, a wave of f cycles an image f * exp(-(f / cutoff) ** 2).
    """
    frequency = np.arange(images.shape[1], dtype=np.float32) / 2
    total = np.hypot(frequency[:, None], frequency)
    weights = total * np.exp(-((total / cutoff) ** 2))
    waves: Floats = dctn(images.astype(np.float32), axes=(1, 2), norm="ortho") * weights[:, :, None]
    return waves


def nearest_earlier(waves: Waves, start: int, among: Waves) -> tuple[Indices, NDArray[np.bool_]]:
    """Of some images the nearest among those before them, at most `NUM_CANDIDATES` of each.

    Args:
        waves: Images, of which the `NUM_ROWS` from `start` on are looked at.
        start: A place in `waves`.
        among: Where to look; may be `waves` itself.

    Returns:
        Pairs of indices, shape (num_pairs, 2), the earlier one first; and in which the one is like the other's mirror
        image.
    """
    rows = waves.indices[start : start + NUM_ROWS]
    even, odd = waves.even[start : start + NUM_ROWS], waves.odd[start : start + NUM_ROWS]
    stop = int(np.searchsorted(among.indices, rows[-1], side="right"))
    hits = [(np.empty((0, 2), np.int32), np.empty(0, np.float32), np.empty(0, np.bool_))]
    for left in range(0, stop, NUM_COLUMNS):
        columns = among.indices[left : min(left + NUM_COLUMNS, stop)]
        similarity = even @ among.even[left : left + len(columns)].T  # (rows, columns)
        difference = odd @ among.odd[left : left + len(columns)].T
        # The larger of the similarities to an image and to its mirror image.
        similarity += np.abs(difference)
        places = np.flatnonzero(similarity >= MIN_CANDIDATE_SIMILARITY)
        pairs = np.stack([columns[places % len(columns)], rows[places // len(columns)]], axis=1)
        earlier = pairs[:, 0] < pairs[:, 1]
        pairs, values = pairs[earlier], similarity.ravel()[places[earlier]]
        best = _highest(pairs[:, 1], values)
        hits.append((pairs[best], values[best], difference.ravel()[places[earlier][best]] < 0))
    pairs, values, mirrored = (np.concatenate(arrays) for arrays in zip(*hits, strict=True))
    best = _highest(pairs[:, 1], values)
    return pairs[best], mirrored[best]


def _highest(groups: Indices, values: Floats) -> NDArray[np.int64]:
    """Where the highest values of each group stand, at most `NUM_CANDIDATES` of each."""
    order = np.lexsort((-values, groups))
    ordered = groups[order]
    rank = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    highest: NDArray[np.int64] = order[rank < NUM_CANDIDATES]
    return highest


def correlations(first: Images, second: Images, mirrored: NDArray[np.bool_]) -> Floats:
    """The highest correlation of the filtered images of each pair over small shifts, -1 to 1.

    Args:
        first: The one image of each pair; ndarray of shape (num_pairs, 32, 32, 3), dtype=uint8.
        second: The other, likewise.
        mirrored: Which of the first ones are turned to their mirror image before.
    """
    moving, fixed = (idctn(_weighted_waves(side, CUTOFF), axes=(1, 2), norm="ortho") for side in (first, second))
    moving[mirrored] = moving[mirrored][:, :, ::-1]
    size = first.shape[1] - 2 * MAX_SHIFT
    centre = _crop(fixed, MAX_SHIFT, MAX_SHIFT, size)
    length = np.sqrt(np.einsum("np,np->n", centre, centre))
    best = np.full(len(first), -1, np.float32)
    for top, left in product(range(2 * MAX_SHIFT + 1), repeat=2):
        crop = _crop(moving, top, left, size)
        lengths = length * np.sqrt(np.einsum("np,np->n", crop, crop))
        np.maximum(best, np.einsum("np,np->n", crop, centre) / np.maximum(lengths, 1e-6), out=best)
    return best


def _crop(images: Floats, top: int, left: int, size: int) -> Floats:
    """A square of each image as a row, shape (num_images, size * size * 3)."""
    return images[:, top : top + size, left : left + size].reshape(len(images), -1)
