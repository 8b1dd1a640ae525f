"""What evaluate gives."""

from pydantic import BaseModel, ConfigDict, Field

from cnn_model.results import EvaluationResult, Interval
from tasks.store import Reference


class SubsetAccuracy(BaseModel):
    """Accuracy on a part of the test images.

    Attributes:
        accuracy: Wilson score interval.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_images: int = Field(ge=1)
    accuracy: Interval


class Evaluation(BaseModel):
    """One model's figures on the test split; it knows nothing of a champion.

    The artifact holds `probabilities.npy`: shape (num_images, 10), dtype=float32, in the order of the test split.

    Attributes:
        test_digest: The splits' `test_digest`.
        result: On all test images.
        without_near_duplicates: On those that have no near-duplicate in train; None where all have one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact: Reference
    test_digest: str
    result: EvaluationResult
    without_near_duplicates: SubsetAccuracy | None
