"""What evaluate gives."""

from pydantic import BaseModel, ConfigDict

from cnn_model.results import EvaluationResult
from tasks.store import Reference


class Evaluation(BaseModel):
    """One model's figures on the test split; it knows nothing of a champion.

    The artifact holds `probabilities.npy`: shape (num_images, 10), dtype=float32, in the order of the test split.

    Attributes:
        test_digest: The splits' `test_digest`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact: Reference
    test_digest: str
    result: EvaluationResult
