"""The new model and the champion on corrupted test images, by the same code, in this run or from the cache.

What cannot be scored, for whatever cause, fails no run: the report lacks it, and the gate says so.
"""

from flows.execution import StepFailedError, Steps, one_line
from tasks.errors import ConfigurationError
from tasks.evaluate.config import EvaluateConfig
from tasks.evaluate.step import score_champion_corruptions, score_corruptions
from tasks.register.config import RegisterConfig
from tasks.values.model import TrainedModel
from tasks.values.opponents import Opponents
from tasks.values.robustness import Robustness, RobustnessPair
from tasks.values.splits import Splits


def check(config: EvaluateConfig, rule: RegisterConfig) -> None:
    """See, before anything is trained, that a drop which is set can be held.

    Raises:
        ConfigurationError: if no image is corrupted.
    """
    if rule.max_drop is not None and config.corruption_images == 0:
        raise ConfigurationError(
            f"register.max_drop is {rule.max_drop:g} and evaluate.corruption_images 0; expected 1 or more corrupted "
            "images to hold the drop on. Raise corruption_images, or leave out max_drop."
        )


def score(steps: Steps, splits: Splits, model: TrainedModel, config: EvaluateConfig) -> RobustnessPair | None:
    """Score the new model.

    Args:
        steps: Runs and records the scoring.
        splits: With the test images.
        model: The new model.
        config: How many images are corrupted, and how they are scored.

    Returns:
        The new model alone; None where no image is to be corrupted.
    """
    num_images = config.corruption_images
    if num_images == 0:
        return None
    try:
        found = steps.run(score_corruptions, model.artifact, splits.test_digest, num_images, splits, config)
    except StepFailedError as error:
        return RobustnessPair(challenger=None, champion=None, problem=one_line(error.cause))
    return RobustnessPair(challenger=found, champion=None)


def score_beside(
    steps: Steps, splits: Splits, pair: RobustnessPair | None, opponents: Opponents, config: EvaluateConfig
) -> RobustnessPair | None:
    """Score the champion as well, where there is one to compare with.

    Args:
        steps: Runs and records the scoring.
        splits: With the test images.
        pair: The new model alone, as `score` gives it.
        opponents: With the champion.
        config: How images are scored.
    """
    champion = opponents.champion
    if pair is None or pair.challenger is None or champion is None:
        return pair
    if champion.model is None:
        return pair.model_copy(update={"problem": champion.problem})
    scored: Robustness
    try:
        scored = steps.run(
            score_champion_corruptions,
            champion.model,
            splits.test_digest,
            config.corruption_images,
            splits,
            config,
        )
    except StepFailedError as error:
        return pair.model_copy(update={"problem": one_line(error.cause)})
    return pair.model_copy(update={"champion": scored})
