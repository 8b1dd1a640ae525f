"""Finds images that show the same photograph: copied, mirrored, cropped, recoloured or compressed again.

Photographs are alike in what is coarse, sky above and ground below: of two that are not the same, the pixels may
correlate at 0.9. So they are compared after a filter that gives each frequency the weight that photographs lack (their
amplitude falls as 1 / frequency), up to where resizing and compression change it. Each image, pooled to 8x8, looks for
its nearest neighbours among all earlier ones; these candidates are then compared at full size over small shifts.

NumPy and SciPy; knows nothing of checks, nor of train and test. The number of cores changes the time and not the
result.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits

from tasks.values.near_duplicates import FILE
from tasks.values.pixels import pixel_sha256

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
Indices = NDArray[np.int32]

MIN_SIMILARITY = 0.85
"""From here on a pair counts."""

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
"""How many earlier neighbours are looked at closely: with a bound, a heap of like images takes linear room."""

MAX_SHIFT = 1
"""Pixels, in each direction."""

NUM_ROWS, NUM_COLUMNS = 512, 2048
"""Of the similarities that are computed at once: 4 MiB stay in a core's caches."""

CHUNK = 500
"""Images or pairs that are looked at once: 30 MB for each thread."""

MAX_THREADS = 4


@dataclass(frozen=True)
class Pairs:
    """Pairs of images, the most similar first.

    Attributes:
        indices: ndarray of shape (num_pairs, 2), dtype=int32; the smaller index of a pair stands first.
        similarity: ndarray of shape (num_pairs,), dtype=float32, range [0, 1]; 1 for equal images.
    """

    indices: Indices
    similarity: Floats


def find_pairs(images: Images) -> Pairs:
    """Find the near-duplicates among images: pairs with a similarity of `MIN_SIMILARITY` or more.

    An image is paired with at most five earlier ones, and one that equals an earlier image with the first such alone.
    So of many like images not each pair is listed, but all of them hang together.

    Args:
        images: ndarray of shape (num_images, 32, 32, 3), dtype=uint8, range [0, 255].
    """
    copies = _copies(images)
    with _threads() as threads:
        candidates, mirrored = _candidates(images, np.setdiff1d(np.arange(len(images)), copies[:, 1]), threads)
        parts = [slice(start, start + CHUNK) for start in range(0, len(candidates), CHUNK)]
        found = threads.map(lambda part: _correlations(images, candidates[part], mirrored[part]), parts)
        similarity = np.concatenate([np.empty(0, np.float32), *found])
    near = similarity >= MIN_SIMILARITY
    indices = np.concatenate([copies, candidates[near]])
    # More digits than four would be noise.
    values = np.concatenate([np.ones(len(copies), np.float32), similarity[near].clip(max=1).round(4)])
    order = np.lexsort((indices[:, 1], indices[:, 0], -values))
    return Pairs(indices[order], values[order])


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """Threads that share the work, each with matrix products of its own: those of OpenBLAS wait for each other."""
    num_threads = min(os.cpu_count() or 1, MAX_THREADS)
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(num_threads) as threads:
        yield threads


def _copies(images: Images) -> Indices:
    """Each image that equals an earlier one, after the first such; shape (num_copies, 2)."""
    first: dict[str, int] = {}
    pairs = [(first.setdefault(pixel_sha256(image), i), i) for i, image in enumerate(images)]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], dtype=np.int32).reshape(-1, 2)


