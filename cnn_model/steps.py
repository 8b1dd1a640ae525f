"""What one training step computes, in `keras.ops`: the batch, the loss, the figures, the slow average.

A backend compiles many of them into one call (`cnn_model.backends`); they differ only in how state changes.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from cnn_model.augmentation import EpochPlan, changes_images, look_up
from cnn_model.class_names import CLASS_NAMES
from cnn_model.data import Split
from cnn_model.optimizers import looked_ahead
from cnn_model.recipe import Recipe


class Steps(Protocol):
    """Runs several training steps in one call."""

    def __call__(self, plan: EpochPlan, num_steps_done: int) -> npt.NDArray[np.float32]:
        """Run the steps of a plan, changing the variables of the problem.

        Args:
            plan: The steps to run.
            num_steps_done: Steps of the training before them.

        Returns:
            ndarray of shape (num_steps, 5): for each step what `Problem.figures` gives.
        """


@dataclass(frozen=True)
class Problem:
    """All that training steps work on.

    Attributes:
        network: Takes uint8 images; gives logits or probabilities, as its recipe says.
        optimizer: Built for the network's trainable variables.
        slow: The slow average of `followed`, in the same order; empty where the recipe does not look ahead.
        split: What is trained on.
        num_steps: Of the whole training.
    """

    network: keras.Model
    optimizer: keras.optimizers.Optimizer
    slow: tuple[keras.Variable, ...]
    recipe: Recipe
    split: Split
    num_steps: int

    @property
    def followed(self) -> list[keras.Variable]:
        """The variables that a slow average follows: weights, and the running figures of normalisations."""
        return floating_variables(self.network) if self.slow else []

    @property
    def variables(self) -> list[keras.Variable]:
        """Everything that a step changes."""
        return [*self.network.variables, *self.optimizer.variables, *self.slow]

    def batch(self, images: Any, labels: Any, step: tuple[Any, Any, Any]) -> tuple[Any, Any]:
        """The images and labels of one step of an `EpochPlan`, on the device."""
        order = step[0]
        # Whole images are copied in a fraction of the time that pixels are looked up in.
        shown = look_up(images, *step) if changes_images(self.recipe) else ops.take(images, order, axis=0)
        return shown, ops.take(labels, order, axis=0)

    def loss(self, outputs: Any, labels: Any, penalties: list[Any]) -> Any:
        """Mean cross-entropy with smoothed labels, and the penalties that layers ask for."""
        losses = keras.losses.categorical_crossentropy(
            ops.one_hot(labels, len(CLASS_NAMES)),
            outputs,
            from_logits=self.recipe.architecture.output == "logits",
            label_smoothing=self.recipe.label_smoothing,
        )
        return sum(penalties, ops.mean(losses))

    def figures(self, loss: Any, outputs: Any, labels: Any) -> Any:
        """The loss; then, summed over the batch, the four figures of `scores`."""
        return ops.concatenate([ops.reshape(loss, (1,)), scores(self.recipe.architecture.output, outputs, labels)])

    def look_ahead(self, slow: Any, fast: Any, num_steps_done: Any) -> tuple[Any, Any]:
        """The slow average and the weights after a step; see `optimizers.looked_ahead`."""
        every = self.recipe.lookahead_steps
        assert every is not None, "only recipes that look ahead have a slow average"
        return looked_ahead(slow, fast, num_steps_done, self.num_steps, every)


def scores(output: str, outputs: Any, labels: Any) -> Any:
    """What a batch adds to an epoch's figures.

    Args:
        output: "logits" or "probabilities": what the outputs are.
        outputs: tensor of shape (batch_size, num_classes).
        labels: tensor of shape (batch_size,), dtype=int32.

    Returns:
        tensor of shape (4,), dtype=float32, sums over the batch: cross-entropy in nats; images whose likeliest class
        is the true one; images with any class, and with the true class, at a probability above one half.
    """
    outputs = ops.cast(outputs, "float32")
    probabilities = ops.softmax(outputs, axis=-1) if output == "logits" else outputs
    of_true_class = ops.sum(probabilities * ops.one_hot(labels, len(CLASS_NAMES), dtype="float32"), axis=-1)
    likeliest = ops.cast(ops.argmax(probabilities, axis=-1), labels.dtype)
    return ops.stack(
        [
            -ops.sum(ops.log(ops.maximum(of_true_class, keras.config.epsilon()))),
            ops.sum(ops.cast(likeliest == labels, "float32")),
            ops.sum(ops.cast(ops.max(probabilities, axis=-1) > 0.5, "float32")),
            ops.sum(ops.cast(of_true_class > 0.5, "float32")),
        ]
    )


def floating_variables(network: keras.Model) -> list[keras.Variable]:
    """The network's variables but those that count, such as the states of random numbers."""
    return [variable for variable in network.variables if keras.backend.is_float_dtype(variable.dtype)]
