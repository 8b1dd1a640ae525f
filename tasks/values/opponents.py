"""The champions that a new model is compared with, scored on the test images of the run."""

from pydantic import BaseModel, ConfigDict, Field

from tasks.store import Reference


class Predictions(BaseModel):
    """What a model makes of the test images.

    Attributes:
        artifact: It holds `probabilities.npy`, shape (num_images, num_classes), dtype=float32, in the order of the test
            split.
        test_digest: The splits' `test_digest`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact: Reference
    test_digest: str


class ScoredChampion(BaseModel):
    """A champion of the ledger and its predictions.

    Attributes:
        entry: Number of the ledger's entry that made it champion.
        model: Its artifact; None where it could not be found.
        predictions: None where it could not be scored.
        problem: Why it could not be, in one line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    entry: int = Field(ge=1)
    version: int = Field(ge=1)
    model: Reference | None = None
    predictions: Predictions | None
    problem: str = ""


class Opponents(BaseModel):
    """Whom a new model is compared with.

    Attributes:
        champion: None before the first promotion, and where the new model is the champion itself.
        anchor: The last champion that no refresh chose, so that refreshes cannot lead down in small steps; None where
            that is the champion itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    champion: ScoredChampion | None = None
    anchor: ScoredChampion | None = None
