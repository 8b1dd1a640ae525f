"""One flow run: what it is about, its steps, its report."""

import logging
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version

from prefect import runtime
from pydantic import BaseModel

from cnn_model.recipe import Recipe
from flows import approval, dashboard, history, intake, observer
from flows.approval import Waiting
from flows.execution import StepFailedError, Steps, one_line
from flows.lineage import code_version
from flows.trainings import CachedTrainings
from tasks import store
from tasks.ingest.drops import Arrivals
from tasks.ingest.sources import Source
from tasks.ledger import model_name
from tasks.register.candidate import Candidate
from tasks.register.config import RegisterConfig
from tasks.register.step import conclude as conclude_step
from tasks.report import brief
from tasks.report.config import ReportConfig
from tasks.report.contents import ReportContents
from tasks.report.step import REPORT, address_of
from tasks.report.step import report as report_step
from tasks.report.summary import Summary, build_summary, write_summary
from tasks.train import seeds
from tasks.train.config import TrainConfig
from tasks.train.seeds import SeedChoice
from tasks.validate.config import ValidateConfig
from tasks.values.baselines import Baselines
from tasks.values.dataset import RawDataset
from tasks.values.drops import DropOutcomes
from tasks.values.execution import RunInfo, StepName
from tasks.values.history import ModelHistory
from tasks.values.model import TrainedModel
from tasks.values.opponents import Opponents
from tasks.values.registration import Registration
from tasks.values.splits import Splits
from tasks.values.start import StartChoice
from tasks.values.training import Training
from tasks.values.validation import DataValidationError, Validation

logger = logging.getLogger(__name__)

FORCED: tuple[StepName, ...] = ("train", "warm start", "evaluate", "corruptions")
"""What a forced run does anew. The steps before give the same data, and those after never come from the cache."""

LIBRARIES = ("prefect", "great-expectations", "pandas", "scikit-learn", "mlflow-skinny", "matplotlib")