def _candidates(
    images: Images, distinct: NDArray[np.int64], threads: ThreadPoolExecutor
) -> tuple[Indices, NDArray[np.bool_]]:
    """Of each image the nearest among the earlier ones.

    Args:
        images: All images.
        distinct: Indices of those that are compared, ascending.
        threads: Do the work.

    Returns:
        Pairs of shape (num_candidates, 2), and of which the one is like the other's mirror image.
    """
    parts = [distinct[start : start + CHUNK] for start in range(0, len(distinct), CHUNK)]
    none = np.empty((0, POOLED_SIZE, POOLED_SIZE, 3), np.float32)
    pooled = np.concatenate([none, *threads.map(lambda part: _pooled(images[part]), parts)])
    structured = pooled.std(axis=(1, 2)).max(axis=1) >= MIN_POOLED_CONTRAST
    waves = _weighted_waves(pooled[structured], POOLED_CUTOFF)
    waves /= np.sqrt(np.square(waves).sum(axis=(1, 2, 3), keepdims=True))
    # A mirror image has the horizontal waves of odd number with the other sign, and all others alike.
    even, odd = (waves[:, :, parity::2].reshape(-1, NUM_WAVES // 2) for parity in (0, 1))
    found = [*threads.map(lambda start: _nearest_earlier(even, odd, start), range(0, max(len(even), 1), NUM_ROWS))]
    pairs, mirrored = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return distinct[structured][pairs].astype(np.int32).reshape(-1, 2), mirrored


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


def _nearest_earlier(even: Floats, odd: Floats, start: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The nearest of the images before each of those from `start` on: pairs, and which of them are mirrored."""
    stop = min(start + NUM_ROWS, len(even))
    hits = [(np.empty((0, 2), np.int64), np.empty(0, np.float32), np.empty(0, np.bool_))]
    for left in range(0, stop, NUM_COLUMNS):
        right = min(left + NUM_COLUMNS, stop)
        similarity = even[start:stop] @ even[left:right].T  # (rows, columns)
        difference = odd[start:stop] @ odd[left:right].T
        # The larger of the similarities to an image and to its mirror image.
        similarity += np.abs(difference)
        places = np.flatnonzero(similarity >= MIN_CANDIDATE_SIMILARITY)
        pairs = np.stack([left + places % (right - left), start + places // (right - left)], axis=1)
        earlier = pairs[:, 0] < pairs[:, 1]
        pairs, values = pairs[earlier], similarity.ravel()[places[earlier]]
        best = _highest(pairs[:, 1], values)
        hits.append((pairs[best], values[best], difference.ravel()[places[earlier][best]] < 0))
    pairs, values, mirrored = (np.concatenate(arrays) for arrays in zip(*hits, strict=True))
    best = _highest(pairs[:, 1], values)
    return pairs[best], mirrored[best]


def _highest(groups: NDArray[np.int64], values: Floats) -> NDArray[np.int64]:
    """Where the highest values of each group stand, at most `NUM_CANDIDATES` of each."""
    order = np.lexsort((-values, groups))
    ordered = groups[order]
    rank = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    highest: NDArray[np.int64] = order[rank < NUM_CANDIDATES]
    return highest


def _correlations(images: Images, pairs: Indices, mirrored: NDArray[np.bool_]) -> Floats:
    """The highest correlation of the filtered images of each pair over small shifts, -1 to 1."""
    moving, fixed = (
        idctn(_weighted_waves(images[side], CUTOFF), axes=(1, 2), norm="ortho") for side in (pairs[:, 0], pairs[:, 1])
    )
    moving[mirrored] = moving[mirrored][:, :, ::-1]
    size = images.shape[1] - 2 * MAX_SHIFT
    centre = _crop(fixed, MAX_SHIFT, MAX_SHIFT, size)
    length = np.sqrt(np.einsum("np,np->n", centre, centre))
    best = np.full(len(pairs), -1, np.float32)
    for top, left in product(range(2 * MAX_SHIFT + 1), repeat=2):
        crop = _crop(moving, top, left, size)
        lengths = length * np.sqrt(np.einsum("np,np->n", crop, crop))
        np.maximum(best, np.einsum("np,np->n", crop, centre) / np.maximum(lengths, 1e-6), out=best)
    return best


def _crop(images: Floats, top: int, left: int, size: int) -> Floats:
    """A square of each image as a row, shape (num_images, size * size * 3)."""
    return images[:, top : top + size, left : left + size].reshape(len(images), -1)


def group(num_images: int, pairs: Indices) -> Indices:
    """Join images that pairs connect, directly or through others.

    Args:
        num_images: Images in all.
        pairs: ndarray of shape (num_pairs, 2), dtype=int32.

    Returns:
        The group of each image, named by its smallest index; ndarray of shape (num_images,), dtype=int32.
    """
    ones = np.ones(len(pairs), np.bool_)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(num_images, num_images))
    component = connected_components(graph, directed=False)[1]
    _, first, of_image = np.unique(component, return_index=True, return_inverse=True)
    groups: Indices = first[of_image].astype(np.int32)
    return groups


def write_near_duplicates(folder: Path, pairs: Pairs, groups: Indices) -> None:
    """Write `near_duplicates.npz` into `folder`; see `NearDuplicates`."""
    np.savez(folder / FILE, allow_pickle=False, pairs=pairs.indices, similarity=pairs.similarity, groups=groups)
