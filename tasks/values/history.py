"""What the store remembers of a model: its promotions, and the accuracy of every run."""

from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from cnn_model.results import Interval
from tasks.values.decision import Basis


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Promotion(_Value):
    """An entry of the ledger, as a person reads it.

    Attributes:
        number: Of the entry.
        replaces_version: The champion before; None for the first.
        accuracy: On the test images of `test_digest`, 0 to 1.
        basis: What chose it; None in entries of before that was recorded.
        actor: Who or what promoted.
    """

    number: int = Field(ge=1)
    promoted_at: datetime
    version: int = Field(ge=1)
    replaces_version: int | None
    accuracy: float = Field(ge=0, le=1)
    test_digest: str
    basis: Basis | None
    actor: str
    reason: str


class PastRun(_Value):
    """A run that came to a model.

    Attributes:
        outcome: "promoted", "refused", "unchanged" or "waiting".
        accuracy: On all test images.
        test_digest: Of these; None in runs of before it was kept.
    """

    run_id: str
    run_name: str
    started: AwareDatetime
    outcome: str
    version: int = Field(ge=1)
    accuracy: Interval
    test_digest: str | None


class ModelHistory(_Value):
    """The past of one registered model.

    Attributes:
        promotions: The last ones, the newest first.
        num_promotions: In all.
        problem: Why the ledger cannot be read; empty where it can.
        runs: The last ones, the oldest first, without the one that is being reported.
        num_unreadable: Summaries of runs that could not be read, whatever model they are of.
    """

    model_name: str
    promotions: tuple[Promotion, ...] = ()
    num_promotions: int = Field(0, ge=0)
    problem: str = ""
    runs: tuple[PastRun, ...] = ()
    num_unreadable: int = Field(0, ge=0)
