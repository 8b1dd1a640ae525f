"""The loop over epochs: steps, validation, early stopping, checkpoints, and what is told meanwhile."""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from cnn_model import backends
from cnn_model.augmentation import EpochPlan, plan_epoch
from cnn_model.checkpoints import Checkpoint, Checkpoints, Progress
from cnn_model.data import Split
from cnn_model.devices import Device
from cnn_model.failures import DivergedError
from cnn_model.inference import BATCH_SIZE
from cnn_model.optimizers import optimizer
from cnn_model.recipe import Recipe
from cnn_model.results import EpochMetrics, Scores
from cnn_model.steps import Problem, floating_variables, scores

Event = dict[str, Any]
OnEvent = Callable[[Event], None]

MOST_STEPS_A_CALL = 40
"""On a CPU an epoch is several calls, so that progress is seen and an interrupt is heard."""

PROGRESS_SECONDS = 2.0
"""The least time between two progress events."""


class EpochLoop:
    """Trains a network in place.

    Args:
        network: Fresh, or with the weights to start from.
        recipe: How to train.
        seed: Of order and augmentation.
        split: What is trained on.
        validation: What the epoch is chosen by; may be empty.
        device: A GPU runs a whole epoch in one call.
        on_event: Called with `{"event": "epoch", ...}` after each, `{"event": "progress", ...}` within, and
            `{"event": "resumed" or "warning", ...}` at the start.

    Attributes:
        progress: The epochs that are done.
    """

    def __init__(
        self,
        network: keras.Model,
        recipe: Recipe,
        seed: int,
        split: Split,
        validation: Split,
        device: Device,
        on_event: OnEvent,
    ) -> None:
        self.progress = Progress()
        self._recipe, self._seed = recipe, seed
        self._validation = validation
        self._on_event = on_event
        self._best: list[npt.NDArray[Any]] = []
        self._problem = _problem(network, recipe, seed, split)
        self._steps_an_epoch = self._plan(0).num_steps
        self._steps_a_call = self._steps_an_epoch
        if device.kind == "cpu":
            self._steps_a_call = _largest_divisor(self._steps_an_epoch, MOST_STEPS_A_CALL)
        self._steps = backends.current().compile_steps(self._problem, fused=device.kind == "gpu")
        self._infer = backends.current().compile_inference(network)

    def run(self, checkpoints: Checkpoints | None) -> int | None:
        """Train to the end, from the newest checkpoint on if there is one.

        Returns:
            The epoch of that checkpoint.

        Raises:
            BadRequestError: if the checkpoints belong to another training.
            DivergedError: if the loss becomes NaN or infinite.
        """
        resumed_after = None if checkpoints is None else self._restore(checkpoints)
        while self.progress.num_epochs < self._recipe.epochs and not self._is_stuck():
            metrics = self._run_epoch()
            if checkpoints is not None:
                state = [keras.ops.convert_to_numpy(variable.value) for variable in self._problem.variables]
                checkpoints.save(Checkpoint(self.progress, state, self._best))
            # What is told of is kept: nobody sees an epoch twice.
            self._on_event({"event": "epoch", **metrics.model_dump(), "epochs": self._recipe.epochs})
        for fast, slow in zip(self._problem.followed, self._problem.slow, strict=True):
            fast.assign(slow)
        if self._best:
            self._problem.network.set_weights(self._best)
        return resumed_after

    def _run_epoch(self) -> EpochMetrics:
        start = time.monotonic()
        epoch = self.progress.num_epochs
        plan = self._plan(epoch)
        rows = self._run_steps(plan, start)
        scored = self._score_validation()
        seconds = time.monotonic() - start
        metrics = EpochMetrics(
            epoch=epoch + 1,
            train=_scores(rows[:, 1:].sum(axis=0), plan.num_images),
            validation=scored,
            learning_rate=float(keras.ops.convert_to_numpy(self._problem.optimizer.learning_rate)),
            seconds=seconds,
            images_per_second=plan.num_images / max(seconds, 1e-9),
        )
        best_epoch = self.progress.best_epoch
        if scored is not None and self._is_better(scored.loss):
            best_epoch, self._best = metrics.epoch, self._problem.network.get_weights()
        self.progress = Progress(history=(*self.progress.history, metrics), best_epoch=best_epoch)
        return metrics

    def _run_steps(self, plan: EpochPlan, start: float) -> npt.NDArray[np.float32]:
        """All steps of an epoch; one row of `Problem.figures` each."""
        epoch, told = self.progress.num_epochs, time.monotonic()
        parts: list[npt.NDArray[np.float32]] = []
        for first in range(0, plan.num_steps, self._steps_a_call):
            part = plan.part(first, first + self._steps_a_call)
            parts.append(self._steps(part, epoch * plan.num_steps + first))
            self._check(parts[-1][:, 0], first, plan.num_steps)
            now = time.monotonic()
            if now - told < PROGRESS_SECONDS:
                continue
            told, done = now, first + part.num_steps
            recent = _scores(parts[-1][:, 1:].sum(axis=0), part.num_images)
            speed = done * plan.order.shape[1] / (now - start)
            self._on_event(
                {
                    "event": "progress",
                    "done": round(epoch + done / plan.num_steps, 3),
                    "total": self._recipe.epochs,
                    "loss": recent.loss,
                    "accuracy": recent.accuracy,
                    "images_per_second": speed,
                }
            )
        return np.concatenate(parts)

    def _check(self, losses: npt.NDArray[np.float32], first: int, num_steps: int) -> None:
        """See that the loss is a number at each step.

        Raises:
            DivergedError: if not.
        """
        wrong = np.flatnonzero(~np.isfinite(losses))
        if len(wrong):
            raise DivergedError(
                f"the loss became {losses[wrong[0]]} in epoch {self.progress.num_epochs + 1} at step "
                f"{first + wrong[0] + 1} of {num_steps}; expected a number; lower the recipe's learning rate"
            )

    def _score_validation(self) -> Scores | None:
        """The network's figures on the validation split; None where there is none."""
        count = len(self._validation)
        if count == 0:
            return None
        total = np.zeros(4, np.float64)
        for start in range(0, count, BATCH_SIZE):
            outputs = self._infer(np.asarray(self._validation.images[start : start + BATCH_SIZE]))
            labels = self._validation.labels[start : start + BATCH_SIZE].astype(np.int32)
            sums = scores(self._recipe.architecture.output, outputs, keras.ops.convert_to_tensor(labels))
            total += keras.ops.convert_to_numpy(sums)
        return _scores(total, count)

    def _restore(self, checkpoints: Checkpoints) -> int | None:
        newest = checkpoints.newest(lambda text: self._on_event({"event": "warning", "message": text}))
        if newest is None:
            return None
        for variable, array in zip(self._problem.variables, newest.state, strict=True):
            variable.assign(array)
        self.progress, self._best = newest.progress, list(newest.best)
        self._on_event({"event": "resumed", "epoch": self.progress.num_epochs, "epochs": self._recipe.epochs})
        return self.progress.num_epochs

    def _is_stuck(self) -> bool:
        """Whether early stopping ends the training here."""
        patience, best_epoch = self._recipe.early_stopping_epochs, self.progress.best_epoch
        return patience is not None and best_epoch is not None and self.progress.num_epochs - best_epoch >= patience

    def _is_better(self, validation_loss: float) -> bool:
        """Whether the epoch that has just ended is the best so far; never, where the last one is taken."""
        if self._recipe.early_stopping_epochs is None:
            return False
        return all(
            epoch.validation is not None and validation_loss < epoch.validation.loss for epoch in self.progress.history
        )

    def _plan(self, epoch: int) -> EpochPlan:
        return plan_epoch(self._recipe, len(self._problem.split), self._seed, epoch)


