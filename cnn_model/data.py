"""Loads images and labels from .npy files and refuses what is not CIFAR-10 shaped. Knows nothing of Keras."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn_model.class_names import CLASS_NAMES
from cnn_model.failures import BadDataError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]

IMAGE_SHAPE = (32, 32, 3)


@dataclass(frozen=True)
class Split:
    """Images and their labels, in the same order.

    Attributes:
        images: ndarray of shape (num_images, 32, 32, 3), dtype=uint8, range [0, 255].
        labels: ndarray of shape (num_images,), dtype=uint8, range [0, 9].
    """

    images: Images
    labels: Labels

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)


@dataclass(frozen=True)
class Splits:
    """What training sees. Validation and calibration may be empty; the test split is not here on purpose."""

    train: Split
    validation: Split
    calibration: Split


def load_splits(folder: Path) -> Splits:
    """Load `{train,validation,calibration}_{images,labels}.npy`, memory-mapped.

    Raises:
        BadDataError: if a file is missing or holds something else.
    """
    train, validation, calibration = (
        load_split(folder / f"{name}_images.npy", folder / f"{name}_labels.npy")
        for name in ("train", "validation", "calibration")
    )
    if len(train) == 0:
        raise BadDataError(f"the train split in {folder} has no image; expected one or more; split the data again")
    return Splits(train, validation, calibration)


def load_split(images_file: Path, labels_file: Path) -> Split:
    """Load one split, memory-mapped, and check it.

    Raises:
        BadDataError: if a file is missing or holds something else.
    """
    images, labels = load_images(images_file), _load(labels_file)
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise BadDataError(
            f"{labels_file.name} holds {labels.dtype} of shape {labels.shape}; "
            f"expected uint8 of shape ({len(images)},), one label an image; write it as preprocess does"
        )
    if len(labels) and labels.max() >= len(CLASS_NAMES):
        raise BadDataError(
            f"{labels_file.name} holds the label {labels.max()}; expected 0 to {len(CLASS_NAMES) - 1}; "
            "look for records that are cut in the wrong place"
        )
    return Split(images, labels)


def load_images(images_file: Path) -> Images:
    """Load images, memory-mapped, and check them.

    Raises:
        BadDataError: if the file is missing or holds something else.
    """
    images = _load(images_file)
    if images.dtype != np.uint8 or images.shape[1:] != IMAGE_SHAPE:
        raise BadDataError(
            f"{images_file.name} holds {images.dtype} of shape {images.shape}; "
            "expected uint8 of shape (num_images, 32, 32, 3); write it as preprocess does"
        )
    return images


def concatenate(splits: tuple[Split, ...]) -> Split:
    """One split of several, copied into memory."""
    return Split(np.concatenate([split.images for split in splits]), np.concatenate([split.labels for split in splits]))


def _load(file: Path) -> npt.NDArray[Any]:
    try:
        loaded = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadDataError(f"{file} cannot be read ({error}); expected a .npy file; write the splits again") from error
    if not isinstance(loaded, np.ndarray):
        raise BadDataError(f"{file} holds {type(loaded).__name__}; expected one array; save it with numpy.save")
    return loaded
