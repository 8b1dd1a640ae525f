"""What a report is about: everything that the steps of one run gave, as far as the run came."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tasks.values.bundle import WrittenBundle
from tasks.values.dataset import RawDataset
from tasks.values.drops import Drop, DropOutcomes
from tasks.values.evaluation import Evaluation
from tasks.values.execution import STEP_NAMES, RunInfo, StepRecord, in_order
from tasks.values.history import ModelHistory
from tasks.values.model import TrainedModel
from tasks.values.near_duplicates import NearDuplicates
from tasks.values.opponents import Opponents
from tasks.values.registration import Registration
from tasks.values.robustness import Robustness
from tasks.values.splits import Splits
from tasks.values.start import StartChoice
from tasks.values.training import Training
from tasks.values.validation import Check, Validation

RunOutcome = Literal["promoted", "refused", "unchanged", "waiting", "failed"]


class ReportContents(BaseModel):
    """One run, for the report and for `summary.json`. What the run did not reach is None.

    Attributes:
        steps: The steps as far as they are known, in any order; the report's own is not over when it is rendered.
        dataset: With the accepted drops, once it is known which these are.
        drops: What became of each labelled drop; None where no folder for them is configured.
        training: How the run came to its model, to the cold one where it has two.
        model: The one that goes on, where a run trained two.
        start_choice: The trainings that it was chosen from; None where no warm start was asked for.
        opponents: The champions that the model was compared with; None where it came to no comparison.
        robustness: The model on corrupted test images; None where they were not looked at.
        history: The past of the registered model; None until its name is known.
        failed_checks: The checks of a validation that stopped the run, and so gave no `validation`.
        versions: Versions of Python and of the libraries of the flow's process, by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: RunInfo
    steps: tuple[StepRecord, ...]
    dataset: RawDataset | None = None
    drops: DropOutcomes | None = None
    validation: Validation | None = None
    splits: Splits | None = None
    training: Training | None = None
    model: TrainedModel | None = None
    start_choice: StartChoice | None = None
    evaluation: Evaluation | None = None
    opponents: Opponents | None = None
    robustness: Robustness | None = None
    registration: Registration | None = None
    history: ModelHistory | None = None
    bundle: WrittenBundle | None = None
    failed_checks: tuple[Check, ...] = ()
    versions: dict[str, str]

    @property
    def outcome(self) -> RunOutcome:
        """What became of the run: the verdict where one was reached, else failed."""
        return self.registration.verdict if self.registration is not None else "failed"

    @property
    def sentence(self) -> str:
        """The run in one sentence, without the cause of a failure."""
        if self.registration is not None:
            return self.registration.sentence
        failed = self.stopped_at
        if failed.name == "register":
            return "The run failed in register; the ledger says whether the model was promoted."
        if failed.outcome == "failed":
            return f"The run failed in {failed.name}; no model was promoted."
        return f"The run ended before {failed.name}; no model was promoted."

    @property
    def training_sentence(self) -> str:
        """How the run came to its model, and that the same one came out, where it did; empty where it came to none."""
        if self.training is None:
            return ""
        sentence = self.training.sentence
        if self.training.in_this_run and self.outcome == "unchanged":
            sentence += " The model came out the same to the bit."
            if self.training.forced:
                sentence += " Another seed, or `date`, gives another one."
        return sentence if self.start_choice is None else f"Cold start: {sentence[0].lower()}{sentence[1:]}"

    @property
    def stopped_at(self) -> StepRecord:
        """The step that failed; where none did, the first that was never reached, and register where all were."""
        failed = [step for step in self.all_steps if step.outcome == "failed" and step.name in STEP_NAMES]
        missing = [step for step in self.all_steps if step.outcome == "not_run"]
        return next(iter(failed + missing), StepRecord(name="register", outcome="not_run"))

    @property
    def failed_handoff(self) -> StepRecord | None:
        """The step that failed after the verdict, which stands; None where none did."""
        return next(
            (step for step in self.steps if step.outcome == "failed" and step.name in ("export", "bundle")), None
        )

    @property
    def all_steps(self) -> tuple[StepRecord, ...]:
        """All seven, in their order, and what stands beside them in this run; what nobody recorded was not run."""
        return in_order(self.steps)

    @property
    def checks(self) -> tuple[Check, ...]:
        """The data checks, also of a validation that stopped the run."""
        return self.validation.checks if self.validation is not None else self.failed_checks

    @property
    def extra_test(self) -> Drop | None:
        """The images that are kept for testing only, where there are such."""
        return self.dataset.extra_test if self.dataset is not None else None

    @property
    def near_duplicates(self) -> NearDuplicates | None:
        """Those of the dataset, once validate has found them."""
        return self.validation.near_duplicates if self.validation is not None else None

    @property
    def unofficial(self) -> bool:
        """Whether the images are neither the published ones nor practice images."""
        return self.dataset is not None and self.dataset.name.startswith("unofficial-")
