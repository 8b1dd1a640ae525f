"""What preprocess gives."""

from pydantic import BaseModel, ConfigDict

from tasks.store import Reference


class Splits(BaseModel):
    """Four disjoint splits as memory-mappable arrays.

    The artifact holds `{split}_images.npy` (shape (num_images, 32, 32, 3), dtype=uint8, range [0, 255]) and
    `{split}_labels.npy` (shape (num_images,), dtype=uint8) for train, validation, calibration and test.

    Attributes:
        dataset_name: The name of the raw dataset that they were cut from.
        class_names: Names of the labels 0 to 9.
        num_images: Images in each split, by its name.
        test_digest: SHA-256 over the test images and labels; figures compare only where it is equal.
        channel_mean: Red, green, blue, of the train split alone, on a scale of 0 to 1.
        channel_std: Likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact: Reference
    dataset_name: str
    class_names: tuple[str, ...]
    num_images: dict[str, int]
    test_digest: str
    channel_mean: tuple[float, float, float]
    channel_std: tuple[float, float, float]
