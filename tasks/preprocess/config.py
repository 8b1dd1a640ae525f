"""The section `preprocess`: how the images are split."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class PreprocessConfig(BaseModel):
    """Fractions of the published training images, and the seed of the split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    validation_fraction: float = Field(
        0.05, gt=0, lt=0.5, description="Share of the training images kept for choosing epochs; above 0, below 0.5."
    )
    calibration_fraction: float = Field(
        0.05, gt=0, lt=0.5, description="Share of the training images kept for the temperature; above 0, below 0.5."
    )
    split_seed: int = Field(0, ge=0, le=2**32 - 1, description="Seed of the split; 0 to 4294967295.")

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> Self:
        if self.validation_fraction + self.calibration_fraction >= 0.5:
            raise ValueError("validation_fraction and calibration_fraction together must stay below 0.5")
        return self
