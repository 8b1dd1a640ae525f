"""Which split each image of a drop goes into. Where the base's images go is decided elsewhere, and stays as it is."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks import store
from tasks.preprocess.config import PreprocessConfig
from tasks.preprocess.splitting import Part
from tasks.values.drops import Drop
from tasks.values.pixels import pixel_sha256

KINDS = ("images", "labels")
_STEPS = 2**64


def parts_by_split(
    drops: Sequence[Drop],
    base_images: NDArray[np.uint8],
    base_indices: Mapping[str, NDArray[np.int64]],
    config: PreprocessConfig,
) -> dict[str, list[Part]]:
    """What the drops add to each split, in their order.

    Args:
        drops: The accepted ones.
        base_images: ndarray of shape (num_images, 32, 32, 3), dtype=uint8: the base's training images.
        base_indices: Which of them are in which split.
        config: Fractions and seed.
    """
    parts: dict[str, list[Part]] = {split: [] for split in base_indices}
    if not drops:
        return parts
    split_of_base = {
        pixel_sha256(base_images[index]): split for split, indices in base_indices.items() for index in indices
    }
    for drop in drops:
        folder = store.current().fetch(drop.artifact)
        images, labels = (np.load(folder / f"{kind}.npy", mmap_mode="r", allow_pickle=False) for kind in KINDS)
        chosen = np.array(
            split_of_images(
                images, config.validation_fraction, config.calibration_fraction, config.split_seed, split_of_base
            )
        )
        for split, found in parts.items():
            found.append((images, labels, np.flatnonzero(chosen == split)))
    return parts


def split_of_images(
    images: NDArray[np.uint8],
    validation_fraction: float,
    calibration_fraction: float,
    seed: int,
    split_of_base: Mapping[str, str],
) -> list[str]:
    """The split of each image, by its pixels and the seed alone: other drops change nothing, equal images go together.

    Args:
        images: ndarray of shape (num_images, 32, 32, 3), dtype=uint8.
        validation_fraction: Share of the images, 0 to 1.
        calibration_fraction: Share of the images, 0 to 1.
        seed: Seed of the choice.
        split_of_base: The split of each training image of the base, by its `pixel_sha256`: a copy goes with it.

    Returns:
        train, validation or calibration for each.
    """
    chosen: list[str] = []
    for image in images:
        pixels = pixel_sha256(image)
        drawn = int.from_bytes(hashlib.sha256(f"{seed} ".encode() + bytes.fromhex(pixels)).digest()[:8], "big") / _STEPS
        if drawn < validation_fraction:
            split = "validation"
        elif drawn < validation_fraction + calibration_fraction:
            split = "calibration"
        else:
            split = "train"
        chosen.append(split_of_base.get(pixels, split))
    return chosen
