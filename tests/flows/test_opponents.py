"""The champion beside the new model, in whole runs on practice images."""

import json
import shutil
from pathlib import Path

import pytest

from flows import opponents
from flows.execution import Steps
from flows.terminal import Terminal
from tasks import machine, store
from tasks.evaluate.config import EvaluateConfig
from tasks.ledger import Ledger
from tasks.machine import Machine
from tasks.register.config import RegisterConfig
from tasks.store import Store
from tests.conftest import publish_noise
from tests.flows.conftest import SMALL, retrain_in
from tests.flows.test_starts import entry, model, published_champion
from tests.unit.report.pages import sections, table
from tests.unit.train.tiny import publish_splits

OTHER_SEED = {**SMALL["train"], "seed": 2}


def test_the_champion_is_scored_in_the_run_and_where_it_cannot_be_it_stays(filled_store: Path) -> None:
    first = retrain_in(filled_store, train=OTHER_SEED, register={"policy": "never"})
    assert (first.outcome, first.steps["champion"].outcome) == ("refused", "ran")
    assert first.decision is not None
    (comparison, *_) = first.decision.comparisons
    # What the run of the champion found of it, by the same code on the same images.
    (entry,) = Ledger(filled_store / "ledger" / "practice-cnn").entries()
    assert (comparison.version, comparison.accuracy.champion.value) == (1, entry.accuracy)
    assert first.metrics is not None
    assert comparison.accuracy.challenger.value == first.metrics.accuracy.value

    # Another rule judges anew, with the predictions from the cache.
    second = retrain_in(filled_store, train=OTHER_SEED, register={"min_accuracy": 1.0})
    assert second.steps["champion"].outcome == "cached"
    assert second.decision is not None
    assert second.decision.comparisons[0].accuracy == comparison.accuracy
    assert second.num_test_set_decisions == 3
    assert second.report is not None
    assert json.loads(Path(second.report).with_name("summary.json").read_text())["decision"]["policy"] == "refresh"
    html = Path(second.report).read_text()
    assert sections(html)[:3] == ["comparison", "flips", "classes"]
    assert table(html, "evidence")[1][2:4] == [str(comparison.num_wins), str(comparison.num_losses)]
    assert [row[0] for row in table(html, "promotions")[1:]] == ["1"]
    # The first run, the one before, and this one; all on the same practice images.
    assert [(row[2], row[6]) for row in table(html, "runs")[1:]] == [
        *(("refused", "the same"), ("refused", "the same"), ("promoted", "the same"))
    ]

    with machine.use(Machine(store=filled_store)):
        shutil.rmtree(store.current().fetch(store.current().find(entry.model_digest)))
    third = retrain_in(filled_store, train=OTHER_SEED, register={"policy": "improve"})
    assert (third.outcome, third.champion_version) == ("refused", 1)
    assert third.steps["champion"].outcome == "failed"
    assert f"cannot be scored (The artifact {entry.model_digest[:12]} is missing" in third.verdict


def test_after_a_refresh_the_champion_before_it_is_compared_with_as_well(filled_store: Path) -> None:
    easy = {"margin": 0.5, "min_class_images": 100, "calibration": "report"}
    assert retrain_in(filled_store, train=OTHER_SEED, register=easy).outcome == "promoted"
    third = retrain_in(filled_store, train={**SMALL["train"], "seed": 3}, register=easy)
    # The anchor was the champion of the run before, and is known by its model and the test images.
    assert (third.steps["champion"].outcome, third.steps["anchor"].outcome) == ("ran", "cached")
    assert third.decision is not None
    compared = [(comparison.opponent, comparison.version) for comparison in third.decision.comparisons]
    assert compared[0] == ("champion", 2)
    assert compared[-1] == ("anchor", 1)
    entries = Ledger(filled_store / "ledger" / "practice-cnn").entries()
    assert [entry.basis for entry in entries][:2] == ["first", "refresh"]


@pytest.mark.parametrize("fault", ["gone", "damaged", "other classes", "other model"])
def test_why_a_champion_cannot_be_scored_is_said_and_fails_no_run(opened_store: Store, fault: str) -> None:
    splits = publish_splits(opened_store)
    artifact, promoted = published_champion(opened_store)
    if fault == "gone":
        shutil.rmtree(opened_store.fetch(artifact))
    elif fault == "damaged":
        (opened_store.fetch(artifact) / "model.keras").write_text("others!")
    elif fault == "other model":
        promoted = promoted.model_copy(update={"model_sha256": "d" * 64})
    else:
        dataset = publish_noise(opened_store, 20, 10).model_copy(update={"class_names": ("yes", "no")})
        promoted = promoted.model_copy(update={"dataset": dataset.model_dump(mode="json")})
    Ledger(opened_store.folder("ledger", "practice-cnn")).promote(promoted)
    steps = Steps(Terminal())
    found = opponents.score(
        steps, splits, model("c", 0.5, artifact=splits.artifact), EvaluateConfig(), RegisterConfig()
    )
    assert found.anchor is None
    assert found.champion is not None
    assert (found.champion.version, found.champion.predictions) == (1, None)
    said = {"gone": "is missing", "damaged": "is damaged", "other classes": "yes, no", "other model": "d" * 64}
    assert said[fault] in found.champion.problem
    assert steps.outcome("champion") == "failed"


def test_a_model_that_is_the_champion_has_no_opponents(opened_store: Store) -> None:
    splits = publish_splits(opened_store)
    same = model("b", 0.5, artifact=splits.artifact)
    Ledger(opened_store.folder("ledger", "practice-cnn")).promote(entry(splits.artifact.digest))
    assert opponents.score(Steps(Terminal()), splits, same, EvaluateConfig(), RegisterConfig()).champion is None
