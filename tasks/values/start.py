"""What a run with a warm start chose between: a training from fresh weights, and one from the champion's."""

from pydantic import BaseModel, ConfigDict, Field

from cnn_model.results import Scores
from tasks.values.model import TrainedModel


class Start(BaseModel):
    """One of the trainings.

    Attributes:
        champion_version: The version whose weights it started from; None for fresh ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: TrainedModel
    champion_version: int | None = Field(None, ge=1)

    @property
    def name(self) -> str:
        """As people read it: "cold" or "champion version 3"."""
        return "cold" if self.champion_version is None else f"champion version {self.champion_version}"

    @property
    def validation(self) -> Scores | None:
        """The figures of the weights that the model has; None where the recipe trains on all images."""
        result = self.model.result
        return result.history[result.best_epoch - 1].validation


class StartChoice(BaseModel):
    """The trainings and which of them goes on.

    Attributes:
        starts: The cold start and, where there was one, the warm start.
        chosen: The one that goes on to evaluate and register.
        sentence: Which, and why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    starts: tuple[Start, ...]
    chosen: Start
    sentence: str
