"""Near-duplicates for the report: pairs of images side by side."""

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks import store
from tasks.report.gallery import array, data_uri
from tasks.values.dataset import RawDataset
from tasks.values.drops import Drop
from tasks.values.near_duplicates import NearDuplicates


@dataclass(frozen=True)
class Member:
    """One image of a pair.

    Attributes:
        place: Where it came from: "train 12" or "test 3", as published, or a file of a drop, "berlin/cat/0001.jpg".
        source: The image as a PNG in a data URI.
    """

    place: str
    class_name: str
    source: str


@dataclass(frozen=True)
class Pair:
    """Two images that look the same; similarity above 0, up to 1."""

    first: Member
    second: Member
    similarity: float


@dataclass(frozen=True)
class PairGallery:
    """The near-duplicates of one report.

    Attributes:
        leaking: Pairs of a test image and one in train, in equal steps from the most to the least similar one.
        dropped_leaking: Pairs of a test image and one of a drop, likewise.
        dropped: Pairs of an image of a drop and one in train, in an earlier drop or its own, likewise.
        contradictory: Pairs within train and drops with different labels, the most similar first.
        num_leaking: Such pairs in all.
        num_dropped_leaking: Likewise.
        num_dropped: Likewise.
        num_contradictory: Likewise.
        num_within_train: Pairs within train, whatever their labels.
        num_test_images_in_train: Test images that have a near-duplicate in train or in a drop.
    """

    leaking: tuple[Pair, ...]
    dropped_leaking: tuple[Pair, ...]
    dropped: tuple[Pair, ...]
    contradictory: tuple[Pair, ...]
    num_leaking: int
    num_dropped_leaking: int
    num_dropped: int
    num_contradictory: int
    num_within_train: int
    num_test_images_in_train: int


class _Images:
    """The images of a dataset by the indices of its near-duplicates.

    Raises:
        StoreError: if an artifact is missing or damaged.
    """

    def __init__(self, dataset: RawDataset, near_duplicates: NearDuplicates) -> None:
        self._dataset = dataset
        # Until they are settled a dataset has its bad drops as well, which take no part.
        self._drops: tuple[Drop, ...] = dataset.with_drops(near_duplicates.drops).drops
        self._artifacts = [(dataset.artifact, "train_"), (dataset.artifact, "test_")]
        self._artifacts += [(drop.artifact, "") for drop in self._drops]
        self.labels = np.concatenate([array(artifact, f"{prefix}labels.npy") for artifact, prefix in self._artifacts])
        sizes = [dataset.num_train_images, dataset.num_test_images, *(drop.num_images for drop in self._drops)]
        self._starts = np.cumsum([0, *sizes])
        part_of = np.repeat(np.arange(len(sizes)), sizes)
        self.in_test: NDArray[np.bool_] = np.equal(part_of, 1)
        self.in_drop: NDArray[np.bool_] = np.greater(part_of, 1)

    def __getitem__(self, index: int) -> Member:
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        number = index - int(self._starts[part])
        artifact, prefix = self._artifacts[part]
        if part < 2:
            place = f"{('train', 'test')[part]} {number}"
        else:
            names = json.loads((store.current().fetch(artifact) / "names.json").read_text())
            place = f"{self._drops[part - 2].name}/{names[number]}"
        class_name = self._dataset.class_names[self.labels[index]]
        return Member(place, class_name, data_uri(array(artifact, f"{prefix}images.npy")[number]))


def pair_gallery(dataset: RawDataset, near_duplicates: NearDuplicates, num_pairs: int) -> PairGallery:
    """Choose and read the pairs of a report; the same dataset gives the same pictures.

    Args:
        dataset: The images.
        near_duplicates: Theirs.
        num_pairs: How many of each kind at most.

    Raises:
        StoreError: if an artifact is missing or damaged.
    """
    images = _Images(dataset, near_duplicates)
    pairs, similarity = near_duplicates.pairs()
    num_in_test = images.in_test[pairs].sum(axis=1)
    with_drop = images.in_drop[pairs].sum(axis=1) > 0
    differ = images.labels[pairs[:, 0]] != images.labels[pairs[:, 1]]
    leaking = np.flatnonzero((num_in_test == 1) & ~with_drop)
    dropped_leaking = np.flatnonzero((num_in_test == 1) & with_drop)
    dropped = np.flatnonzero((num_in_test == 0) & with_drop)
    contradictory = np.flatnonzero((num_in_test == 0) & differ)

    def shown(rows: NDArray[np.int64]) -> tuple[Pair, ...]:
        # The test image or that of a drop first: it is what the pair is about.
        ordered = np.where((num_in_test[rows] == 1) & with_drop[rows], pairs[rows].T, pairs[rows, ::-1].T).T
        return tuple(
            Pair(images[first], images[second], float(similarity[row]))
            for row, (first, second) in zip(rows, ordered.tolist(), strict=True)
        )

    return PairGallery(
        leaking=shown(_in_steps(leaking, num_pairs)),
        dropped_leaking=shown(_in_steps(dropped_leaking, num_pairs)),
        dropped=shown(_in_steps(dropped, num_pairs)),
        contradictory=shown(contradictory[:num_pairs]),
        num_leaking=len(leaking),
        num_dropped_leaking=len(dropped_leaking),
        num_dropped=len(dropped),
        num_contradictory=len(contradictory),
        num_within_train=int(((num_in_test == 0) & ~with_drop).sum()),
        num_test_images_in_train=near_duplicates.num_test_images_in_train,
    )


def _in_steps(rows: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """As many rows at most, from the first to the last."""
    return rows[np.linspace(0, len(rows) - 1, min(number, len(rows))).round().astype(np.int64)]
