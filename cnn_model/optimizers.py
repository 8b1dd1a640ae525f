"""Optimisers, learning rates and the slow average of weights that recipes name."""

from typing import Any

import keras
from keras import ops

from cnn_model.recipe import Recipe

START_SHARE = 0.2
PEAK_POSITION = 0.23
END_SHARE = 0.07
"""A triangle: from a share of the peak rate, to the peak after this part of all steps, down to a share of it
(Jordan, arXiv 2404.00498, `airbench94.py`)."""

LOOKAHEAD_BASE = 0.95
"""The slow average keeps at most this share a step (same source)."""


class Triangle(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate rises to its peak and falls again, both in a straight line.

    Args:
        peak: The highest rate.
        num_steps: Steps of the whole training.
    """

    def __init__(self, peak: float, num_steps: int) -> None:
        self.peak = peak
        self.num_steps = num_steps

    def __call__(self, step: Any) -> Any:
        """The rate at a step, counted from 0."""
        done = ops.cast(step, "float32") / self.num_steps
        rising = START_SHARE + (1 - START_SHARE) * done / PEAK_POSITION
        falling = END_SHARE + (1 - END_SHARE) * (1 - done) / (1 - PEAK_POSITION)
        return self.peak * ops.minimum(rising, falling)

    def get_config(self) -> dict[str, Any]:
        """Keras's way to copy it."""
        return {"peak": self.peak, "num_steps": self.num_steps}


class Nesterov(keras.optimizers.SGD):
    """Nesterov's momentum with a higher rate for the biases of normalisations.

    They are few, and what a network learns first is how much of each filter to let through.

    Reference: Jordan, arXiv 2404.00498, section 3.4.

    Args:
        bias_rate: Times the learning rate, for each variable of rank 1 whose name is beta.
        **options: Those of Keras's SGD.
    """

    def __init__(self, bias_rate: float = 1.0, **options: Any) -> None:
        super().__init__(nesterov=True, **options)
        self.bias_rate = bias_rate

    def build(self, variables: list[keras.Variable]) -> None:
        """Called by Keras: make the state for these variables."""
        super().build(variables)
        self._rates = [self.bias_rate if variable.name == "beta" else 1.0 for variable in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Keras's update, with this variable's rate."""
        super().update_step(gradient, variable, learning_rate * self._rates[self._get_variable_index(variable)])

    def get_config(self) -> dict[str, Any]:
        """Keras's way to copy it."""
        config = super().get_config()
        del config["nesterov"]
        return {**config, "bias_rate": self.bias_rate}


def optimizer(recipe: Recipe, num_steps: int) -> keras.optimizers.Optimizer:
    """The recipe's optimiser with its schedule over `num_steps` steps in all."""
    rate: Any = recipe.learning_rate
    if recipe.schedule == "triangular":
        rate = Triangle(recipe.learning_rate, num_steps)
    weight_decay = recipe.weight_decay or None
    if recipe.optimizer == "adam":
        return keras.optimizers.Adam(rate, weight_decay=weight_decay)
    return Nesterov(recipe.bias_rate, learning_rate=rate, momentum=recipe.momentum, weight_decay=weight_decay)


def looked_ahead(slow: Any, fast: Any, num_steps_done: Any, num_steps: int, every: int) -> tuple[Any, Any]:
    """The slow average and the weights after a step: at each `every`th one they meet, between they stay.

    The average's memory grows with the training, from none to `LOOKAHEAD_BASE ** every`.

    Reference: Zhang et al., arXiv 1907.08610; this schedule is from Jordan, arXiv 2404.00498, section 3.4.

    Args:
        slow: tensor of any shape: the average so far.
        fast: tensor of that shape: the weights.
        num_steps_done: Steps of the training so far, at least 1.
        num_steps: Steps of the whole training.
        every: Steps from one meeting to the next.
    """
    share_done = ops.cast(num_steps_done, "float32") / num_steps
    forgotten = ops.cast(1 - LOOKAHEAD_BASE**every * share_done**3, slow.dtype)
    met = slow + forgotten * (fast - slow)
    meet = num_steps_done % every == 0
    return ops.where(meet, met, slow), ops.where(meet, met, fast)
