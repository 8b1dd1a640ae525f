"""The scoring flow: the champion over any number of images, into Parquet files.

    python -m flows.scoring --help

Importing this module loads neither TensorFlow nor Great Expectations nor MLflow; each is loaded where a step runs.
"""

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated

from prefect import flow, runtime
from pydantic import Field

from flows import command_line, dashboard, observer, options
from flows.execution import StepFailedError, Steps, one_line
from flows.logs import logs_sent_to_dashboard
from flows.options import ScoringOptions
from flows.terminal import Terminal
from tasks import machine, policies, store
from tasks.addresses import Address
from tasks.errors import ConfigurationError
from tasks.ledger import LedgerEntry
from tasks.score import brief, champion, parts, plan
from tasks.score.config import ScoreConfig
from tasks.score.step import report as report_step
from tasks.score.step import score as score_step
from tasks.validate.scored_step import drift as drift_step
from tasks.values.scoring import Drift, Scoring, ScoringSummary

# What each is for stands below `Args:`, where Prefect's form takes it from.
ModelName = Annotated[str, Field(pattern="^[a-z0-9-]+$", max_length=200)]
Version = Annotated[int, Field(ge=1)]

logger = logging.getLogger("flows.scoring")  # not `__main__`, as `python -m` calls it: nobody would hear it


def run_name() -> str:
    """What the dashboard calls a run, such as "score daily cifar10-cnn champion"."""
    given = runtime.flow_run.parameters
    version = given.get("version")
    which = "champion" if version is None else f"version {version}"
    return f"score {dashboard.deployment_name('score-')} {given.get('model')} {which}"


@flow(name="score", flow_run_name=run_name)
@dashboard.failing_in_words
def score(
    images: Address,
    output: Address | None = None,
    model: ModelName = "cifar10-cnn",
    version: Version | None = None,
    score: ScoreConfig = ScoreConfig(),
) -> ScoringSummary:
    """Score images with the champion, or with another version that was promoted once.

    Args:
        images: Path of a folder or an archive of PNG or JPEG files, or of Parquet files with a column of them.
        output: Folder for the Parquet files; none means that of the prediction log, in the store.
        model: The registered model's name.
        version: Its version, 1 or more; none means the champion.
        score: How the images are scored.

    Raises:
        StepFailedError: if a step failed.
        StoreError: if the store cannot be written.
    """
    with machine.use(machine.current() or machine.from_environment(os.environ)), logs_sent_to_dashboard():
        store.current().check_writable()
        steps = Steps(observer.current())
        steps.attempt("score", policies.check_device_slot)
        entry, is_champion = steps.attempt("score", champion.find, model, version)
        scoring_model = champion.described(entry, is_champion)
        planned = steps.attempt("score", plan.make, images, output, scoring_model, champion.class_names(entry), score)
        logger.info("Images: %s. Model: %s version %d.", planned.images.place, model, entry.version)
        steps.attempt("score", plan.parts_folder(planned).bring)
        finished = parts.finished(planned.folder, planned.key)
        if finished is not None:
            # Another version may have become champion since.
            scoring = finished.scoring.model_copy(update={"model": planned.model})
            return finished.model_copy(update={"scoring": scoring})
        scored: Scoring = steps.run(score_step, planned, score)
        drift = _compare(steps, scored, entry, score)
        return steps.run(report_step, scored, drift, str(runtime.flow_run.id))


def _compare(steps: Steps, scored: Scoring, entry: LedgerEntry, config: ScoreConfig) -> Drift:
    """How the images differ from what the model was trained on. Whatever goes wrong here, they are scored."""
    if not config.drift:
        return Drift(not_compared="score.drift is off.")
    if scored.sample is None:
        return Drift(not_compared="no image could be read.")
    if entry.dataset is None:
        return Drift(not_compared=f"entry {entry.number} of the ledger does not say what that was.")
    try:
        return steps.run(drift_step, scored.sample, steps.attempt("drift", champion.trained_on, entry.dataset))
    except StepFailedError as error:
        return Drift(not_compared=one_line(error.cause))


def main(arguments: Sequence[str]) -> int:
    """Run the flow from the command line; the exit code."""
    try:
        chosen = options.parse(arguments, ScoringOptions)
        settings = chosen.machine(os.environ)
        champion.check_name(chosen.model)
        plan.locate(chosen.images)
    except ConfigurationError as error:
        options.exit_with_usage_error(error, ScoringOptions)

    def run() -> ScoringSummary:
        summary: ScoringSummary = score(**chosen.parameters())
        return summary

    kept = "Whole parts are kept: the next run goes on after them."
    return command_line.run(run, closing, settings, debug=chosen.debug, kept=kept)


def closing(terminal: Terminal, summary: ScoringSummary) -> None:
    """The closing lines; the folder of the parts on the last one."""
    scoring, figures = summary.scoring, summary.scoring.figures
    if summary.outcome == "unchanged":
        terminal.say(f"Unchanged: these images were scored on {summary.finished_at:%Y-%m-%d %H:%M} UTC.", style="bold")
    terminal.say(f"Images   {figures.num_images:,}{brief.pace(summary)}", style="bold")
    if figures.num_unreadable:
        terminal.say(f"         {figures.num_unreadable:,} unreadable, without a class:", style="yellow")
        for image in figures.unreadable[:3]:
            terminal.say(f"         {image.name}: {image.reason}", style="yellow")
    largest = sorted(figures.classes.items(), key=lambda item: -item[1])
    num_readable = figures.num_images - figures.num_unreadable
    if figures.mean_confidence is not None:
        shares = " · ".join(f"{name} {100 * count / num_readable:.0f} %" for name, count in largest if count)
        terminal.say(f"Classes  {shares}")
        terminal.say(f"         mean confidence {100 * figures.mean_confidence:.1f} %")
    terminal.say(f"Drift    {brief.drift(summary)}", style="yellow" if summary.drift.warnings else "")
    which = "the champion" if scoring.model.champion else "not the champion"
    terminal.say(f"Model    {scoring.model.name} version {scoring.model.version}, {which}")
    terminal.say(f"Output   {len(scoring.parts):,} {'part' if len(scoring.parts) == 1 else 'parts'}, score.json")
    terminal.say(scoring.output)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
