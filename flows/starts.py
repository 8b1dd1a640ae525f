"""The warm start: a second training from the champion's weights, and the choice between the two.

Validation images decide; the test images are for the gate alone. A warm start that cannot be made, for whatever cause,
costs a run nothing but itself: the cold start goes on.
"""

from cnn_model.recipe import Recipe
from flows.execution import StepFailedError, Steps, one_line
from tasks.champions import find_model
from tasks.ledger import LedgerEntry, model_name, open_ledger
from tasks.store import Reference
from tasks.train.config import TrainConfig
from tasks.train.step import warm_start as warm_start_step
from tasks.values.model import TrainedModel
from tasks.values.splits import Splits
from tasks.values.start import Start, StartChoice


def choose(
    steps: Steps, splits: Splits, recipe: Recipe, seed: int, config: TrainConfig, cold: TrainedModel
) -> StartChoice:
    """Train a second time, from the champion's weights, and choose the better of the two.

    Args:
        steps: Runs and records the second training.
        splits: What the first training was on, as are recipe, seed and config.
        cold: What it gave.
    """
    if recipe.train_on_all:
        return cold_alone(cold, f"the recipe {recipe.name} leaves no validation images to compare on.")
    name = model_name(splits.dataset_name)
    try:
        found = steps.attempt("warm start", find_champion, name)
        if found is None:
            return cold_alone(cold, f"{name} has no champion yet.")
        champion, artifact = found
        warm = steps.run(warm_start_step, splits, recipe, seed, config, artifact)
    except StepFailedError as error:
        return cold_alone(cold, one_line(error.cause))
    return better(cold, warm, champion.version)


def find_champion(name: str) -> tuple[LedgerEntry, Reference] | None:
    """The champion of a registered model and its artifact; None before the first promotion.

    Raises:
        RegistryError: if the ledger holds something wrong.
        StoreError: if the artifact is missing, damaged or another model.
    """
    champion = open_ledger(name).champion()
    return None if champion is None else (champion, find_model(champion))


def cold_alone(cold: TrainedModel, reason: str) -> StartChoice:
    """The cold start, where there is nothing to compare it with.

    Args:
        cold: Its model.
        reason: Why not, as the end of a sentence.
    """
    start = Start(model=cold)
    return StartChoice(starts=(start,), chosen=start, sentence=f"The cold start goes on alone: {reason}")


def better(cold: TrainedModel, warm: TrainedModel, champion_version: int) -> StartChoice:
    """Choose the higher validation accuracy, each of the weights that the model has; the cold start wins a tie.

    Args:
        cold: Trained from fresh weights, by a recipe with validation.
        warm: Trained by the same recipe from the champion's weights.
        champion_version: The champion's.
    """
    starts = (Start(model=cold), Start(model=warm, champion_version=champion_version))
    chosen, other = starts if _accuracy(starts[0]) >= _accuracy(starts[1]) else reversed(starts)
    sentence = (
        f"The {_called(chosen)} goes on: validation accuracy {100 * _accuracy(chosen):.2f} % against "
        f"{100 * _accuracy(other):.2f} % of the {_called(other)}."
    )
    return StartChoice(starts=starts, chosen=chosen, sentence=sentence)


def _accuracy(start: Start) -> float:
    assert start.validation is not None, "only recipes with validation are compared"
    return start.validation.accuracy


def _called(start: Start) -> str:
    return "cold start" if start.champion_version is None else f"warm start from {start.name}"
