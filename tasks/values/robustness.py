"""How a model does on corrupted test images."""

from pydantic import BaseModel, ConfigDict, Field

from cnn_model.results import CorruptionScore, Interval
from tasks.store import Reference

__all__ = ["CorruptionScore", "Robustness", "RobustnessPair"]


class Robustness(BaseModel):
    """One model on the same sample of test images, corrupted in the same ways.

    Of the model it is the network, with one view of each image, whatever views the model averages over: so
    `clean_accuracy` is another figure than the model's accuracy.

    The artifact holds `correct.npy`: shape (num_corruptions, 3, num_images), dtype=bool, in the order of `scores`;
    whether the model recognised the image. And `positions.npy`: shape (num_images,), dtype=int64, the sample's places
    in the test split, ascending.

    Attributes:
        test_digest: Of the test images that the sample was drawn from.
        num_images: In the sample.
        clean_accuracy: On the sample as it is.
        mean_accuracy: Over all corruptions and severities; bootstrap interval over the images.
        scores: By corruption, then by severity.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact: Reference
    test_digest: str
    num_images: int = Field(ge=1)
    clean_accuracy: float = Field(ge=0, le=1)
    mean_accuracy: Interval
    scores: tuple[CorruptionScore, ...]


class RobustnessPair(BaseModel):
    """The new model and the champion on corrupted test images, as far as they could be scored.

    Attributes:
        challenger: None where it could not be scored.
        champion: Likewise.
        problem: Why one of them could not be, in one line; empty where both were.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    challenger: Robustness | None
    champion: Robustness | None
    problem: str = ""
