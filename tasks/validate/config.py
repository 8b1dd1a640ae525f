"""The section `validate`: which data may be trained on."""

from typing import Literal

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
    on_bad_drop: Literal["quarantine", "fail"] = Field(
        "quarantine",
        description="What a bad drop does: quarantine moves it aside and the run goes on, fail stops the run.",
    )
    max_drop_fault_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="A drop is bad where more than this share of it is unreadable, blank, of a wrong scale, there "
        "already or labelled in two ways, each counted alone; 0 to 1. A single test image makes it bad in any case. "
        "Extra test images stop the run where more than this share is unreadable.",
    )
    max_drop_drift_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="A drop is bad where more than this share of it, and more than chance explains, has swapped "
        "channels, is inverted, crushed or labelled wrongly, or where a class's share is off by as much; 0 to 1.",
    )
    max_drop_drift: float = Field(
        0.5,
        ge=0,
        le=100,
        description="A drop is bad where its colours, contrast or the like lie further than this from what is there, "
        "and further than chance explains, in standard deviations of single images; 0 to 100.",
    )
    drop_classes: Literal["alike", "any"] = Field(
        "alike",
        description="Which mix of classes a drop may have: alike, as in what is there, or any.",
    )
