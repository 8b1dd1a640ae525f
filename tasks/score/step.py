"""The Prefect tasks of a scoring: the parts of all images, and the summary that says that they are all there."""

import hashlib
import logging
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact

from cnn_model.results import ScoringResult
from tasks import child, locks, machine, policies, progress, store
from tasks.champions import MODEL_FILE, find_model
from tasks.child import Event
from tasks.errors import SourceError
from tasks.files import write_atomically
from tasks.progress import Progress
from tasks.score import brief, parts
from tasks.score.config import ScoreConfig
from tasks.score.plan import LIBRARIES, Plan, log_folder, look_at, parts_folder
from tasks.store import Reference
from tasks.values.scoring import Drift, Scoring, ScoringSummary

logger = logging.getLogger(__name__)

SAMPLE_SIZE = 2_000
"""Images that are kept to compare them with others: 6 MB."""


@task(name="score", task_run_name="score with {plan.model.name} version {plan.model.version}", **policies.uncached())
def score(plan: Plan, config: ScoreConfig) -> Scoring:
    """Score all images in a child process, after the whole parts that an earlier run has left.

    Raises:
        SourceError: if the images cannot be read at all, or changed meanwhile.
        StoreError: if the model is missing or damaged, or the output cannot be written.
        ConfigurationError: if the folder belongs to another scoring.
        ChildError: if the child process fails.
    """
    folder = parts_folder(plan)
    place, turn = Path(plan.images.place), hashlib.sha256(str(plan.folder).encode()).hexdigest()[:16]
    with (
        locks.turn(store.current().folder("locks"), f"score-{turn}", _say_waiting),
        store.current().staging() as sample,
    ):
        parts.claim(plan.folder, plan.key, str(plan))
        with folder.followed(last=".json"):
            result = _run(plan, sample, config)
        if look_at(place)[1] != plan.images:
            raise SourceError(f"{place} changed while it was scored. Start again when nothing writes to it any more.")
        written = parts.verified(plan.folder, plan.key)
        folder.send()
        return Scoring(
            key=plan.key,
            output=plan.output,
            images=plan.images,
            model=plan.model,
            class_names=plan.class_names,
            parts=written,
            figures=parts.figures(plan.folder, written, plan.class_names),
            num_scored=result.num_scored,
            seconds=result.seconds,
            device=result.device,
            cores=os.cpu_count() or 1,
            sample=_publish(sample),
        )


@task(name="report", task_run_name="summary of {scoring.figures.num_images} images", **policies.uncached(retries=0))
def report(scoring: Scoring, drift: Drift, run_id: str) -> ScoringSummary:
    """Write `score.json` into the prediction log and beside the parts, last of all, and a page for the dashboard."""
    summary = ScoringSummary(
        outcome="scored",
        run_id=run_id,
        finished_at=datetime.now(UTC),
        scoring=scoring,
        images_per_second=scoring.images_per_second,
        drift=drift,
        versions={"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    )
    text = summary.model_dump_json(indent=1) + "\n"
    logged = log_folder(scoring.model, scoring.key, scoring.output)
    logged.write(parts.SUMMARY, text)
    if logged.place() != scoring.output:
        write_atomically(Path(scoring.output) / parts.SUMMARY, text)
    try:
        create_markdown_artifact(brief.markdown(summary), key="score-summary", description=brief.sentence(summary))
    except Exception as error:  # whatever a server does, the parts are there
        logger.warning("The dashboard has no artifact of this scoring: %s", error)
    return summary


def _run(plan: Plan, sample: Path, config: ScoreConfig) -> ScoringResult:
    settings = machine.current()
    assert settings is not None, "the flow's door sets the machine"
    num_done = parts.count_whole(plan.folder, plan.key, config.images_per_part)
    if num_done:
        logger.info("Goes on after %d whole parts, %s images.", num_done, f"{num_done * config.images_per_part:,}")
    arguments = {
        "--model": store.current().fetch(find_model(plan.model)) / MODEL_FILE,
        "--model-sha256": plan.model.model_sha256,
        "--model-version": plan.model.version,
        "--images": plan.images.place,
        "--output": plan.folder,
        "--sample": sample,
        "--sample-size": SAMPLE_SIZE,
        "--images-per-part": config.images_per_part,
        "--batch-size": config.batch_size,
        "--num-done-parts": num_done,
        "--key": plan.key,
        "--class-names": ",".join(plan.class_names),
        "--device": settings.device,
    }
    with policies.device_slot():
        result = child.run(
            "score",
            [f"{option}={value}" for option, value in arguments.items()],
            timeout_seconds=config.timeout_minutes * 60,
            stall_seconds=config.stall_minutes * 60,
            on_event=_report_progress(plan.num_images),
        )
    return ScoringResult.model_validate(result)


def _report_progress(num_images: int | None) -> Callable[[Event], None]:
    def report(event: Event) -> None:
        if event["event"] == "device":
            logger.info("Scores on %s.", event["device"])
        elif event["event"] == "scored":
            note = f"{event['images_per_second']:.0f} images/s"
            progress.report(Progress(done=event["images"], total=num_images or 0, unit="images", note=note))

    return report


def _publish(sample: Path) -> Reference | None:
    """None where no image could be read."""
    return store.current().publish(sample) if any(sample.iterdir()) else None


def _say_waiting(holder: str) -> None:
    logger.info("Waits for another scoring into the same folder: %s.", holder)
