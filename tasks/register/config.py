"""The section `register`: under which name, and what a model needs to be promoted."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.values.decision import Mode, Policy


class RegisterConfig(BaseModel):
    """How a model is registered, and when it becomes champion."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        # For the dashboard's form, which knows nothing of the validator below.
        json_schema_extra={
            "if": {"properties": {"policy": {"const": "force"}}, "required": ["policy"]},
            "then": {
                "properties": {"reason": {"type": "string"}, "actor": {"type": "string"}},
                "required": ["reason", "actor"],
            },
        },
    )

    experiment: str = Field("cifar10-retraining", min_length=1, description="MLflow experiment that gets the runs.")
    policy: Policy = Field(
        "refresh",
        description="refresh: promote a model that is not worse than the champion by the margin. improve: only one "
        "that is better. never: none. force: whatever the figures say; needs a reason and an actor.",
    )
    margin: float = Field(
        0.01,
        gt=0,
        le=0.5,
        description="With refresh, the loss of accuracy that must be excluded at one-sided 5 %; above 0, up to 0.5; "
        "0.01 is one point.",
    )
    min_accuracy: float = Field(
        0.0, ge=0, le=1, description="Refuse a model whose test accuracy is below this, 0 to 1."
    )
    classes: Mode = Field(
        "gate",
        description="gate: refuse a model that is significantly worse at a class. report: only say so.",
    )
    min_class_images: int = Field(
        50, ge=1, le=1_000_000, description="Test no class with fewer test images than this, 1 to 1000000."
    )
    calibration: Mode = Field(
        "gate",
        description="gate: refuse a model whose probabilities are significantly worse by more than the calibration "
        "margin. report: only say so.",
    )
    calibration_margin: float = Field(
        0.01,
        ge=0,
        le=1,
        description="By how much calibration error, Brier score and log loss (nats) may be worse, 0 to 1.",
    )
    max_drop: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Refuse a model whose mean accuracy on corrupted test images is significantly lower than the "
        "champion's by more than this, 0 to 1; 0.01 is one point. Left out, only say whether it is lower.",
    )
    require_approval: bool = Field(
        False,
        description="Where the gate would promote, wait for a person's click on the dashboard; the worker is free "
        "meanwhile. Not with force, which a person has asked for already.",
    )
    approval_hours: float = Field(
        24.0, gt=0, le=720, description="How long to wait for that click before it is refused; above 0, up to 720."
    )
    reason: str | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="Why a promotion is forced, in up to 500 characters; needed with force.",
    )
    actor: str | None = Field(
        None, min_length=1, max_length=100, description="Who forces it, in up to 100 characters; needed with force."
    )

    @model_validator(mode="after")
    def _force_leaves_its_trace(self) -> Self:
        if self.policy == "force" and (self.reason is None or self.actor is None):
            raise ValueError("the policy force needs a reason and an actor; give both, or choose another policy")
        return self

    @property
    def asks_a_person(self) -> bool:
        """Whether a promotion waits for a person's word."""
        return self.require_approval and self.policy not in ("never", "force")
