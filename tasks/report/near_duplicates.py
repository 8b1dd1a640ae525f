"""Near-duplicates for the report: pairs of images side by side."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.report.gallery import array, data_uri
from tasks.values.dataset import RawDataset
from tasks.values.near_duplicates import NearDuplicates


@dataclass(frozen=True)
class Member:
    """One image of a pair.

    Attributes:
        split: "train" or "test", as published.
        index: Its place there.
        source: The image as a PNG in a data URI.
    """

    split: str
    index: int
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
        contradictory: Pairs within train with different labels, the most similar first.
        num_leaking: Such pairs in all.
        num_contradictory: Likewise.
        num_within_train: Pairs within train, whatever their labels.
        num_test_images_in_train: Test images that have a near-duplicate in train.
    """

    leaking: tuple[Pair, ...]
    contradictory: tuple[Pair, ...]
    num_leaking: int
    num_contradictory: int
    num_within_train: int
    num_test_images_in_train: int


def pair_gallery(dataset: RawDataset, near_duplicates: NearDuplicates, num_pairs: int) -> PairGallery:
    """Choose and read the pairs of a report; the same dataset gives the same pictures.

    Args:
        dataset: The images.
        near_duplicates: Theirs.
        num_pairs: How many of each kind at most.

    Raises:
        StoreError: if an artifact is missing or damaged.
    """
    pairs, similarity = near_duplicates.pairs()
    labels = np.concatenate([array(dataset.artifact, f"{split}_labels.npy") for split in ("train", "test")])
    num_members_in_test = (pairs >= near_duplicates.num_train_images).sum(axis=1)
    within_train = num_members_in_test == 0
    differ = labels[pairs[:, 0]] != labels[pairs[:, 1]]
    leaking = np.flatnonzero(num_members_in_test == 1)
    contradictory = np.flatnonzero(within_train & differ)
    steps = np.linspace(0, len(leaking) - 1, min(num_pairs, len(leaking))).round().astype(np.int64)

    def member(index: int) -> Member:
        in_train = index < near_duplicates.num_train_images
        split, place = ("train", index) if in_train else ("test", index - near_duplicates.num_train_images)
        return Member(
            split,
            place,
            dataset.class_names[labels[index]],
            data_uri(array(dataset.artifact, f"{split}_images.npy")[place]),
        )

    def shown(rows: NDArray[np.int64]) -> tuple[Pair, ...]:
        return tuple(
            # The test image first, as the figures on it are what the pair is about.
            Pair(member(int(pairs[row, 1])), member(int(pairs[row, 0])), float(similarity[row]))
            for row in rows
        )

    return PairGallery(
        leaking=shown(leaking[steps]),
        contradictory=shown(contradictory[:num_pairs]),
        num_leaking=len(leaking),
        num_contradictory=len(contradictory),
        num_within_train=int(within_train.sum()),
        num_test_images_in_train=near_duplicates.num_test_images_in_train,
    )
