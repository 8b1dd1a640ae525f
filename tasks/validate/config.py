"""The section `validate`: which data may be trained on."""

from pydantic import BaseModel, ConfigDict, Field


class ValidateConfig(BaseModel):
    """Bounds of the checks that are a matter of taste; the rest stands in `tasks.validate.suite`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_class_imbalance: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Warn where a class's share departs from an equal one by more than this fraction of it; 0 to 1.",
    )
    max_test_images_in_train: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Warn where more than this share of the test images has a near-duplicate in train; 0 to 1.",
    )
