"""Which images of a dataset show the same photograph; found by validate."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from tasks import store
from tasks.store import Reference

FILE = "near_duplicates.npz"


class NearDuplicates(BaseModel):
    """The near-duplicates of a raw dataset, within train, within test and between the two.

    The artifact holds `near_duplicates.npz`. Its indices count the training images and, after them, the test images.

    Attributes:
        num_train_images: Images in train, of which the first has the index 0; the first test image has this index.
        num_test_images_in_train: Test images that have a near-duplicate in train.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact: Reference
    num_train_images: int = Field(ge=0)
    num_test_images_in_train: int = Field(ge=0)

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

    def groups(self) -> NDArray[np.int32]:
        """The group of each image, named by its smallest index; images that pairs connect are of one group.

        Returns:
            ndarray of shape (num_train_images + num_test_images,); an image without near-duplicate is its own group.

        Raises:
            StoreError: if the artifact is missing or damaged.
        """
        groups: NDArray[np.int32] = self._arrays()["groups"]
        return groups

    def test_images_in_train(self) -> NDArray[np.bool_]:
        """Which test images have a near-duplicate in train; shape (num_test_images,).

        Raises:
            StoreError: if the artifact is missing or damaged.
        """
        return in_train(self.groups(), self.num_train_images)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        with np.load(store.current().fetch(self.artifact) / FILE, allow_pickle=False) as arrays:
            return dict(arrays)


def in_train(groups: NDArray[np.int32], num_train_images: int) -> NDArray[np.bool_]:
    """Which of the images after the training images are of a group that has one of these."""
    # A group is named by its smallest index, and train comes first.
    return groups[num_train_images:] < num_train_images
