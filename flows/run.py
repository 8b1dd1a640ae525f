"""One flow run: what it is about, its steps, its report."""

import logging
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version

from prefect import runtime
from pydantic import BaseModel

from flows import intake, observer
from flows.execution import StepFailedError, Steps, one_line
from flows.lineage import code_version
from tasks import store
from tasks.ingest.drops import Arrivals
from tasks.ingest.sources import Source
from tasks.report.config import ReportConfig
from tasks.report.contents import ReportContents
from tasks.report.step import report as report_step
from tasks.report.summary import Summary, build_summary, write_summary
from tasks.validate.config import ValidateConfig
from tasks.values.baselines import Baselines
from tasks.values.dataset import RawDataset
from tasks.values.drops import DropOutcomes
from tasks.values.execution import RunInfo
from tasks.values.model import TrainedModel
from tasks.values.start import StartChoice
from tasks.values.validation import DataValidationError, Validation

logger = logging.getLogger(__name__)

LIBRARIES = ("prefect", "great-expectations", "pandas", "scikit-learn", "mlflow-skinny", "matplotlib")


class Run:
    """A run within its flow.

    Args:
        source: The source as asked for.
        recipe: Name of the recipe.
        seed: The seed that the run trains with.
        sections: Each step's section, by the step's name.

    Attributes:
        info: What identifies the run; complete after `begin`.
        steps: Runs and records the steps.
        start_choice: Which of a cold and a warm start goes on; None where no warm start was asked for.
        drops: What became of each labelled drop; None until they are settled, and where no folder is configured.
        summary: What became of it; set when `reported` ends.
    """

    summary: Summary
    start_choice: StartChoice | None = None
    drops: DropOutcomes | None = None

    def __init__(self, source: str, recipe: str, seed: int, sections: Mapping[str, BaseModel]) -> None:
        self._observer = observer.current()
        self.steps = Steps(self._observer)
        self.info = RunInfo(
            run_id=str(runtime.flow_run.id),
            run_name=str(runtime.flow_run.name),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            source=source,
            resolved_source="not resolved",
            practice=source == "synthetic",
            recipe=recipe,
            seed=seed,
            code_version=code_version(),
            configuration={name: section.model_dump(mode="json") for name, section in sections.items()},
        )

    def begin(self, found: Source) -> None:
        """The source is known: complete `info`, and tell who watches."""
        practice = found.kind == "synthetic"
        self.info = self.info.model_copy(update={"resolved_source": _in_words(found), "practice": practice})
        self._observer.run_started(self.info, None if found.fallback_reason is None else _fallback(found))

    def settle(
        self,
        arrivals: Arrivals,
        dataset: RawDataset,
        compared: Baselines,
        validation: Validation,
        config: ValidateConfig,
    ) -> RawDataset:
        """The drops are judged: take the good ones and move the bad ones aside; the dataset that goes on.

        Raises:
            StepFailedError: if one is bad and the run is to stop at it, or the folder cannot be written.
        """
        if arrivals.folder is None:
            return dataset
        settled = self.steps.attempt(
            "validate", intake.settle, arrivals, dataset, compared, validation, self.info.run_id, config
        )
        self.drops = settled
        self.steps.attempt("validate", intake.require_none_refused, settled)
        accepted = dataset.with_drops({drop.digest for drop in settled.having("accepted") if drop.digest is not None})
        self.steps.values["ingest"] = accepted
        return accepted

    def go_on_with(self, choice: StartChoice) -> TrainedModel:
        """Of a cold and a warm start one is chosen: say which and why, and give its model."""
        self.start_choice = choice
        logger.info("%s", choice.sentence)
        return choice.chosen.model

    @contextmanager
    def reported(self, config: ReportConfig) -> Iterator[None]:
        """Render the report at the end of the block, also when a step in it failed, and write `summary.json`.

        Raises:
            StepFailedError: what the block raised, with the summary.
        """
        failure: StepFailedError | None = None
        try:
            yield
        except StepFailedError as error:
            failure = error
        try:
            self.summary = self._write(config, failure)
        except Exception as error:
            if failure is None:
                raise
            # The cause of the failure is what a person needs, not that it could not be written down.
            logger.error("The report of this run could not be written: %s", one_line(error))
            raise failure from error
        if failure is not None:
            failure.summary = self.summary
            raise failure

    def _write(self, config: ReportConfig, failure: StepFailedError | None) -> Summary:
        folder = str(store.current().folder("runs", self.info.run_id))
        path: str | None = None
        try:
            path = self.steps.run(report_step, self._contents(failure), config, folder)
        except StepFailedError as error:
            # The model is trained and registered: a page that cannot be drawn takes nothing of that back.
            logger.error("%s", error)
        summary = build_summary(self._contents(failure), path)
        write_summary(summary, folder)
        return summary

    def _contents(self, failure: StepFailedError | None) -> ReportContents:
        values = self.steps.values
        cause = failure.cause if failure is not None else None
        return ReportContents(
            run=self.info,
            steps=self.steps.records,
            dataset=values.get("ingest"),
            drops=self.drops,
            validation=values.get("validate"),
            splits=values.get("preprocess"),
            model=values.get("train") if self.start_choice is None else self.start_choice.chosen.model,
            start_choice=self.start_choice,
            evaluation=values.get("evaluate"),
            registration=values.get("register"),
            failed_checks=cause.checks if isinstance(cause, DataValidationError) else (),
            versions={"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        )


def _fallback(source: Source) -> str:
    return (
        "PRACTICE IMAGES, not CIFAR-10: the figures say nothing about photographs. "
        f"{source.fallback_reason} Set CIFAR10_SOURCE, or name the images with --source."
    )


def _in_words(source: Source) -> str:
    match source.kind:
        case "official":
            return "cifar10, the official archive"
        case "synthetic":
            return "synthetic practice images" if source.fallback_reason is None else f"synthetic: {_fallback(source)}"
        case "local":
            return str(source.location)
