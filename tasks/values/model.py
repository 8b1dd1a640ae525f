"""What train gives."""

from pydantic import BaseModel, ConfigDict

from cnn_model.results import TrainingResult
from tasks.store import Reference


class TrainedModel(BaseModel):
    """The final model: uint8 images in, calibrated probabilities out.

    The artifact holds `model.keras` and `recipe.json`, and nothing that differs when the same model is trained again.

    Attributes:
        start: The model whose weights the training started from; None for fresh ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact: Reference
    result: TrainingResult
    start: Reference | None = None
