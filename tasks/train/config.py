"""The section `train`: which recipe, how long, from which seed."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

RecipeName = Literal[
    "fast", "sprint", "accurate", "regularized", "tutorial-64-logits", "tutorial-64-softmax", "tutorial-128"
]


class TrainConfig(BaseModel):
    """What is trained. The flow's door resolves the recipe's name and the seed before the step sees them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: RecipeName = Field("fast", description="Name of the recipe; `python -m cnn_model recipes` lists them.")
    epochs: int | None = Field(
        None, ge=1, le=1000, description="Passes over the training images, 1 to 1000; left out, the recipe's own."
    )
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] | Literal["date"] = Field(
        1,
        description="Seed of initialisation and order, 0 to 4294967295; `date` takes it from the scheduled date, or "
        "from an earlier training on the same data, by the same recipe and code, that is not older than "
        "max_model_age_days.",
    )
    max_model_age_days: float | None = Field(
        30,
        ge=0,
        le=3650,
        description="With the seed `date`, train anew without any change once the last training is older than so many "
        "days, 0 to 3650; None, never. A fixed seed asks for one training, which no age makes another.",
    )
    warm_start: bool = Field(
        False,
        description="Train a second model from the champion's weights, and register the better of the two on "
        "validation images.",
    )
    timeout_minutes: float = Field(
        240, gt=0, le=10_080, description="End training after so many minutes of wall-clock time; above 0, up to 10080."
    )
    stall_minutes: float = Field(
        30, gt=0, le=10_080, description="End training after so many minutes without progress; above 0, up to 10080."
    )
