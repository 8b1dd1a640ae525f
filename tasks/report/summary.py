"""`summary.json`: a run in figures, for programs. Its schema stands beside this module.

python -m tasks.report.summary > tasks/report/summary.schema.json
"""

import json
import logging
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.files import write_atomically
from tasks.report.contents import ReportContents, RunOutcome
from tasks.shared_folder import SharedFolder
from tasks.values.dataset import RawDataset
from tasks.values.decision import Decision
from tasks.values.drops import DropOutcomes, DropState
from tasks.values.evaluation import Evaluation, SubsetAccuracy
from tasks.values.execution import StepName, StepOutcome
from tasks.values.near_duplicates import NearDuplicates
from tasks.values.robustness import Robustness
from tasks.values.start import StartChoice
from tasks.values.validation import Validation

logger = logging.getLogger(__name__)

SUMMARY = "summary.json"
WAITING = "waiting.json"
"""Beside it, of a run that waited for a person: what it goes on from."""

SCHEMA = Path(__file__).with_name("summary.schema.json")


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceSummary(_Value):
    """Where the images came from."""

    asked: str = Field(description="The source as asked for.")
    resolved: str = Field(description="What it turned out to be.")


class DatasetSummary(_Value):
    """The images."""

    name: str = Field(description="cifar10, synthetic for practice images, or unofficial-...")
    digest: str = Field(pattern="^[0-9a-f]{64}$", description="Of the base and the accepted drops.")
    num_train_images: int = Field(ge=0, description="Of the base, before the split.")
    num_corrected_labels: int = Field(description="Training labels of the base that reviewers put right.")
    num_dropped_images: int = Field(ge=0, description="Of the accepted drops, before the split.")
    num_test_images: int = Field(ge=0)
    num_test_images_in_train: int | None = Field(
        ge=0,
        description="Test images that have a near-duplicate in train or in an accepted drop; null before validate has "
        "looked for them.",
    )


class DropSummary(_Value):
    """One labelled drop."""

    name: str
    state: DropState = Field(
        description="accepted: in the dataset. quarantined, repeated: moved aside. withheld: taken before, bad now, "
        "and left out. refused: bad, and the run stopped. waiting: for a later run."
    )
    reason: str = Field(description="Why, in one sentence; may be empty where it was accepted.")
    folder: str = Field(description="Where it lies after the run.")
    digest: str | None = Field(description="SHA-256 over its files; null where it was not read.")
    num_images: dict[str, int] = Field(description="By class; empty where it was not read.")
    failed_checks: tuple[str, ...] = Field(description="Names of the checks that failed, warnings among them.")


class ExtraTestSummary(_Value):
    """The images that are kept for testing only."""

    name: str = Field(description="Of their folder.")
    digest: str = Field(description="SHA-256 over its files; the accuracy compares only where it is equal.")
    num_images: dict[str, int] = Field(description="By class; empty before validate has counted them.")
    failed_checks: tuple[str, ...] = Field(description="Names of the checks that failed as warnings.")


class StepSummary(_Value):
    """One step."""

    outcome: StepOutcome
    seconds: float = Field(ge=0, description="Wall-clock time, retries included.")
    peak_memory_bytes: int | None = Field(ge=0, description="Null where the step did not run.")
    error: str | None = Field(description="The cause in one line, for a failed step.")


class Metric(_Value):
    """A figure on the test images, with its 95 % interval where there is one."""

    value: float
    low: float | None
    high: float | None


class Metrics(_Value):
    """The model on the published test images, where nothing else is said; shares from 0 to 1."""

    accuracy: Metric
    accuracy_without_near_duplicates: Metric | None = Field(
        description="On the test images that have no near-duplicate in train or in an accepted drop; null where all "
        "have one."
    )
    accuracy_without_label_issues: Metric | None = Field(
        description="On the test images whose label is not suspected to be wrong; null where all are."
    )
    extra_test_accuracy: Metric | None = Field(
        description="On the extra test images, which take part in no other figure; null without --ingest.extra-test."
    )
    macro_precision: Metric
    macro_recall: Metric
    macro_f1: Metric
    loss: Metric = Field(description="Mean negative log-likelihood in nats.")
    expected_calibration_error: Metric


class LabelIssuesSummary(_Value):
    """Labels that the model speaks against."""

    num_images: int = Field(ge=0, description="Images that were looked at.")
    num_suspects: int = Field(ge=0, description="Labels among them that are probably wrong.")


class RobustnessSummary(_Value):
    """The model's network on corrupted test images, one view of each, whatever views the model averages over."""

    num_images: int = Field(ge=1, description="Test images in the sample, as many of each class.")
    clean_accuracy: float = Field(
        ge=0, le=1, description="On the sample as it is; with one view, so another figure than the model's accuracy."
    )
    corrupted_accuracy: Metric = Field(description="Mean over all corruptions and severities.")
    accuracies: dict[str, tuple[float, ...]] = Field(
        description="By corruption, at severity 1, the mildest, to 3; 0 to 1."
    )


