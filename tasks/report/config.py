"""The section `report`: what the report shows."""

from pydantic import BaseModel, ConfigDict, Field


class ReportConfig(BaseModel):
    """How much the report shows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample_images: int = Field(
        40, ge=0, le=200, description="Test images shown with true and predicted class, 0 to 200."
    )
    predictions: int = Field(
        12, ge=0, le=100, description="Test images shown with the probabilities of all classes, 0 to 100."
    )
    flips: int = Field(
        24,
        ge=0,
        le=200,
        description="Test images shown that are newly right against the champion, and as many newly wrong, 0 to 200.",
    )
    near_duplicates: int = Field(
        12,
        ge=0,
        le=100,
        description="Pairs of near-duplicates shown of each kind, 0 to 100: of test, train and drops, and of different "
        "labels.",
    )
    label_issues: int = Field(
        16, ge=0, le=200, description="Images with a suspected label shown, the most suspicious first, 0 to 200."
    )
    check_examples: int = Field(10, ge=0, le=20, description="Images shown of each failed check of the data, 0 to 20.")
    worst_mistakes: int = Field(24, ge=0, le=200, description="Confident mistakes shown, the worst first, 0 to 200.")