class Run:
    """A run within its flow.

    Args:
        source: The source as asked for.
        recipe: What is trained.
        train: How; of it the seed and the age of a model that a run takes from an earlier one.
        at: When the run was to start.
        force: Whether to train even if nothing changed.
        sections: Each step's section, by the step's name.

    Attributes:
        info: What identifies the run; complete after `begin`.
        steps: Runs and records the steps.
        start_choice: Which of a cold and a warm start goes on; None where no warm start was asked for.
        opponents: The champions that the model is compared with; None until they are scored.
        drops: What became of each labelled drop; None until they are settled, and where no folder is configured.
        summary: What became of it; set when `reported` ends.
    """

    summary: Summary
    start_choice: StartChoice | None = None
    drops: DropOutcomes | None = None
    opponents: Opponents | None = None
    _history: ModelHistory | None = None
    _before: ReportContents | None = None
    _seed: SeedChoice | None = None

    def __init__(
        self,
        source: str,
        recipe: Recipe,
        train: TrainConfig,
        at: datetime,
        force: bool,
        sections: Mapping[str, BaseModel],
    ) -> None:
        self._observer = observer.current()
        self._recipe, self._train, self._at, self._force = recipe, train, at, force
        self.steps = Steps(self._observer, anew=FORCED if force else ())
        self.info = RunInfo(
            run_id=str(runtime.flow_run.id),
            run_name=str(runtime.flow_run.name),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            source=source,
            resolved_source="not resolved",
            practice=source == "synthetic",
            recipe=recipe.name,
            seed=None if train.seed == "date" else train.seed,
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

    def choose_seed(self, splits: Splits) -> int:
        """The splits are known, and so is what was trained on them before: say with which seed the run goes on.

        Raises:
            StepFailedError: if the results of earlier runs cannot be read.
        """
        chosen = self.steps.attempt("train", self._choose_seed, splits)
        self._seed = chosen
        named = self.info.run_name.replace("seed date", f"seed {chosen.seed}")
        self.info = self.info.model_copy(update={"seed": chosen.seed, "run_name": named})
        dashboard.rename(self.info)
        if chosen.reason:
            logger.info("Seed %d%s.", chosen.seed, chosen.reason)
        return chosen.seed

    def _choose_seed(self, splits: Splits) -> SeedChoice:
        trainings = CachedTrainings(splits, self._recipe, self._train)
        return seeds.choose(self._train, self._at, force=self._force, trainings=trainings)

    def go_on_with(self, choice: StartChoice) -> TrainedModel:
        """Of a cold and a warm start one is chosen: say which and why, and give its model."""
        self.start_choice = choice
        logger.info("%s", choice.sentence)
        return choice.chosen.model

    def go_on_from(self, waiting: Waiting) -> Candidate:
        """The run was suspended after its model was registered: take over what it came to, and give the candidate."""
        found = waiting.contents
        self._before, self.info = found, found.run
        dashboard.rename(self.info)
        self.steps.restore(step for step in found.steps if step.outcome != "not_run")
        self.steps.values["ingest"] = found.dataset
        self._observer.run_started(self.info, None)
        return waiting.candidate

    def approved(
        self, candidate: Candidate, waiting: Waiting | None, config: RegisterConfig, report: ReportConfig
    ) -> Registration:
        """What became of the candidate; where a person is to approve of it, once they have answered.

        Args:
            candidate: It is registered.
            waiting: What the run came to before it was suspended; None where it was not.
            config: How models are registered.
            report: What the report shows that the person reads.

        Raises:
            StepFailedError: if the run cannot be suspended, or the answer not be followed.
        """
        if waiting is None:
            registration: Registration = self.steps.values["register"]
            if registration.verdict != "waiting":
                return registration
            self.summary = self._write(report, None)
            waiting = Waiting(contents=self._contents(None), candidate=candidate)
            self.steps.attempt("register", approval.keep, waiting)
        asked = waiting.contents.registration
        assert asked is not None, "it waits"
        place = store.current().shared("runs", self.info.run_id).place(REPORT)
        words = brief.markdown(waiting.contents, address_of(self.info.run_id, place))
        answer = self.steps.attempt("register", approval.ask, waiting, words)
        return self.steps.run(conclude_step, candidate, asked, answer, config)

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
        shared = store.current().shared("runs", self.info.run_id)
        folder, place = str(shared.path), shared.place(REPORT)
        path: str | None = None
        self._history = self._past()
        try:
            path = self.steps.run(report_step, self._contents(failure), config, folder, place)
        except StepFailedError as error:
            # The model is trained and registered: a page that cannot be drawn takes nothing of that back.
            logger.error("%s", error)
        summary = build_summary(self._contents(failure), path)
        write_summary(summary, folder)
        shared.send()
        dashboard.tell(summary)
        return summary

    def _contents(self, failure: StepFailedError | None) -> ReportContents:
        values = self.steps.values
        if self._before is not None:
            new = {"registration": values.get("register"), "history": self._history, "bundle": values.get("bundle")}
            return self._before.model_copy(update={"run": self.info, "steps": self.steps.records, **new})
        cause = failure.cause if failure is not None else None
        return ReportContents(
            run=self.info,
            steps=self.steps.records,
            dataset=values.get("ingest"),
            drops=self.drops,
            validation=values.get("validate"),
            splits=values.get("preprocess"),
            training=self._training(values.get("train")),
            model=values.get("train") if self.start_choice is None else self.start_choice.chosen.model,
            start_choice=self.start_choice,
            evaluation=values.get("evaluate"),
            opponents=self.opponents,
            robustness=values.get("corruptions"),
            registration=values.get("register"),
            history=self._history,
            bundle=values.get("bundle"),
            failed_checks=cause.checks if isinstance(cause, DataValidationError) else (),
            versions={"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        )

    def _past(self) -> ModelHistory | None:
        dataset: RawDataset | None = self.steps.values.get("ingest")
        return history.read(model_name(dataset.name), self.info.run_id) if dataset is not None else None

    def _training(self, cold: TrainedModel | None) -> Training | None:
        if cold is None or self._seed is None:
            return None
        return Training(
            seed=self._seed.seed,
            seed_is_fixed=self._train.seed != "date",
            trained_at=cold.trained_at,
            run_at=self._at,
            in_this_run=self.steps.outcome("train") == "ran",
            reason=self._seed.reason,
            forced=self._force,
            max_model_age_days=self._train.max_model_age_days,
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
