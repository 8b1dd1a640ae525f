"""The option --train.warm-start in whole runs on practice images."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks import machine
from tasks.ledger import Ledger
from tasks.machine import Machine
from tasks.registry import Registry
from tasks.report.summary import Summary
from tests.flows.conftest import SMALL, retrain_in, shown

WARM: dict[str, Any] = {**SMALL["train"], "warm_start": True}


def written(summary: Summary) -> dict[str, Any]:
    """`summary.json` as it lies beside the report."""
    assert summary.report is not None
    found: dict[str, Any] = json.loads((Path(summary.report).parent / "summary.json").read_text())
    return found


def test_with_a_champion_both_are_trained_and_the_better_is_registered(
    filled_store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    # Ahead of what one epoch from fresh weights gives, though 80 test images prove little.
    force = {"policy": "force", "actor": "a test", "reason": "a better champion"}
    assert retrain_in(filled_store, train={**SMALL["train"], "epochs": 15}, register=force).outcome == "promoted"
    champion = Ledger(filled_store / "ledger" / "practice-cnn").champion()
    assert champion is not None

    summary = retrain_in(filled_store, train=WARM)

    # The first run of the store trained it, without the option.
    assert summary.steps["train"].outcome == "cached"
    assert summary.steps["warm start"].outcome == "ran"
    assert list(summary.steps).index("warm start") == list(summary.steps).index("train") + 1
    cold, warm = written(summary)["starts"]
    assert (cold["start"], warm["start"]) == ("cold", "champion version 2")
    assert cold["validation_loss"] != warm["validation_loss"]
    assert cold["epochs"] == warm["epochs"] == 1
    assert warm["validation_accuracy"] > cold["validation_accuracy"]
    assert (cold["chosen"], warm["chosen"]) == (False, True)
    assert summary.model_version == 3
    assert "The warm start from champion version 2 goes on: validation accuracy" in caplog.text
    assert summary.report is not None
    assert "Cold start and warm start" in Path(summary.report).read_text()
    assert "Start    champion version 2" in shown(summary)
    with machine.use(Machine(store=filled_store)):
        client = Registry()._client
        version = client.get_model_version("practice-cnn", "3")
        assert version.tags["start"] == f"champion {champion.model_digest}"
        assert client.get_run(version.run_id).data.metrics["validation_loss"] == warm["validation_loss"]


def test_a_warm_start_is_taken_from_the_cache_like_the_cold_one(filled_store: Path) -> None:
    # A champion that stays: a warm start that is promoted is another start for the next run.
    floor = {"min_accuracy": 1.0}
    first, second = (retrain_in(filled_store, train=WARM, register=floor) for _ in range(2))
    assert (first.steps["warm start"].outcome, second.steps["warm start"].outcome) == ("ran", "cached")
    assert first.starts == second.starts
    assert second.outcome == "unchanged"


def test_without_a_champion_the_cold_start_goes_on_alone(filled_store: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    shutil.rmtree(filled_store / "ledger")
    (filled_store / "mlflow.db").unlink()  # which was told of the ledger's entry
    summary = retrain_in(filled_store, train=WARM)
    assert "The cold start goes on alone: practice-cnn has no champion yet." in caplog.text
    assert "warm start" not in summary.steps
    assert [(start["start"], start["chosen"]) for start in written(summary)["starts"]] == [("cold", True)]
    assert summary.model_version == 1


def test_a_start_of_another_architecture_leaves_the_cold_one(
    filled_store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    summary = retrain_in(filled_store, train={**WARM, "recipe": "tutorial-128"})
    assert "The cold start goes on alone: the start is a network of 167562 parameters" in caplog.text
    assert summary.steps["warm start"].outcome == "failed"
    assert [start.start for start in summary.starts] == ["cold"]
    assert summary.steps["register"].outcome == "ran"
    assert summary.model_version == 2


def test_without_the_option_nothing_is_said_of_starts(filled_store: Path) -> None:
    summary = retrain_in(filled_store)
    assert summary.starts == ()
    assert not [line for line in shown(summary) if line.startswith("Start")]
    assert "warm start" not in summary.steps
