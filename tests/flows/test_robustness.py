"""Corrupted test images in whole runs on practice images, and what becomes of a run where they cannot be scored."""

import json
from pathlib import Path

import pytest
from prefect import flow

from cnn_model.results import Interval
from flows import robustness
from flows.execution import Steps
from flows.retraining import main
from flows.terminal import Terminal
from tasks.errors import ConfigurationError
from tasks.evaluate.config import EvaluateConfig
from tasks.register.config import RegisterConfig
from tasks.store import Reference, Store
from tasks.values.opponents import Opponents, ScoredChampion
from tasks.values.robustness import Robustness, RobustnessPair
from tests.flows.conftest import SMALL, retrain_in, shown
from tests.flows.test_starts import model
from tests.unit.train.tiny import publish_splits

OTHER_SEED = {**SMALL["train"], "seed": 2}
FORTY = {"corruption_images": 40}


def test_both_models_are_scored_and_what_is_known_is_not_scored_again(filled_store: Path) -> None:
    first = retrain_in(filled_store, evaluate=FORTY)
    assert first.steps["corruptions"].outcome == "ran"
    assert "champion corruptions" not in first.steps  # it is the champion
    assert first.robustness is not None
    assert first.robustness.num_images == 40
    assert [len(accuracies) for accuracies in first.robustness.accuracies.values()] == [3] * 10
    assert any("on 40 corrupted test images, one view of each" in line for line in shown(first))

    second = retrain_in(filled_store, train=OTHER_SEED, evaluate=FORTY, register={"policy": "never", "max_drop": 0.9})
    steps = {name: second.steps[name].outcome for name in second.steps if "corruptions" in name}
    # The champion was scored in its own run, by the same task.
    assert steps == {"corruptions": "ran", "champion corruptions": "cached"}
    assert second.decision is not None
    assert second.decision.robustness is not None
    figure = second.decision.robustness.mean_accuracy
    assert second.robustness is not None
    assert figure.challenger.value == pytest.approx(second.robustness.corrupted_accuracy.value)
    assert figure.champion.value == pytest.approx(first.robustness.corrupted_accuracy.value)
    (guard,) = [guard for guard in second.decision.guards if guard.name == "corruptions"]
    assert (guard.passed, guard.decides) == (True, True)
    assert second.report is not None
    written = json.loads(Path(second.report).with_name("summary.json").read_text())
    assert written["robustness"]["corrupted_accuracy"] == second.robustness.corrupted_accuracy.model_dump()


def broken(opened_store: Store) -> Reference:
    with opened_store.staging() as folder:
        (folder / "model.keras").write_text("weights")
        return opened_store.publish(folder)


@pytest.mark.usefixtures("prefect_server")
def test_a_model_that_cannot_be_scored_fails_no_run(opened_store: Store) -> None:
    splits, steps = publish_splits(opened_store), Steps(Terminal())
    candidate = model("c", 0.5, artifact=broken(opened_store))

    @flow
    def score() -> RobustnessPair | None:
        return robustness.score(steps, splits, candidate, EvaluateConfig())

    pair = score()
    assert pair is not None
    assert (pair.challenger, pair.champion) == (None, None)
    assert "model.keras cannot be loaded" in pair.problem
    assert steps.outcome("corruptions") == "failed"
    champion = Opponents(champion=ScoredChampion(entry=1, version=1, predictions=None))
    assert robustness.score_beside(steps, splits, pair, champion, EvaluateConfig()) == pair


@pytest.mark.usefixtures("prefect_server")
def test_why_the_champion_was_not_scored_stands_beside_the_new_model(opened_store: Store) -> None:
    splits, steps = publish_splits(opened_store), Steps(Terminal())
    figures = Robustness(
        artifact=splits.artifact,
        test_digest=splits.test_digest,
        num_images=9,
        clean_accuracy=0.5,
        mean_accuracy=Interval(value=0.4, low=0.3, high=0.5),
        scores=(),
    )
    alone = RobustnessPair(challenger=figures, champion=None)

    @flow
    def score(champion: ScoredChampion) -> RobustnessPair | None:
        return robustness.score_beside(steps, splits, alone, Opponents(champion=champion), EvaluateConfig())

    gone = score(ScoredChampion(entry=1, version=1, predictions=None, problem="The artifact 0123 is missing."))
    assert gone == alone.model_copy(update={"problem": "The artifact 0123 is missing."})
    damaged = score(ScoredChampion(entry=1, version=1, model=broken(opened_store), predictions=None))
    assert damaged is not None
    assert damaged.challenger == figures
    assert "model.keras cannot be loaded" in damaged.problem
    assert steps.outcome("champion corruptions") == "failed"


def test_a_drop_that_no_image_can_hold_stops_a_run_before_it_starts() -> None:
    none = EvaluateConfig(corruption_images=0)
    with pytest.raises(ConfigurationError, match=r"max_drop is 0\.02 and evaluate\.corruption_images 0"):
        robustness.check(none, RegisterConfig(max_drop=0.02))
    robustness.check(none, RegisterConfig())
    robustness.check(EvaluateConfig(), RegisterConfig(max_drop=0.0))
    with pytest.raises(SystemExit, match="2"):
        main(["--evaluate.corruption-images", "0", "--register.max-drop", "0.02"])


def test_no_image_is_corrupted_where_none_is_asked_for(opened_store: Store) -> None:
    splits, steps = publish_splits(opened_store), Steps(Terminal())
    candidate = model("c", 0.5, artifact=splits.artifact)
    none = EvaluateConfig(corruption_images=0)
    assert robustness.score(steps, splits, candidate, none) is None
    assert robustness.score_beside(steps, splits, None, Opponents(), none) is None
    assert steps.outcome("corruptions") == "not_run"
