"""Finds images that show the same photograph: copied, mirrored, cropped, recoloured or compressed again.

The base is searched first. Then drops come one by one: each image looks for its nearest neighbours in train, in test,
among the drops that were kept and in its own drop, each on its own, so that a heap of like images in one of them hides
no neighbour in another. A drop that is not kept leaves no trace in what later ones find.

Knows nothing of checks. The number of cores changes the time and not the result.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits

from tasks.validate.whitened import (
    NUM_ROWS,
    Floats,
    Images,
    Indices,
    Waves,
    correlations,
    describe,
    joined,
    nearest_earlier,
)
from tasks.values.near_duplicates import FILE
from tasks.values.pixels import pixel_sha256

MIN_SIMILARITY = 0.85
"""From here on a pair counts."""

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


@dataclass(frozen=True)
class Batch:
    """Images that were looked at beside those that were there.

    Attributes:
        start: The index of the first; the others count on.
        images: Of shape (num_images, 32, 32, 3), dtype=uint8, in one array or several.
        first: The index of each content that was not there before, by its `pixel_sha256`.
        waves: What later images are compared with.
        pairs: Each of an image of the batch with one that was there, or with one of the batch.
    """

    start: int
    images: tuple[Images, ...]
    first: Mapping[str, int]
    waves: Waves
    pairs: Pairs

    def near(self, first: int, last: int) -> NDArray[np.bool_]:
        """Which of its images are paired with one of those from `first` up to `last`, which is left out."""
        earlier, own = self.pairs.indices.T
        found = np.zeros(sum(map(len, self.images)), np.bool_)
        found[own[(first <= earlier) & (earlier < last)] - self.start] = True
        return found


class Search:
    """The near-duplicates of a base, and of more images as they come.

    An image is paired with at most five earlier ones of the base, and one of a drop with at most five in each of train,
    test, the drops before and its own; one that equals an earlier image with the first such alone. So of many like
    images not each pair is listed, but all of them hang together.

    Indices count train, test and the drops that were kept, in this order.

    Args:
        train: ndarray of shape (num_train_images, 32, 32, 3), dtype=uint8, range [0, 255]; may be memory-mapped.
        test: Likewise.

    Attributes:
        num_train_images: Of the base.
        num_base_images: Train and test.
        pairs: Those of all images so far.
    """

    def __init__(self, train: Images, test: Images) -> None:
        self.num_train_images, self.num_base_images = len(train), len(train) + len(test)
        self._images = _Stack(())
        self._first: dict[str, int] = {}
        base = self._look((train, test), sections=())
        waves = base.waves
        test_waves = waves.between(self.num_train_images, self.num_base_images)
        self._sections = (waves.between(0, self.num_train_images), test_waves, joined([]))
        self._images, self._first, self.pairs = _Stack(base.images), dict(base.first), base.pairs

    @property
    def num_images(self) -> int:
        """Those of the base and of the drops that were kept."""
        return len(self._images)

    def look(self, images: Images) -> Batch:
        """Find the near-duplicates of a drop's images, of shape (num_images, 32, 32, 3), dtype=uint8."""
        return self._look((images,), self._sections)

    def keep(self, batch: Batch) -> None:
        """Count the images that were looked at last among those that are there."""
        train, test, drops = self._sections
        self._images = _Stack((*self._images.parts, *batch.images))
        self._first = {**self._first, **batch.first}
        self._sections = (train, test, joined([drops, batch.waves]))
        self.pairs = _ordered([self.pairs, batch.pairs])

    def groups(self) -> Indices:
        """The group of each image, as `group` has it."""
        return group(self.num_images, self.pairs.indices)

    def base_groups(self) -> Indices:
        """Those of the base as if it were alone."""
        indices = self.pairs.indices
        return group(self.num_base_images, indices[indices[:, 1] < self.num_base_images])

    def _look(self, parts: tuple[Images, ...], sections: Sequence[Waves]) -> Batch:
        start = self.num_images
        images = _Stack((*self._images.parts, *parts))
        first, copies = self._copies(parts, start)
        distinct = np.setdiff1d(np.arange(start, len(images), dtype=np.int32), copies[:, 1])
        with _threads() as threads:
            chunks = [distinct[at : at + CHUNK] for at in range(0, len(distinct), CHUNK)]
            waves = joined([*threads.map(lambda chunk: describe(images[chunk], chunk), chunks)])
            tasks = [(among, at) for among in (*sections, waves) for at in range(0, len(waves.indices), NUM_ROWS)]
            found = [*threads.map(lambda task: nearest_earlier(waves, task[1], task[0]), tasks)]
            pairs = np.concatenate([np.empty((0, 2), np.int32), *(pairs for pairs, _ in found)])
            mirrored = np.concatenate([np.empty(0, np.bool_), *(mirrored for _, mirrored in found)])
            spans = [slice(at, at + CHUNK) for at in range(0, len(pairs), CHUNK)]
            values = threads.map(
                lambda span: correlations(images[pairs[span, 0]], images[pairs[span, 1]], mirrored[span]), spans
            )
            similarity = np.concatenate([np.empty(0, np.float32), *values])
        near = similarity >= MIN_SIMILARITY
        # More digits than four would be noise.
        close = Pairs(pairs[near], similarity[near].clip(max=1).round(4))
        equal = Pairs(copies, np.ones(len(copies), np.float32))
        return Batch(start, parts, first, waves, _ordered([equal, close]))

    def _copies(self, parts: Sequence[Images], start: int) -> tuple[dict[str, int], Indices]:
        """New contents with where they first stand, and each image that equals an earlier one after the first such."""
        first: dict[str, int] = {}
        pairs: list[tuple[int, int]] = []
        for index, image in enumerate((image for part in parts for image in part), start):
            digest = pixel_sha256(image)
            earlier = self._first.get(digest, first.get(digest))
            if earlier is None:
                first[digest] = index
            else:
                pairs.append((earlier, index))
        return first, np.array(pairs, dtype=np.int32).reshape(-1, 2)


class _Stack:
    """Arrays of images one after another, read where they lie."""

    def __init__(self, parts: tuple[Images, ...]) -> None:
        self.parts = parts
        self._starts = np.cumsum([0, *map(len, parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, indices: Indices) -> Images:
        part_of = np.searchsorted(self._starts, indices, side="right") - 1
        images = np.empty((len(indices), *self.parts[0].shape[1:]), np.uint8)
        for number in np.unique(part_of):
            here = part_of == number
            images[here] = self.parts[number][indices[here] - self._starts[number]]
        return images


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """Threads that share the work, each with matrix products of its own: those of OpenBLAS wait for each other."""
    num_threads = min(os.cpu_count() or 1, MAX_THREADS)
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(num_threads) as threads:
        yield threads


def _ordered(parts: Sequence[Pairs]) -> Pairs:
    indices = np.concatenate([part.indices for part in parts])
    similarity = np.concatenate([part.similarity for part in parts])
    order = np.lexsort((indices[:, 1], indices[:, 0], -similarity))
    return Pairs(indices[order], similarity[order])


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


def write_near_duplicates(folder: Path, pairs: Pairs, groups: Indices, base_groups: Indices) -> None:
    """Write `near_duplicates.npz` into `folder`; see `NearDuplicates`."""
    np.savez(
        folder / FILE,
        allow_pickle=False,
        pairs=pairs.indices,
        similarity=pairs.similarity,
        groups=groups,
        base_groups=base_groups,
    )
