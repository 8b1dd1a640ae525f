"""What train gives."""

from pydantic import AwareDatetime, BaseModel, ConfigDict

from cnn_model.results import TrainingResult
from tasks.store import Reference


class TrainedModel(BaseModel):
    """The final model: uint8 images in, calibrated probabilities out.

    The artifact holds `model.keras` and `recipe.json`, and nothing that differs when the same model is trained again.

    Attributes:
        trained_at: When the training ended.
        start: The model whose weights the training started from; None for fresh ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact: Reference
    result: TrainingResult
    trained_at: AwareDatetime
    start: Reference | None = None
