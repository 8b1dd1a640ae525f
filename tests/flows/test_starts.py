"""Which of a cold and a warm start goes on; and whether there is a champion to start from."""

import hashlib
from datetime import UTC, datetime

import pytest

from cnn_model.recipes.catalogue import find
from cnn_model.results import EpochMetrics, Scores
from flows import starts
from flows.execution import Steps
from flows.terminal import Terminal
from tasks.errors import StoreError
from tasks.ledger import Ledger, LedgerEntry
from tasks.store import Reference, Store
from tasks.train.config import TrainConfig
from tasks.values.model import TrainedModel
from tests.results import make_training_result
from tests.unit.train.tiny import publish_splits


def scores(accuracy: float) -> Scores:
    return Scores(loss=1.0, accuracy=accuracy, precision=accuracy, recall=accuracy)


def model(
    name: str, *accuracies: float, best_epoch: int | None = None, artifact: Reference | None = None
) -> TrainedModel:
    """A model with these accuracies over the validation images, one an epoch; it has the weights of the last."""
    history = tuple(
        EpochMetrics(
            epoch=epoch,
            train=scores(0.9),
            validation=scores(accuracy),
            learning_rate=0.1,
            seconds=1,
            images_per_second=80,
        )
        for epoch, accuracy in enumerate(accuracies, start=1)
    )
    return TrainedModel(
        artifact=artifact or Reference(digest=name * 64, size_bytes=1),
        result=make_training_result(history, model_sha256=name * 64, best_epoch=best_epoch or len(history)),
        trained_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_the_higher_validation_accuracy_goes_on() -> None:
    choice = starts.better(model("a", 0.5), model("b", 0.6), 3)
    assert choice.chosen.model == model("b", 0.6)
    assert [start.name for start in choice.starts] == ["cold", "champion version 3"]
    assert choice.sentence == (
        "The warm start from champion version 3 goes on: validation accuracy 60.00 % against 50.00 % of the cold start."
    )


@pytest.mark.parametrize("accuracy_of_warm", [0.6, 0.5])
def test_the_cold_start_goes_on_when_it_is_better_or_as_good(accuracy_of_warm: float) -> None:
    choice = starts.better(model("a", 0.6), model("b", accuracy_of_warm), 3)
    assert choice.chosen.name == "cold"
    assert choice.sentence.startswith("The cold start goes on: validation accuracy 60.00 % against ")
    assert choice.sentence.endswith(" of the warm start from champion version 3.")


def test_the_epoch_counts_whose_weights_the_model_has() -> None:
    """Neither the last epoch, where a recipe stops early, nor the one that was best by chance."""
    cold = model("a", 0.5, 0.6, 0.4, best_epoch=2)
    assert starts.better(cold, model("b", 0.7, 0.8, 0.55), 3).chosen.model == cold


def test_a_recipe_that_trains_on_all_images_has_nothing_to_compare_on(opened_store: Store) -> None:
    recipe = find("fast").model_copy(update={"name": "all", "train_on_all": True})
    splits = publish_splits(opened_store)
    cold = model("a", 0.6, artifact=splits.artifact)
    choice = starts.choose(Steps(Terminal()), splits, recipe, 1, TrainConfig(), cold)
    assert (choice.chosen.model, len(choice.starts)) == (cold, 1)
    assert choice.sentence == (
        "The cold start goes on alone: the recipe all leaves no validation images to compare on."
    )


def test_there_is_no_champion_before_the_first_promotion(opened_store: Store) -> None:
    assert starts.find_champion("practice-cnn") is None


def test_the_champion_is_found_with_its_artifact(opened_store: Store) -> None:
    artifact, promoted = published_champion(opened_store)
    promoted = Ledger(opened_store.folder("ledger", "practice-cnn")).promote(promoted)
    assert starts.find_champion("practice-cnn") == (promoted, artifact)


def test_a_champion_that_is_another_model_than_the_ledger_says_is_not_started_from(opened_store: Store) -> None:
    """Its artifact is whole, and holds another model than was promoted."""
    _, promoted = published_champion(opened_store)
    other = promoted.model_copy(update={"model_sha256": "b" * 64})
    Ledger(opened_store.folder("ledger", "practice-cnn")).promote(other)
    with pytest.raises(StoreError, match=f"expected {'b' * 64}"):
        starts.find_champion("practice-cnn")


def test_a_champion_whose_artifact_is_gone_is_said_so(opened_store: Store) -> None:
    Ledger(opened_store.folder("ledger", "practice-cnn")).promote(entry("a" * 64))
    with pytest.raises(StoreError, match="aaaaaaaaaaaa is missing"):
        starts.find_champion("practice-cnn")


def published_champion(target: Store) -> tuple[Reference, LedgerEntry]:
    """An artifact with a model's file, and the entry that promotes it."""
    with target.staging() as folder:
        (folder / "model.keras").write_text("weights")
        artifact = target.publish(folder)
    sha256 = hashlib.sha256(b"weights").hexdigest()
    return artifact, entry(artifact.digest).model_copy(update={"model_sha256": sha256})


def entry(model_digest: str) -> LedgerEntry:
    return LedgerEntry(
        promoted_at=datetime(2026, 1, 1, tzinfo=UTC),
        run_id="run",
        model_name="practice-cnn",
        replaces_version=None,
        version=1,
        model_digest=model_digest,
        model_sha256="b" * 64,
        accuracy=0.8,
        test_digest="c" * 64,
        actor="a test",
        reason="because",
    )
