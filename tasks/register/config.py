"""The section `register`: under which name, and whether a model may be promoted."""

from pydantic import BaseModel, ConfigDict, Field


class RegisterConfig(BaseModel):
    """How a model is registered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: str = Field("cifar10-retraining", min_length=1, description="MLflow experiment that gets the runs.")
    min_accuracy: float = Field(
        0.0, ge=0, le=1, description="Refuse a model whose test accuracy is below this, 0 to 1."
    )
