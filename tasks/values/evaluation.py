"""What evaluate gives."""

from pydantic import BaseModel, ConfigDict, Field

from cnn_model.results import EvaluationResult, Interval
from tasks.store import Reference
from tasks.values.label_issues import LabelIssues


class SubsetAccuracy(BaseModel):
    """Accuracy on a part of the test images.

    Attributes:
        accuracy: Wilson score interval.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_images: int = Field(ge=1)
    accuracy: Interval


class ExtraTestEvaluation(BaseModel):
    """One model's figures on the extra test images.

    Attributes:
        digest: Of their folder, as `Drop` has it; figures compare only where it is equal.
        result: On all of them. Of a class that they lack precision, recall and F1 are 0 and say nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    result: EvaluationResult


class Evaluation(BaseModel):
    """One model's figures on the test split; it knows nothing of a champion.

    The artifact holds `probabilities.npy`: shape (num_images, 10), dtype=float32, in the order of the test split; and
    the same of validation and calibration, `NAME_probabilities.npy`, where the model was not trained on them, and of
    the extra test images, `extra_test_probabilities.npy`, where there are such.

    Attributes:
        test_digest: The splits' `test_digest`.
        result: On all test images.
        without_near_duplicates: On those that have no near-duplicate in train or in a drop; None where all have one.
        label_issues: Labels that the model speaks against.
        without_label_issues: On those test images that have none; None where all have one. The model itself left out
            images that it gets wrong, so this is no measure of it, but of how much wrong labels can hide.
        extra_test: On the extra test images, which take part in no other figure; None where there are none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact: Reference
    test_digest: str
    result: EvaluationResult
    without_near_duplicates: SubsetAccuracy | None
    label_issues: LabelIssues
    without_label_issues: SubsetAccuracy | None
    extra_test: ExtraTestEvaluation | None = None
