"""Whom a new model is compared with: the champion, and the anchor where that is another, scored in this run.

A stored score is never compared: test images, code and libraries change, and the best of many scores is a lucky one. A
champion that cannot be scored, for whatever cause, fails no run; the gate promotes nothing over it but by force.
"""

from prefect import Task

from flows.execution import StepFailedError, Steps, one_line
from tasks.champions import find_model
from tasks.errors import StoreError
from tasks.evaluate.config import EvaluateConfig
from tasks.evaluate.step import score_anchor, score_champion
from tasks.ledger import LedgerEntry, model_name, open_ledger
from tasks.register.config import RegisterConfig
from tasks.store import Reference
from tasks.succession import anchor
from tasks.values.execution import StepName
from tasks.values.model import TrainedModel
from tasks.values.opponents import Opponents, Predictions, ScoredChampion
from tasks.values.splits import Splits

SCORING: dict[StepName, Task[[Reference, str, Splits, EvaluateConfig], Predictions]] = {
    "champion": score_champion,
    "anchor": score_anchor,
}


def score(steps: Steps, splits: Splits, model: TrainedModel, config: EvaluateConfig, rule: RegisterConfig) -> Opponents:
    """Score the champions that the gate asks for.

    Args:
        steps: Runs and records the scoring.
        splits: With the test images.
        model: The new model; where it is the champion itself there is nothing to compare.
        config: How models are scored.
        rule: Under `refresh` the anchor is scored as well.

    Raises:
        StepFailedError: if the ledger holds something wrong.
    """
    entries = steps.attempt("register", open_ledger(model_name(splits.dataset_name)).entries)
    if not entries or entries[-1].model_sha256 == model.result.model_sha256:
        return Opponents()
    champion, other = entries[-1], anchor(entries)
    scored = _score(steps, "champion", champion, splits, config)
    if rule.policy != "refresh" or other is None or other.model_sha256 == champion.model_sha256:
        return Opponents(champion=scored)
    return Opponents(champion=scored, anchor=_score(steps, "anchor", other, splits, config))


def _score(steps: Steps, name: StepName, entry: LedgerEntry, splits: Splits, config: EvaluateConfig) -> ScoredChampion:
    artifact, predictions, problem = None, None, ""
    try:
        artifact = steps.attempt(name, _find, entry, splits)
        predictions = steps.run(SCORING[name], artifact, splits.test_digest, splits, config)
    except StepFailedError as error:
        problem = one_line(error.cause)
    return ScoredChampion(
        entry=entry.number, version=entry.version, model=artifact, predictions=predictions, problem=problem
    )


def _find(entry: LedgerEntry, splits: Splits) -> Reference:
    """The artifact of a champion that tells the classes of these splits.

    Raises:
        StoreError: if it is missing, damaged, or tells other classes.
    """
    told = tuple(entry.dataset["class_names"]) if entry.dataset is not None else splits.class_names
    if told != splits.class_names:
        raise StoreError(
            f"It tells the classes {', '.join(told)}; the test images have {', '.join(splits.class_names)}"
        )
    return find_model(entry)