class StartSummary(_Value):
    """One training of a run with a warm start; validation figures of the weights that its model has."""

    start: str = Field(description='"cold", or whose weights were the start, such as "champion version 3".')
    validation_accuracy: float | None = Field(description="0 to 1; null where the recipe trains on all images.")
    validation_loss: float | None = Field(description="Mean cross-entropy in nats; null likewise.")
    epochs: int = Field(ge=1)
    seconds: float = Field(ge=0, description="Of the training, also where it came from the cache.")
    chosen: bool = Field(description="Whether its model was evaluated and registered.")


class TrainingSummary(_Value):
    """How the run came to its model, to that of the cold start where it has two."""

    seed: int = Field(ge=0)
    trained_at: str = Field(description="When the training ended, ISO 8601 with zone.")
    age_days: float = Field(ge=0, description="At the time that the run was to start; 0 where it trained.")
    in_this_run: bool = Field(description="Whether the run trained; else the model came from the cache.")
    forced: bool = Field(description="Whether the run was to train even if nothing changed.")
    sentence: str = Field(description="The training, and what led to it, in words.")


class BundleSummary(_Value):
    """What whoever serves the model is given."""

    folder: str = Field(description="Its path.")
    archive: str = Field(description="Path of the same as .tar.gz.")
    digest: str = Field(
        pattern="^[0-9a-f]{64}$", description="SHA-256 of its manifest; `python -m cnn_model verify` asks for it."
    )


class Summary(_Value):
    """One run. A field is null where the run failed before it had it."""

    format: Literal[1] = Field(description="Raised when a field changes its meaning or goes.")
    run_id: str
    run_name: str
    started: str = Field(description="ISO 8601 with zone.")
    outcome: RunOutcome
    verdict: str = Field(description="The outcome in one sentence.")
    practice: bool = Field(description="True where the images are practice images.")
    source: SourceSummary
    dataset: DatasetSummary | None
    test_digest: str | None = Field(
        description="SHA-256 over the test images and labels: figures of two runs compare only where it is equal; null "
        "before the split."
    )
    drops: tuple[DropSummary, ...] = Field(description="Each drop that was found; empty without --ingest.drops.")
    extra_test: ExtraTestSummary | None = Field(description="Null without --ingest.extra-test.")
    recipe: str
    seed: int | None = Field(description="Of the training.")
    code_version: str
    steps: dict[StepName, StepSummary] = Field(
        description="All seven, by name; the warm start where a second training was tried, the champions that were "
        "scored, the scoring on corrupted images, and export and bundle where the model was handed over in this run."
    )
    training: TrainingSummary | None
    starts: tuple[StartSummary, ...] = Field(
        description="The cold start and, where it could be made, the warm one; empty without --train.warm-start."
    )
    metrics: Metrics | None
    label_issues: LabelIssuesSummary | None
    robustness: RobustnessSummary | None = Field(
        description="Null where no test image was corrupted, or the scoring failed."
    )
    model_name: str | None = Field(description="In the registry.")
    model_version: int | None
    champion_version: int | None = Field(description="After this run.")
    decision: Decision | None = Field(
        description="The gate's, with its evidence; null where nothing was decided, such as for a model that is "
        "registered already."
    )
    num_test_set_decisions: int | None = Field(
        description="How often these test images were used for a decision, this run's included."
    )
    bundle: BundleSummary | None = Field(
        description="Of the model version; null where the run failed before it was written."
    )
    report: str | None = Field(description="Path of the report; null where it could not be written.")


def build_summary(contents: ReportContents, report: str | None) -> Summary:
    """Sum up a run.

    Args:
        contents: The run, with the record of the report step if it is to stand in the summary.
        report: Path of the report.
    """
    run, registration = contents.run, contents.registration
    return Summary(
        format=1,
        run_id=run.run_id,
        run_name=run.run_name,
        started=run.started,
        outcome=contents.outcome,
        verdict=contents.sentence,
        practice=run.practice,
        source=SourceSummary(asked=run.source, resolved=run.resolved_source),
        dataset=_dataset(contents.dataset, contents.near_duplicates),
        test_digest=contents.splits.test_digest if contents.splits is not None else None,
        drops=_drops(contents.drops),
        extra_test=_extra_test(contents.dataset, contents.validation),
        recipe=run.recipe,
        seed=run.seed,
        code_version=run.code_version,
        steps={step.name: StepSummary(**step.model_dump(exclude={"name"})) for step in contents.all_steps},
        training=_training(contents),
        starts=_starts(contents.start_choice),
        metrics=_metrics(contents.evaluation) if contents.evaluation is not None else None,
        label_issues=_label_issues(contents.evaluation),
        robustness=_robustness(contents.robustness),
        model_name=registration.model_name if registration is not None else None,
        model_version=registration.version if registration is not None else None,
        champion_version=registration.champion_version if registration is not None else None,
        decision=registration.decision if registration is not None else None,
        num_test_set_decisions=registration.num_decisions if registration is not None else None,
        bundle=BundleSummary(**contents.bundle.model_dump()) if contents.bundle is not None else None,
        report=report,
    )


