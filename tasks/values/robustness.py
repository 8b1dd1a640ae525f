"""How a model does on corrupted test images."""

from pydantic import BaseModel, ConfigDict, Field

from cnn_model.results import Interval
from tasks.store import Reference


class CorruptionScore(BaseModel):
    """Accuracy under one corruption at one severity.

    Attributes:
        severity: 1, the mildest, to 3.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    corruption: str
    severity: int = Field(ge=1, le=3)
    accuracy: float = Field(ge=0, le=1)


class Robustness(BaseModel):
    """One model on the same sample of test images, corrupted in the same ways.

    The artifact holds `correct.npy`: shape (num_corruptions, 3, num_images), dtype=bool, in the order of `scores`;
    whether the model recognised the image.

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
