"""The Prefect tasks of the fourth step: a training, and the same from the champion's weights."""

import logging
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from uuid import UUID

from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import TaskRunContext

from cnn_model.recipe import Recipe
from cnn_model.results import TrainingResult
from tasks import child, machine, policies, progress, store
from tasks.errors import ChildRefusedError
from tasks.machine import Machine
from tasks.store import Reference
from tasks.train import checkpoints
from tasks.train.config import TrainConfig
from tasks.values.model import TrainedModel
from tasks.values.splits import Splits

logger = logging.getLogger(__name__)

ARTIFACT = "training-progress"
ARTIFACT_SECONDS = 5.0
"""The least time between two updates of the dashboard."""


@task(
    name="train",
    task_run_name="train {recipe.name} seed {seed}, epochs: {recipe.epochs}",
    **policies.cached(
        distributions=("tensorflow", "keras", "numpy", "scipy"),
        runs=("cnn_model.training", *policies.BACKENDS),
        ignore=("config",),
    ),
)
def train(
    splits: Splits, recipe: Recipe, seed: int, config: TrainConfig, start: Reference | None = None
) -> TrainedModel:
    """Train in a child process and keep the final model file.

    The state after each epoch is kept beside the artifacts until the model is published: a training that was killed
    goes on from it, in this run or in a later one.

    Args:
        splits: The arrays.
        recipe: The recipe that `config` names, whole and with its epochs: a cache key is made of its values.
        seed: The seed that the run chose by `config`.
        config: The section; of it only the limits of time are used here.
        start: A trained model of the same architecture, whose weights are the start; None for fresh ones. The
            schedule is the recipe's own all the same: a triangular one begins low and goes up to its full peak.

    Raises:
        ChildRefusedError: if the start is of another architecture.
    """
    settings = machine.current()
    assert settings is not None, "the flow's door sets the machine"
    training = checkpoints.name(splits, recipe, seed, start, settings)
    with checkpoints.kept(training) as kept, store.current().staging() as folder:
        (folder / "recipe.json").write_text(recipe.model_dump_json(indent=1))
        arguments = _arguments(store.current().fetch(splits.artifact), folder, seed, settings, kept)
        if start is not None:
            arguments += ["--start", str(store.current().fetch(start) / "model.keras")]
        try:
            result = _run(arguments, recipe, config)
        except ChildRefusedError as error:
            # Of another device or library, such as after an upgrade. Nobody is there to empty the folder.
            if not checkpoints.clear(kept):
                raise
            logger.warning("%s The checkpoints are removed and the training begins anew.", error)
            result = _run(arguments, recipe, config)
        # Seconds and memory differ from run to run; they stand in the value, and the artifact is named by the model.
        (folder / "training.json").unlink()
        return TrainedModel(
            artifact=store.current().publish(folder),
            result=TrainingResult.model_validate(result),
            trained_at=datetime.now(UTC),
            start=start,
        )


warm_start = train.with_options(
    name="warm start", task_run_name="warm start {recipe.name} seed {seed}, epochs: {recipe.epochs}"
)
"""The same task under a name of its own, so that a run that trains twice tells the two apart."""


def _arguments(arrays: Path, folder: Path, seed: int, settings: Machine, kept: Path) -> list[str]:
    options = {
        "--splits": arrays,
        "--output": folder,
        "--recipe": folder / "recipe.json",
        "--seed": seed,
        "--device": settings.device,
        "--num-devices": settings.num_devices,
        "--checkpoints": kept,
    }
    return [str(part) for pair in options.items() for part in pair]


def _run(arguments: list[str], recipe: Recipe, config: TrainConfig) -> child.Event:
    with policies.device_slot():
        return child.run(
            "train",
            arguments,
            timeout_seconds=config.timeout_minutes * 60,
            stall_seconds=config.stall_minutes * 60,
            on_event=_Follower(recipe).tell,
        )


class _Follower:
    """Tells of a training: in the log, to who listens to `progress`, and on the dashboard."""

    def __init__(self, recipe: Recipe) -> None:
        self._dashboard = _Dashboard(f"Recipe {recipe.name}")
        self._validated = ""

    def tell(self, event: child.Event) -> None:
        """Tell of one event."""
        match event["event"]:
            case "epoch":
                _log_epoch(event)
                if event["validation"] is not None:
                    self._validated = f", validation accuracy {100 * event['validation']['accuracy']:.1f} %"
                self._show(event["epoch"], event["epochs"], event["train"], event["images_per_second"])
            case "progress":
                self._show(event["done"], event["total"], event, event["images_per_second"])
            case "resumed":
                logger.info("training goes on after epoch %d of %d", event["epoch"], event["epochs"])
                progress.report(progress.Progress(done=event["epoch"], total=event["epochs"], unit="epochs"))
            case "warning":
                logger.warning("training: %s", event["message"])

    def _show(self, done: float, total: int, scores: child.Event, images_per_second: float) -> None:
        # Short: a narrow terminal shows loss and accuracy as well.
        note = f"loss {scores['loss']:.2f}, accuracy {scores['accuracy']:.2f}, {images_per_second:.0f} images/s"
        progress.report(progress.Progress(done=done, total=total, unit="epochs", note=note))
        # The epoch at work, and the last one at the end.
        epoch = min(int(done) + 1, total) if done % 1 else int(done)
        self._dashboard.show(done / total, f"epoch {epoch} of {total}{self._validated}; {note}")


def _log_epoch(event: child.Event) -> None:
    validation = event["validation"]
    logger.info(
        "epoch %d of %d: loss %.4f, accuracy %.4f%s, %.0f images a second",
        event["epoch"],
        event["epochs"],
        event["train"]["loss"],
        event["train"]["accuracy"],
        "" if validation is None else f", validation accuracy {validation['accuracy']:.4f}",
        event["images_per_second"],
    )


class _Dashboard:
    """The progress artifact of a training, made with its first figures; outside a Prefect run there is none.

    Args:
        title: What is trained, for its description.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._artifact: UUID | None = None
        self._last = 0.0
        self._lost = TaskRunContext.get() is None

    def show(self, share: float, text: str) -> None:
        """Show how far the training is, now and then.

        Args:
            share: What is done of it, 0 to 1.
            text: The figures.
        """
        now = time.monotonic()
        if self._lost or (share < 1 and now - self._last < ARTIFACT_SECONDS):
            return
        self._last = now
        percent, description = 100 * share, f"{self._title}: {text}"
        try:
            if self._artifact is None:
                # Its type has a coroutine as well, for callers that are asynchronous.
                made = create_progress_artifact(percent, key=ARTIFACT, description=description)
                self._artifact = cast(UUID, made)
            else:
                update_progress_artifact(self._artifact, percent, description=description)
        except Exception as error:  # whatever a server does, the training goes on
            logger.warning("The dashboard no longer shows this training's progress: %s", error)
            self._lost = True
