"""Earlier trainings, as Prefect has kept their results: what a run would find in the cache, were its seed another.

A result is found by the cache key of the step train itself. So an earlier training counts only where data, recipe,
code and libraries are those of the run, and nothing has to be kept beside the results.
"""

from typing import Any, cast

from prefect.utilities.callables import get_call_parameters

from cnn_model.recipe import Recipe
from flows.results import FOLDER, open_results
from tasks import store
from tasks.policies import StepCache
from tasks.train.config import TrainConfig
from tasks.train.step import train as train_step
from tasks.values.model import TrainedModel
from tasks.values.splits import Splits


class CachedTrainings:
    """The cached trainings that differ from one another in their seed alone.

    Args:
        splits: What they are on, as are recipe and config.
    """

    def __init__(self, splits: Splits, recipe: Recipe, config: TrainConfig) -> None:
        inputs: dict[str, Any] = get_call_parameters(train_step.fn, (splits, recipe, 0, config), {})
        self._key = cast(StepCache, train_step.cache_policy).keys_by(train_step, inputs, "seed")
        self._results = open_results()
        # Read once: thousands of seeds are looked for where nothing was trained yet.
        self._names = set(store.current().shared(FOLDER).names("*"))

    def has(self, seed: int) -> bool:
        """Whether there is a result of that seed, readable or not."""
        return self._key(seed) in self._names

    def find(self, seed: int) -> TrainedModel | None:
        """The result of that seed; None where it, or the model that it names, is missing or damaged."""
        key = self._key(seed)
        # Prefect's own question before it takes a result from the cache.
        return cast(TrainedModel, self._results.read(key).result) if self._results.exists(key) else None