def write_summary(summary: Summary, folder: str) -> str:
    """Write `summary.json` into `folder`, whole or not at all, and return its path."""
    path = Path(folder) / SUMMARY
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, summary.model_dump_json(indent=2) + "\n")
    return str(path)


def read_finished(runs: SharedFolder, run_id: str) -> Summary | None:
    """What a run wrote that came to its end, a verdict and a bundle; None where it did not, or other code wrote it.

    Args:
        runs: It has a folder for each run.
        run_id: The run's.
    """
    name = f"{run_id}/{SUMMARY}"
    found = runs.read([name]).get(name)
    if found is None:
        return None
    try:
        summary = Summary.model_validate_json(found)
    except ValidationError as error:
        logger.warning("%s is not of this version of the code: %s", runs.place(name), error)
        return None
    return summary if summary.outcome not in ("waiting", "failed") and summary.bundle is not None else None


def json_schema() -> dict[str, Any]:
    """The schema of `summary.json`, as it stands in `summary.schema.json`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Summary.model_json_schema(mode="serialization"),
    }


def _dataset(dataset: RawDataset | None, near_duplicates: NearDuplicates | None) -> DatasetSummary | None:
    if dataset is None:
        return None
    return DatasetSummary(
        name=dataset.name,
        digest=dataset.digest,
        num_train_images=dataset.num_train_images,
        num_corrected_labels=dataset.num_corrected_labels,
        num_dropped_images=sum(drop.num_images for drop in dataset.drops),
        num_test_images=dataset.num_test_images,
        num_test_images_in_train=near_duplicates.num_test_images_in_train if near_duplicates is not None else None,
    )


def _drops(outcomes: DropOutcomes | None) -> tuple[DropSummary, ...]:
    if outcomes is None:
        return ()
    return tuple(
        DropSummary(
            **drop.model_dump(exclude={"checks", "artifact"}), failed_checks=tuple(check.name for check in drop.checks)
        )
        for drop in outcomes.drops
    )


def _extra_test(dataset: RawDataset | None, validation: Validation | None) -> ExtraTestSummary | None:
    if dataset is None or dataset.extra_test is None:
        return None
    verdict = validation.extra_test if validation is not None else None
    return ExtraTestSummary(
        name=dataset.extra_test.name,
        digest=dataset.extra_test.digest,
        num_images=dict(zip(dataset.class_names, verdict.num_images, strict=True)) if verdict is not None else {},
        failed_checks=tuple(check.name for check in verdict.failed) if verdict is not None else (),
    )


def _training(contents: ReportContents) -> TrainingSummary | None:
    training = contents.training
    if training is None:
        return None
    return TrainingSummary(
        seed=training.seed,
        trained_at=training.trained_at.isoformat(timespec="seconds"),
        age_days=training.age / timedelta(days=1),
        in_this_run=training.in_this_run,
        forced=training.forced,
        sentence=contents.training_sentence,
    )


def _starts(choice: StartChoice | None) -> tuple[StartSummary, ...]:
    if choice is None:
        return ()
    return tuple(
        StartSummary(
            start=start.name,
            validation_accuracy=start.validation.accuracy if start.validation is not None else None,
            validation_loss=start.validation.loss if start.validation is not None else None,
            epochs=len(start.model.result.history),
            seconds=start.model.result.seconds,
            chosen=start == choice.chosen,
        )
        for start in choice.starts
    )


def _metrics(evaluation: Evaluation) -> Metrics:
    result, extra = evaluation.result, evaluation.extra_test
    return Metrics(
        accuracy=Metric(**result.accuracy.model_dump()),
        accuracy_without_near_duplicates=_of_subset(evaluation.without_near_duplicates),
        accuracy_without_label_issues=_of_subset(evaluation.without_label_issues),
        extra_test_accuracy=Metric(**extra.result.accuracy.model_dump()) if extra is not None else None,
        macro_precision=_without_interval(result.macro_precision),
        macro_recall=_without_interval(result.macro_recall),
        macro_f1=_without_interval(result.macro_f1),
        loss=_without_interval(result.loss),
        expected_calibration_error=_without_interval(result.expected_calibration_error),
    )


def _of_subset(subset: SubsetAccuracy | None) -> Metric | None:
    return Metric(**subset.accuracy.model_dump()) if subset is not None else None


def _label_issues(evaluation: Evaluation | None) -> LabelIssuesSummary | None:
    if evaluation is None:
        return None
    return LabelIssuesSummary(**evaluation.label_issues.model_dump(exclude={"artifact"}))


def _robustness(robustness: Robustness | None) -> RobustnessSummary | None:
    if robustness is None:
        return None
    accuracies: dict[str, tuple[float, ...]] = {}
    for score in robustness.scores:
        accuracies[score.corruption] = (*accuracies.get(score.corruption, ()), score.accuracy)
    return RobustnessSummary(
        num_images=robustness.num_images,
        clean_accuracy=robustness.clean_accuracy,
        corrupted_accuracy=Metric(**robustness.mean_accuracy.model_dump()),
        accuracies=accuracies,
    )


def _without_interval(value: float) -> Metric:
    return Metric(value=value, low=None, high=None)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
