"""The section `evaluate`: how a model is scored."""

from pydantic import BaseModel, ConfigDict, Field


class EvaluateConfig(BaseModel):
    """How the test images are scored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: int = Field(500, ge=1, le=10_000, description="Images scored at once, 1 to 10000.")
    corruption_images: int = Field(
        2000,
        ge=0,
        le=1_000_000,
        description="Test images, as many of each class, that are corrupted in 30 ways and scored, 0 to 1000000; 0 "
        "scores none.",
    )
    timeout_minutes: float = Field(
        30, gt=0, le=10_080, description="End scoring after so many minutes of wall-clock time; above 0, up to 10080."
    )
