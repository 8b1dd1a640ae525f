"""Cuts the published training images into splits with separate roles; the published test images stay as they are."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from tasks.errors import SourceError

CHUNK_IMAGES = 4_096


def stratified_indices(
    labels: NDArray[np.uint8], validation_fraction: float, calibration_fraction: float, seed: int
) -> dict[str, NDArray[np.int64]]:
    """Choose which training image goes into which split.

    Args:
        labels: ndarray of shape (num_images,), dtype=uint8.
        validation_fraction: Share of the images, 0 to 1.
        calibration_fraction: Share of the images, 0 to 1.
        seed: Seed of the choice.

    Returns:
        Sorted indices for train, validation and calibration: disjoint, together all images, each with the classes in
        the proportions of the whole.

    Raises:
        SourceError: if a class has too few images to stand in each split.
    """
    everything = np.arange(len(labels))
    num_classes = len(np.unique(labels))
    num_validation, num_calibration = (
        max(num_classes, round(len(labels) * fraction)) for fraction in (validation_fraction, calibration_fraction)
    )
    try:
        train, held_out = train_test_split(
            everything, test_size=num_validation + num_calibration, stratify=labels, random_state=seed
        )
        validation, calibration = train_test_split(
            held_out, test_size=num_calibration, stratify=labels[held_out], random_state=seed
        )
    except ValueError as error:
        raise SourceError(
            f"{len(labels)} training images cannot be split into train, {num_validation} for validation and "
            f"{num_calibration} for calibration with each class in each: {error} "
            "Give more images or larger fractions."
        ) from error
    return {"train": np.sort(train), "validation": np.sort(validation), "calibration": np.sort(calibration)}


def write_split(
    target: Path, name: str, images: NDArray[np.uint8], labels: NDArray[np.uint8], indices: NDArray[np.int64]
) -> None:
    """Write `{name}_images.npy` and `{name}_labels.npy`, chunk by chunk, so that no split stands in memory whole."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(indices), *images.shape[1:])}
    # Plain writes: where the disk is full they raise, while writing into a memory-map kills the process.
    with (target / f"{name}_images.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(indices), CHUNK_IMAGES):
            file.write(images[indices[start : start + CHUNK_IMAGES]].tobytes())
    np.save(target / f"{name}_labels.npy", labels[indices], allow_pickle=False)


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
