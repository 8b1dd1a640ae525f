"""How a run came to its model: by a training of its own, or by an earlier one. Made by the flow, read by the report."""

from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

SAME = "on the same data, by the same recipe and code"
"""What two trainings share that differ in nothing but their seed."""


class Training(BaseModel):
    """The training that a run's cold start is of.

    Attributes:
        seed: Its seed.
        seed_is_fixed: Whether that very seed was asked for; else it follows from dates.
        trained_at: When it ended.
        run_at: When the run was to start.
        in_this_run: Whether the run trained; else the model came from the cache.
        reason: Why the run was to train with that seed, to be read after "seed 1"; may be empty.
        forced: Whether the run was to train even if nothing changed.
        max_model_age_days: As configured; None for no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(ge=0)
    seed_is_fixed: bool
    trained_at: AwareDatetime
    run_at: AwareDatetime
    in_this_run: bool
    reason: str
    forced: bool
    max_model_age_days: float | None

    @property
    def age(self) -> timedelta:
        """Of the model at the start of the run; none of one that the run trained."""
        return age(self.trained_at, self.run_at)

    @property
    def sentence(self) -> str:
        """The training, and what led to it."""
        if self.in_this_run:
            return f"Trained in this run with seed {self.seed}{self.reason}."
        found = f"Trained {ago(self.age)} with seed {self.seed} {SAME}"
        limit = self.max_model_age_days
        if limit is None:
            return f"{found}."
        if not self.seed_is_fixed:
            return f"{found}; max_model_age_days is {limit:g}."
        if self.age <= timedelta(days=limit):
            return f"{found}."
        return (
            f"{found}. That is longer ago than max_model_age_days, {limit:g}, but a fixed seed asks for this very "
            "training. The seed `date` would have trained anew."
        )


def age(trained_at: datetime, at: datetime) -> timedelta:
    """How old a model is; of none that was trained later it is negative."""
    return max(at - trained_at, timedelta(0))


def ago(since: timedelta) -> str:
    """How long ago, in words: "less than an hour ago", "1 hour ago", "3 days ago"."""
    hours = since // timedelta(hours=1)
    if hours < 1:
        return "less than an hour ago"
    number, unit = (hours, "hour") if hours < 24 else (since.days, "day")
    return f"{number} {unit}{'s' if number != 1 else ''} ago"
