"""What ingest gives."""

import hashlib
from collections.abc import Collection
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from tasks.store import Reference
from tasks.values.drops import Drop


class RawDataset(BaseModel):
    """Images and labels as they came, train and test.

    The artifact holds `train_images.npy`, `train_labels.npy`, `test_images.npy` and `test_labels.npy`: images of
    shape (num_images, 32, 32, 3), dtype=uint8, range [0, 255]; labels of shape (num_images,), dtype=uint8, [0, 9].

    Attributes:
        class_names: Names of the labels 0 to 9.
        name: "cifar10" for the official images, "synthetic" for practice images, "unofficial-..." for anything else.
            It tells of the base; drops leave it as it is, and the test images too.
        num_corrected_labels: Training labels of the base that reviewers put right.
        drops: Labelled images that came beside the base, in the order of their arrival; for training, never for the
            test. Ingest names all that it read, and those that are not accepted are gone before preprocess.
        extra_test: Labelled images for testing only, beside the published ones. They are no part of the digest, and
            gone before preprocess, so that nothing that is trained hangs on them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern="^(cifar10|synthetic|unofficial-[a-z0-9-]+)$")
    artifact: Reference
    class_names: tuple[str, ...]
    num_train_images: int
    num_test_images: int
    num_corrected_labels: int = 0
    drops: tuple[Drop, ...] = ()
    extra_test: Drop | None = None

    @property
    def digest(self) -> str:
        """SHA-256 that stands for the base and the drops; without drops, the base's."""
        if not self.drops:
            return self.artifact.digest
        return hashlib.sha256(
            "\n".join([self.artifact.digest, *(drop.digest for drop in self.drops)]).encode()
        ).hexdigest()

    def with_drops(self, digests: Collection[str]) -> Self:
        """The same dataset with those of its drops alone."""
        return self.model_copy(update={"drops": tuple(drop for drop in self.drops if drop.digest in digests)})

    def without_extra_test(self) -> Self:
        """The same dataset as training may know it."""
        return self.model_copy(update={"extra_test": None})
