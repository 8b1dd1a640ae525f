"""What ingest gives."""

from pydantic import BaseModel, ConfigDict, Field

from tasks.store import Reference


class RawDataset(BaseModel):
    """Images and labels as they came, train and test.

    The artifact holds `train_images.npy`, `train_labels.npy`, `test_images.npy` and `test_labels.npy`: images of
    shape (num_images, 32, 32, 3), dtype=uint8, range [0, 255]; labels of shape (num_images,), dtype=uint8, [0, 9].

    Attributes:
        class_names: Names of the labels 0 to 9.
        name: "cifar10" for the official images, "synthetic" for practice images, "unofficial-..." for anything else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern="^(cifar10|synthetic|unofficial-[a-z0-9-]+)$")
    artifact: Reference
    class_names: tuple[str, ...]
    num_train_images: int
    num_test_images: int
