"""Cuts the published training images into splits with separate roles; the published test images stay as they are."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.errors import SourceError

CHUNK_IMAGES = 4_096

Part = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]
"""Images, labels, and which of them."""


def grouped_indices(
    labels: NDArray[np.uint8],
    groups: NDArray[np.int32],
    validation_fraction: float,
    calibration_fraction: float,
    seed: int,
) -> dict[str, NDArray[np.int64]]:
    """Choose which training image goes into which split; a group goes whole.

    Each class has a share of validation and of calibration. Its groups come in an order that only the seed decides, and
    each goes where it fits; the rest is for training. A group is of the class of its first image. What a class has no
    fitting group for, the next one makes up, so that the sizes of the splits are right to within one group.

    Args:
        labels: ndarray of shape (num_images,), dtype=uint8.
        groups: ndarray of shape (num_images,), dtype=int32: the group of each image, named by its smallest index.
        validation_fraction: Share of the images, 0 to 1.
        calibration_fraction: Share of the images, 0 to 1.
        seed: Seed of the choice.

    Returns:
        Sorted indices for train, validation and calibration: disjoint, together all images, each with the classes in
        the proportions of the whole.

    Raises:
        SourceError: if a class would have no image to train on, or a split would be empty.
    """
    classes, counts = np.unique(labels, return_counts=True)
    sizes = np.bincount(groups, minlength=len(labels))
    # Of all images, so that a group more or less moves no other one to another place.
    order = np.random.default_rng(seed).permutation(len(labels))
    first = order[groups[order] == order]  # of each group
    waiting = {label: first[labels[first] == label].tolist() for label in classes.tolist()}
    split_of_group = np.full(len(labels), "train", dtype="<U11")
    wanted = {
        name: max(len(classes), round(len(labels) * fraction))
        for name, fraction in (("validation", validation_fraction), ("calibration", calibration_fraction))
    }
    for name, size in wanted.items():
        room = 0
        for label, share in zip(classes.tolist(), _shares(counts, size), strict=True):
            chosen, waiting[label], room = _fill(waiting[label], sizes, room + share)
            split_of_group[chosen] = name
    split = split_of_group[groups]
    indices = {name: np.flatnonzero(split == name) for name in ("train", *wanted)}
    if len(np.unique(labels[indices["train"]])) < len(classes) or not all(map(len, indices.values())):
        raise SourceError(
            f"{len(labels)} training images cannot be split into train, {wanted['validation']} for validation and "
            f"{wanted['calibration']} for calibration with each class in train: there are "
            f"{', '.join(map(str, counts))} of each class, and near-duplicates stay on one side. Give more images."
        )
    return indices


def _shares(counts: NDArray[np.int64], size: int) -> list[int]:
    """Whole numbers in the proportions of `counts` with the sum `size`; the largest remainders are rounded up."""
    exact = counts * size / counts.sum()
    shares = np.floor(exact).astype(np.int64)
    shares[np.argsort(shares - exact, kind="stable")[: size - shares.sum()]] += 1
    return [int(share) for share in shares]


def _fill(groups: list[int], sizes: NDArray[np.int64], room: int) -> tuple[list[int], list[int], int]:
    """Take the groups that fit, in order: those taken, those left, and the room that is left."""
    taken, left = [], []
    for group in groups:
        if sizes[group] <= room:
            taken.append(group)
            room -= int(sizes[group])
        else:
            left.append(group)
    return taken, left, room


def write_split(target: Path, name: str, parts: Sequence[Part]) -> int:
    """Write `{name}_images.npy` and `{name}_labels.npy`, chunk by chunk, so that no split stands in memory whole.

    Args:
        target: The folder.
        name: The split's.
        parts: Images of shape (n, 32, 32, 3), labels of shape (n,), both uint8, and the indices of those that go in.

    Returns:
        The number of images.
    """
    size = sum(len(indices) for _, _, indices in parts)
    header = {"descr": "|u1", "fortran_order": False, "shape": (size, *parts[0][0].shape[1:])}
    # Plain writes: where the disk is full they raise, while writing into a memory-map kills the process.
    with (target / f"{name}_images.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for images, _, indices in parts:
            for start in range(0, len(indices), CHUNK_IMAGES):
                file.write(images[indices[start : start + CHUNK_IMAGES]].tobytes())
    labels = np.concatenate([labels[indices] for _, labels, indices in parts])
    np.save(target / f"{name}_labels.npy", labels, allow_pickle=False)
    return size


def channel_statistics(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of red, green and blue over all pixels, on a scale of 0 to 1.

    Args:
        images: ndarray of shape (num_images, 32, 32, 3), dtype=uint8, range [0, 255].
    """
    # Counts of the 256 levels are exact and small, however many images there are.
    levels = np.arange(256) / 255
    counts = np.zeros((3, 256))
    for start in range(0, len(images), CHUNK_IMAGES):
        chunk = images[start : start + CHUNK_IMAGES]
        for channel in range(3):
            counts[channel] += np.bincount(chunk[..., channel].ravel(), minlength=256)
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ levels
    return mean, np.sqrt(np.maximum(shares @ levels**2 - mean**2, 0))


def arrays_digest(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> str:
    """SHA-256 over shape, pixels and labels: two models' figures compare only on arrays with the same digest."""
    digest = hashlib.sha256(f"{images.shape} {images.dtype} {labels.dtype}".encode())
    for start in range(0, len(images), CHUNK_IMAGES):
        digest.update(images[start : start + CHUNK_IMAGES].tobytes())
    digest.update(labels.tobytes())
    return digest.hexdigest()
