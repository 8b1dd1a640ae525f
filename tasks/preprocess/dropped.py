"""Which split each image of a drop goes into. Where the base's images go is decided elsewhere, and stays as it is.

An image of a drop goes with its near-duplicates, the surest first; one without goes where its pixels say. What comes
later than a drop moves none of its images.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks import store
from tasks.preprocess.config import PreprocessConfig
from tasks.preprocess.splitting import Part
from tasks.values.drops import Drop
from tasks.values.near_duplicates import NearDuplicates
from tasks.values.pixels import pixel_sha256

KINDS = ("images", "labels")
_STEPS = 2**64


def parts_by_split(
    drops: Sequence[Drop],
    near_duplicates: NearDuplicates,
    base_indices: Mapping[str, NDArray[np.int64]],
    config: PreprocessConfig,
) -> dict[str, list[Part]]:
    """What the drops add to each split, in their order.

    Args:
        drops: The accepted ones.
        near_duplicates: Of the base and these drops.
        base_indices: Which of the base's training images are in which split.
        config: Fractions and seed.

    Raises:
        ValueError: if the near-duplicates are those of other drops.
    """
    if (digests := tuple(drop.digest for drop in drops)) != near_duplicates.drops:
        raise ValueError(
            f"Near-duplicates of the drops {near_duplicates.drops}, but the dataset has {digests}; expected the same. "
            "Give those that validate found for this dataset."
        )
    parts: dict[str, list[Part]] = {split: [] for split in base_indices}
    if not drops:
        return parts
    split_of_base: list[str | None] = [None] * near_duplicates.num_base_images
    for split, indices in base_indices.items():
        for index in indices.tolist():
            split_of_base[index] = split
    sides = Sides(near_duplicates.base_groups(), split_of_base, near_duplicates.pairs()[0], config)
    for drop in drops:
        folder = store.current().fetch(drop.artifact)
        images, labels = (np.load(folder / f"{kind}.npy", mmap_mode="r", allow_pickle=False) for kind in KINDS)
        chosen = np.array(sides.of_next(images))
        for split, found in parts.items():
            found.append((images, labels, np.flatnonzero(chosen == split)))
    return parts


class Sides:
    """The split of each image, drop by drop.

    Images that pairs connect go together. Pairs are followed from the most similar on, and one that would join images
    of two splits is passed over: an image between two photographs goes with the one that it is more like. Test images
    have no split, and connect others.

    Args:
        base_groups: Groups of the base's images, train and test; see `NearDuplicates`.
        split_of_base: The split of each; None for test images. A group is of one split.
        pairs: Near-duplicates, the most similar first; ndarray of shape (num_pairs, 2).
        config: Fractions and seed.
    """

    def __init__(
        self,
        base_groups: NDArray[np.int32],
        split_of_base: Sequence[str | None],
        pairs: NDArray[np.int32],
        config: PreprocessConfig,
    ) -> None:
        self._parent: list[int] = base_groups.tolist()
        # A group is named by its smallest index, and train comes first.
        self._split = {root: split for root in self._parent if (split := split_of_base[root]) is not None}
        self._pairs = pairs
        self._config = config

    def of_next(self, images: NDArray[np.uint8]) -> list[str]:
        """The split of each image of the next drop: train, validation or calibration.

        Args:
            images: ndarray of shape (num_images, 32, 32, 3), dtype=uint8.
        """
        start = len(self._parent)
        self._parent.extend(range(start, start + len(images)))
        later = self._pairs[:, 1]
        for first, second in self._pairs[(start <= later) & (later < len(self._parent))].tolist():
            self._join(self._root(first), self._root(second))
        chosen: list[str] = []
        for index, image in enumerate(images, start):
            root = self._root(index)
            if root not in self._split:
                self._split[root] = self._drawn(image)
            chosen.append(self._split[root])
        return chosen

    def _root(self, index: int) -> int:
        while self._parent[index] != index:
            self._parent[index] = index = self._parent[self._parent[index]]
        return index

    def _join(self, one: int, other: int) -> None:
        splits = {self._split[root] for root in (one, other) if root in self._split}
        if one == other or len(splits) > 1:
            return
        first, second = sorted((one, other))
        self._parent[second] = first
        for split in splits:
            self._split[first] = split

    def _drawn(self, image: NDArray[np.uint8]) -> str:
        """A split by pixels and seed alone."""
        config = self._config
        pixels = bytes.fromhex(pixel_sha256(image))
        drawn = int.from_bytes(hashlib.sha256(f"{config.split_seed} ".encode() + pixels).digest()[:8], "big") / _STEPS
        if drawn < config.validation_fraction:
            return "validation"
        return "calibration" if drawn < config.validation_fraction + config.calibration_fraction else "train"
