"""The section `score`: how images are scored."""

from pydantic import BaseModel, ConfigDict, Field


class ScoreConfig(BaseModel):
    """How images are scored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images_per_part: int = Field(
        5_000,
        ge=1,
        le=1_000_000,
        description="Rows of each Parquet file, 1 to 1000000; a scoring that was killed goes on after the last whole "
        "one.",
    )
    batch_size: int = Field(500, ge=1, le=10_000, description="Images scored at once, 1 to 10000.")
    timeout_minutes: float = Field(
        1_440,
        gt=0,
        le=10_080,
        description="End scoring after so many minutes of wall-clock time; above 0, up to 10080.",
    )
    stall_minutes: float = Field(
        10, gt=0, le=10_080, description="End scoring after so many minutes without progress; above 0, up to 10080."
    )
    drift: bool = Field(
        True, description="Compare the images with what the model was trained on; 10 to 30 seconds of two cores."
    )
