"""The retraining flow: seven steps, from a source of images to a registered model and a report.

    python -m flows.retraining --help

Importing this module loads neither TensorFlow nor Great Expectations nor MLflow; each is loaded where a step runs.
"""

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime

from prefect import flow, runtime

from flows import approval, command_line, dashboard, handoff, intake, opponents, options, robustness, starts
from flows.logs import logs_sent_to_dashboard
from flows.options import Options
from flows.run import Run
from flows.terminal import Terminal
from tasks import machine, policies, store
from tasks.addresses import Address
from tasks.errors import ConfigurationError
from tasks.evaluate.config import EvaluateConfig
from tasks.evaluate.step import evaluate as evaluate_step
from tasks.ingest import corrections, extra_test, sources
from tasks.ingest.config import IngestConfig
from tasks.ingest.step import ingest as ingest_step
from tasks.preprocess.config import PreprocessConfig
from tasks.preprocess.step import preprocess as preprocess_step
from tasks.register import preflight as register_preflight
from tasks.register.candidate import Candidate
from tasks.register.config import RegisterConfig
from tasks.register.step import register as register_step
from tasks.report.config import ReportConfig
from tasks.report.summary import Summary, read_finished
from tasks.train import plan
from tasks.train import preflight as train_preflight
from tasks.train.config import TrainConfig
from tasks.train.step import train as train_step
from tasks.validate.config import ValidateConfig
from tasks.validate.step import validate as validate_step

logger = logging.getLogger(__name__)

# The flow has one parameter a step, and pydantic's models, of which Prefect makes one for it, have methods of the
# same names.
warnings.filterwarnings("ignore", message='Field name "(validate|register)" in ".*" shadows an attribute')


def run_name() -> str:
    """What the dashboard calls a run, such as "weekly 2026-11-21 fast seed 1"."""
    chosen = TrainConfig.model_validate(runtime.flow_run.parameters.get("train") or {})
    return f"{dashboard.deployment_name('retrain-')} {_scheduled():%Y-%m-%d} {chosen.recipe} seed {chosen.seed}"


@flow(name="retrain", flow_run_name=run_name)
@dashboard.failing_in_words
def retrain(
    source: Address = "cifar10",
    force: bool = False,
    ingest: IngestConfig = IngestConfig(),
    validate: ValidateConfig = ValidateConfig(),
    preprocess: PreprocessConfig = PreprocessConfig(),
    train: TrainConfig = TrainConfig(),
    evaluate: EvaluateConfig = EvaluateConfig(),
    register: RegisterConfig = RegisterConfig(),
    report: ReportConfig = ReportConfig(),
) -> Summary:
    """Train a model on CIFAR-10 and promote it if it is better than the champion.

    Args:
        source: Where the images come from: cifar10 (download), a path or file:// URL of the binary archive or of a
            folder of .bin files, or synthetic (practice images).
        force: Train, evaluate and register even if nothing changed; with the seed `date`, with the next one of the day.
        ingest: How images are fetched.
        validate: Which data may be trained on.
        preprocess: How the images are split.
        train: What is trained.
        evaluate: How the model is scored.
        register: How the model is registered and promoted.
        report: What the report shows.

    Raises:
        StepFailedError: if a step failed; the report says where and why. What was registered and promoted before stays.
        ConfigurationError: if a deployment asks for the source `auto`, a drop under corruption cannot be held, or a
            variable of the environment cannot be right, or a person is to approve of a run that is no deployment's.
        StoreError: if the store cannot be written.
    """
    if source == "auto" and runtime.deployment.id is not None:
        raise ConfigurationError("A deployment's source is auto; expected cifar10, a path or synthetic: say which.")
    robustness.check(evaluate, register)
    approval.check(register)
    sections = {
        "ingest": ingest,
        "validate": validate,
        "preprocess": preprocess,
        "train": train,
        "evaluate": evaluate,
        "register": register,
        "report": report,
    }
    with machine.use(machine.current() or machine.from_environment(os.environ)), logs_sent_to_dashboard():
        store.current().check_writable()
        finished = read_finished(store.current().shared("runs"), str(runtime.flow_run.id))
        if finished is not None:
            # Retried on the dashboard, or started twice: what it came to must not be written over.
            logger.warning("This run has ended before and stays as it is; for another, start another run.")
            return dashboard.ended(finished, finished.verdict)
        recipe = plan.resolve_recipe(train)
        run = Run(source, recipe, train, _scheduled(), force, sections)
        steps = run.steps
        with run.reported(report):
            # A run that was suspended until a person approves goes on from there.
            waiting = steps.attempt("register", approval.find, run.info.run_id)
            if waiting is not None:
                candidate = run.go_on_from(waiting)
            else:
                steps.attempt("train", policies.check_device_slot)
                steps.attempt("train", train_preflight.check)
                steps.attempt("register", register_preflight.check)
                found = steps.attempt("ingest", sources.resolve, source, ingest, os.environ)
                run.begin(found)
                corrected = steps.attempt("ingest", corrections.read, ingest)
                extra = steps.attempt("ingest", extra_test.find, found, ingest)
                with intake.opened(steps, found, ingest) as arrivals:
                    dataset = steps.run(ingest_step, found, ingest, arrivals, corrected, extra)
                    compared = steps.attempt("validate", intake.baselines, arrivals, dataset)
                    validation = steps.run(validate_step, dataset, compared, validate)
                    dataset = run.settle(arrivals, dataset, compared, validation, validate)
                trainable = dataset.without_extra_test()
                splits = steps.run(preprocess_step, trainable, validation.near_duplicates, preprocess)
                seed = run.choose_seed(splits)
                model = steps.run(train_step, splits, recipe, seed, train)
                if train.warm_start:
                    model = run.go_on_with(starts.choose(steps, splits, recipe, seed, train, model))
                evaluation = steps.run(
                    evaluate_step, model, splits, validation.near_duplicates, dataset.extra_test, evaluate
                )
                corrupted = robustness.score(steps, splits, model, evaluate)
                run.opponents = opponents.score(steps, splits, model, evaluate, register)
                corrupted = robustness.score_beside(steps, splits, corrupted, run.opponents, evaluate)
                candidate = Candidate(
                    trainable,
                    splits,
                    model,
                    evaluation,
                    validation.near_duplicates,
                    run.opponents,
                    corrupted,
                    run.info,
                )
                steps.run(register_step, candidate, register)
            registration = run.approved(candidate, waiting, register, report)
            handoff.bundle(steps, candidate, registration)
        return dashboard.ended(run.summary, run.summary.verdict)


def main(arguments: Sequence[str]) -> int:
    """Run the flow from the command line; the exit code."""
    try:
        chosen = options.parse(arguments, Options)
        settings = chosen.machine(os.environ)
        sources.check(chosen.source, os.environ)
        intake.check(chosen.ingest)
        robustness.check(chosen.evaluate, chosen.register_)
        approval.check(chosen.register_)
    except ConfigurationError as error:
        options.exit_with_usage_error(error, Options)

    def run() -> Summary:
        summary: Summary = retrain(**chosen.parameters())
        return summary

    kept = "Finished steps are kept: the next run takes them from the cache."
    return command_line.run(run, Terminal.closing, settings, debug=chosen.debug, kept=kept)


def _scheduled() -> datetime:
    """When the run was to start, in UTC; now, where nothing scheduled it."""
    scheduled = runtime.flow_run.scheduled_start_time
    # Prefect gives a type of its own, whose differences do not compare with Python's.
    return datetime.now(UTC) if scheduled is None else datetime.fromtimestamp(scheduled.timestamp(), UTC)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
