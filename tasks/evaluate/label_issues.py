"""Labels that are probably wrong: those that contradict what a model says of images it has not learned from.

Confident learning says how many there are: an image counts as one of another class where the model is as sure of that
class as it is, on average, of images labelled so. Which ones: those with the lowest probability of their own label.

Reference: Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70 (2021),
as the library cleanlab has it.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.values.label_issues import COLUMNS, FILE
from tasks.values.pixels import pixel_sha256

LEAST_IMAGES = 100
"""Of fewer, an average over a class says nothing."""


@dataclass(frozen=True)
class Scored:
    """One split beside what the model makes of it.

    Attributes:
        split: Its name.
        images: ndarray of shape (num_images, 32, 32, 3), dtype=uint8.
        labels: ndarray of shape (num_images,), dtype=uint8.
        probabilities: ndarray of shape (num_images, num_classes), dtype=float32.
    """

    split: str
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    probabilities: NDArray[np.float32]


def load(split: str, arrays: Path, probabilities: Path) -> Scored:
    """Read a split from the folder of its arrays and from that of the probabilities."""
    given = probabilities / ("probabilities.npy" if split == "test" else f"{split}_probabilities.npy")
    return Scored(
        split,
        np.load(arrays / f"{split}_images.npy", mmap_mode="r", allow_pickle=False),
        np.load(arrays / f"{split}_labels.npy", allow_pickle=False),
        np.load(given, allow_pickle=False),
    )


def find(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The images whose label is probably wrong.

    Args:
        probabilities: ndarray of shape (num_images, num_classes), of images that were not trained on.
        labels: ndarray of shape (num_images,).

    Returns:
        Their positions, the most suspicious first; none of fewer than `LEAST_IMAGES`, nor of a single class.
    """
    if len(labels) < LEAST_IMAGES or len(np.unique(labels)) < 2:
        return np.zeros(0, np.int64)
    from cleanlab.filter import find_label_issues  # takes half a second

    found: NDArray[np.int64] = find_label_issues(
        labels.astype(np.int64),
        probabilities,
        filter_by="low_self_confidence",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    return found


def write(folder: Path, scored: Sequence[Scored], class_names: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Find the suspects among all splits together and write `label_issues.csv`, the most suspicious first.

    Returns:
        The positions of the suspects in each split, by its name.
    """
    splits = np.repeat(np.arange(len(scored)), [len(split.labels) for split in scored])
    places = np.concatenate([np.arange(len(split.labels)) for split in scored])
    found = find(np.concatenate([split.probabilities for split in scored]), np.concatenate([s.labels for s in scored]))
    with (folder / FILE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_rows(((scored[splits[position]], int(places[position])) for position in found), class_names))
    return {split.split: places[found[splits[found] == number]] for number, split in enumerate(scored)}


def _rows(suspects: Iterator[tuple[Scored, int]], class_names: Sequence[str]) -> Iterator[tuple[str | int, ...]]:
    for split, place in suspects:
        label, likeliest = int(split.labels[place]), int(split.probabilities[place].argmax())
        yield (
            split.split,
            place,
            pixel_sha256(split.images[place]),
            class_names[label],
            f"{split.probabilities[place, label]:.4f}",
            class_names[likeliest],
            f"{split.probabilities[place, likeliest]:.4f}",
            "",
        )
