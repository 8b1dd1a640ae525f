"""Which images of a dataset show the same photograph; found by validate."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from tasks import store
from tasks.store import Reference

FILE = "near_duplicates.npz"


class NearDuplicates(BaseModel):
    """The near-duplicates of a raw dataset: within train, test and its good drops, and between them.

    The artifact holds `near_duplicates.npz`. Its indices count the training images, after them the test images, and
    after those the images of the drops. Bad drops take no part: what is connected is connected without them.

    Attributes:
        num_train_images: Images in train, of which the first has the index 0; the first test image has this index.
        num_test_images: Images in test.
        num_test_images_in_train: Test images that have a near-duplicate in train or in a drop.
        drops: Digests of the drops, in the order of the indices.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact: Reference
    num_train_images: int = Field(ge=0)
    num_test_images: int = Field(ge=0)
    num_test_images_in_train: int = Field(ge=0)
    drops: tuple[str, ...] = ()

    @property
    def num_base_images(self) -> int:
        """Train and test; the first image of a drop has this index."""
        return self.num_train_images + self.num_test_images

    def pairs(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The pairs and their similarities, the most similar first.

        Returns:
            Indices, shape (num_pairs, 2), the smaller of each pair first; similarities, shape (num_pairs,), above 0,
            up to 1, which equal images have.

        Raises:
            StoreError: if the artifact is missing or damaged.
        """
        arrays = self._arrays()
        return arrays["pairs"], arrays["similarity"]

    def base_groups(self) -> NDArray[np.int32]:
        """The group of each image of the base, named by its smallest index; pairs connect images to groups.

        Drops take no part in it.

        Returns:
            ndarray of shape (num_base_images,); an image without near-duplicate is its own group.

        Raises:
            StoreError: if the artifact is missing or damaged.
        """
        groups: NDArray[np.int32] = self._arrays()["base_groups"]
        return groups

    def test_images_in_train(self) -> NDArray[np.bool_]:
        """Which test images have a near-duplicate in train or in a drop; shape (num_test_images,).

        Raises:
            StoreError: if the artifact is missing or damaged.
        """
        return in_train(self._arrays()["groups"], self.num_train_images, self.num_test_images)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        with np.load(store.current().fetch(self.artifact) / FILE, allow_pickle=False) as arrays:
            return dict(arrays)


def in_train(groups: NDArray[np.int32], num_train_images: int, num_test_images: int) -> NDArray[np.bool_]:
    """Which test images are of a group that has an image to train on.

    Args:
        groups: The group of each image: train, test, then drops.
        num_train_images: Images in train.
        num_test_images: Images in test.
    """
    train, test, drops = np.split(groups, np.cumsum([num_train_images, num_test_images]))
    return np.isin(test, train) | np.isin(test, drops)