def _problem(network: keras.Model, recipe: Recipe, seed: int, split: Split) -> Problem:
    num_steps = plan_epoch(recipe, len(split), seed, 0).num_steps * recipe.epochs
    chosen = optimizer(recipe, num_steps)
    chosen.build(network.trainable_variables)
    slow: tuple[keras.Variable, ...] = ()
    if recipe.lookahead_steps is not None:
        # From arrays: a variable that is made from another one's value would share it.
        starts = [keras.ops.convert_to_numpy(variable.value) for variable in floating_variables(network)]
        slow = tuple(keras.Variable(start, trainable=False, name="slow") for start in starts)
    return Problem(network, chosen, slow, recipe, split, num_steps)


def _scores(sums: npt.NDArray[np.floating[Any]], num_images: int) -> Scores:
    """The figures of `steps.scores`, summed over images, as shares."""
    cross_entropy, right, predicted, right_and_predicted = (float(value) for value in sums)
    return Scores(
        loss=cross_entropy / num_images,
        accuracy=right / num_images,
        precision=right_and_predicted / predicted if predicted else 0.0,
        recall=right_and_predicted / num_images,
    )


def _largest_divisor(number: int, limit: int) -> int:
    """Equal parts need one compiled program."""
    return max(divisor for divisor in range(1, min(number, limit) + 1) if number % divisor == 0)
