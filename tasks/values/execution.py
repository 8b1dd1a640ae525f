"""How each step of a run went; made by the flow, read by the report."""

from collections.abc import Iterable
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

StepName = Literal[
    "ingest",
    "validate",
    "preprocess",
    "train",
    "warm start",
    "evaluate",
    "corruptions",
    "champion",
    "anchor",
    "champion corruptions",
    "register",
    "export",
    "bundle",
    "report",
    "score",
    "drift",
]
STEP_NAMES: tuple[StepName, ...] = ("ingest", "validate", "preprocess", "train", "evaluate", "register", "report")
"""The steps of every run. Beside them stand the warm start, where a run asks for one, the scoring of champions, where
there are such, and that on corrupted images; their failure stops no run. After register, export and bundle hand the
model over, where that is not done yet; if they fail the run fails, and what was registered and promoted stays so. Score
and drift are steps of a scoring, which has a report as well."""

StepOutcome = Literal["ran", "cached", "failed", "not_run"]


class StepRecord(BaseModel):
    """One step of one run.

    Attributes:
        outcome: As Prefect's state says: Completed is ran, Cached is cached, Failed and Crashed are failed.
        seconds: Wall-clock time, retries included.
        peak_memory_bytes: The largest sum of resident memory of the flow's process and of the step's child, sampled
            ten times a second; None where the step did not run.
        error: Cause in one line, for a failed step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: StepName
    outcome: StepOutcome
    seconds: float = Field(0.0, ge=0)
    peak_memory_bytes: int | None = Field(None, ge=0)
    error: str | None = None


def in_order(records: Iterable[StepRecord]) -> tuple[StepRecord, ...]:
    """The seven steps of a run in their order, `not_run` where nobody recorded them; others where they are there."""
    known = {record.name: record for record in records}
    names: tuple[StepName, ...] = get_args(StepName)
    return tuple(
        known.get(name, StepRecord(name=name, outcome="not_run"))
        for name in names
        if name in STEP_NAMES or name in known
    )


class RunInfo(BaseModel):
    """What identifies a run and what it was asked for.

    Attributes:
        run_id: Prefect's flow run id.
        run_name: The name on the dashboard.
        started: ISO 8601 with zone.
        source: The source as asked for ("auto", "cifar10", a path).
        resolved_source: What it turned out to be, in words.
        practice: True where the images are synthetic.
        recipe: Name of the recipe.
        seed: Seed of the training; None until it is chosen, where it follows from dates.
        code_version: Git commit, with "-dirty" where the tree had changes; "unknown" outside a checkout.
        configuration: Every section's values, by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    run_name: str
    started: str
    source: str
    resolved_source: str
    practice: bool
    recipe: str
    seed: int | None = None
    code_version: str
    configuration: dict[str, dict[str, object]]

    @property
    def seed_in_words(self) -> str:
        """The seed, or that it is not chosen yet."""
        return str(self.seed) if self.seed is not None else "from the date"
