"""Which runs train anew where nothing changed: by the age of the model, with the seed `date`, and when forced."""

import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL

from tasks.report.summary import Summary
from tests.flows.conftest import SMALL, FinishedRun, retrain_in, shown
from tests.flows.test_retraining import outcomes, ran_from

DATED: dict[str, Any] = {**SMALL["train"], "seed": "date"}
NOW = datetime.now(UTC)
"""The day of the first run; all others are so many days later."""


@pytest.fixture(scope="session")
def dated_run(first_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A store with a training whose seed is from the date. Tests leave it as it is."""
    folder = Path(shutil.copytree(first_run.store, tmp_path_factory.mktemp("dated") / "store"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        return FinishedRun(folder, retrain_after(0, folder, monkeypatch, train=DATED))


@pytest.fixture
def dated_store(dated_run: FinishedRun, tmp_path: Path) -> Path:
    """A copy of it, to do as one likes with."""
    return Path(shutil.copytree(dated_run.store, tmp_path / "store"))


def retrain_after(days: float, folder: Path, monkeypatch: pytest.MonkeyPatch, **parameters: Any) -> Summary:
    """A run that was scheduled so many days after the first."""
    monkeypatch.setattr("prefect.runtime.flow_run.scheduled_start_time", NOW + timedelta(days=days), raising=False)
    return retrain_in(folder, **parameters)


def day(days: float) -> int:
    """The seed of a day."""
    return int((NOW + timedelta(days=days)).strftime("%Y%m%d"))


def test_the_first_training_has_the_seed_of_its_day_and_says_so(dated_run: FinishedRun) -> None:
    summary = dated_run.summary
    assert outcomes(summary) == ran_from("train")
    assert summary.seed == day(0)
    assert summary.training is not None
    assert (summary.training.in_this_run, summary.training.age_days) == (True, 0)
    assert summary.training.sentence == (
        f"Trained in this run with seed {day(0)}: there was no training on the same data, by the same recipe and code."
    )


def test_a_later_day_without_anything_new_is_unchanged(dated_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = retrain_after(3.5, dated_store, monkeypatch, train=DATED)
    assert outcomes(summary) == ran_from("register")
    assert (summary.outcome, summary.seed, summary.model_version) == ("unchanged", day(0), 2)
    sentence = (
        f"Trained 3 days ago with seed {day(0)} on the same data, by the same recipe and code; "
        "max_model_age_days is 30."
    )
    assert summary.training is not None
    assert summary.training.sentence == sentence
    assert summary.training.age_days == pytest.approx(3.5, abs=0.1)
    assert not summary.training.in_this_run
    assert f"         {sentence}" in shown(summary)
    assert summary.report is not None
    assert sentence in Path(summary.report).read_text()
    written = json.loads((Path(summary.report).parent / "summary.json").read_text())
    assert written["training"]["sentence"] == sentence


def test_a_model_that_is_too_old_is_followed_by_one_of_the_new_day(
    dated_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = retrain_after(31.5, dated_store, monkeypatch, train=DATED)
    assert outcomes(summary) == ran_from("train")
    assert (summary.seed, summary.model_version) == (day(31.5), 3)
    assert summary.training is not None
    assert summary.training.sentence.endswith(" was 31 days ago; max_model_age_days is 30.")


def test_new_data_are_trained_on_at_once(dated_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = retrain_after(1, dated_store, monkeypatch, train=DATED, ingest={"synthetic_images": 540})
    assert outcomes(summary) == ran_from("ingest")
    assert summary.seed == day(1)


def test_another_recipe_is_trained_at_once(dated_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = retrain_after(1, dated_store, monkeypatch, train={**DATED, "epochs": 2})
    assert outcomes(summary) == ran_from("train")
    assert summary.seed == day(1)


def test_force_trains_with_another_seed_of_the_day_and_later_runs_take_that(
    dated_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced = retrain_after(0, dated_store, monkeypatch, train=DATED, force=True)
    assert outcomes(forced) == ran_from("train")
    assert (forced.seed, forced.model_version) == (int(f"{day(0)}02"), 3)
    assert forced.outcome in ("promoted", "refused")
    assert forced.training is not None
    assert forced.training.forced
    assert forced.training.sentence == f"Trained in this run with seed {day(0)}02, as a training is forced."

    later = retrain_after(1, dated_store, monkeypatch, train=DATED)
    assert outcomes(later) == ran_from("register")
    assert (later.outcome, later.seed, later.model_version) == ("unchanged", forced.seed, 3)


def test_force_with_a_fixed_seed_trains_and_says_that_the_same_model_came_out(filled_store: Path) -> None:
    forced = retrain_in(filled_store, force=True)
    assert outcomes(forced) == ran_from("train")
    assert (forced.outcome, forced.model_version) == ("unchanged", 1)
    assert forced.training is not None
    assert forced.training.sentence == (
        "Trained in this run with seed 1, as a training is forced. The model came out the same to the bit. Another "
        "seed, or `date`, gives another one."
    )

    again = retrain_in(filled_store)
    assert outcomes(again) == ran_from("register")
    assert again.training is not None
    # Of the forced training: its result has taken the place of the first one's.
    assert again.training.trained_at == forced.training.trained_at


def test_a_fixed_seed_is_not_trained_anew_whatever_the_age(filled_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = retrain_after(100, filled_store, monkeypatch)
    assert outcomes(summary) == ran_from("register")
    assert summary.outcome == "unchanged"
    assert summary.training is not None
    assert "a fixed seed asks for this very training" in summary.training.sentence


def test_a_damaged_model_is_made_again_with_its_seed(
    dated_run: FinishedRun, dated_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = json.loads(sorted((dated_store / "ledger" / "practice-cnn").glob("*.json"))[0].read_text())
    for path in (dated_store / "artifacts").rglob("model.keras"):
        if champion["model_digest"] not in str(path):
            path.write_bytes(b"damaged")
    summary = retrain_after(3, dated_store, monkeypatch, train=DATED)
    assert summary.steps["train"].outcome == "ran"
    assert (summary.outcome, summary.seed, summary.model_version) == ("unchanged", day(0), 2)
    assert summary.training is not None
    assert summary.training.sentence == (
        f"Trained in this run with seed {day(0)} again: what was kept of its training is missing or damaged. "
        "The model came out the same to the bit."
    )


KILLED = """
import os, pathlib, signal, sys
from flows import observer
from flows.terminal import Terminal
from tests.flows.test_model_age import DATED, retrain_in

class Killer(Terminal):
    def step_ended(self, record):
        if record.name == "train" and record.outcome == "ran":
            os.kill(os.getpid(), signal.SIGKILL)

with observer.observe_with(Killer()):
    retrain_in(pathlib.Path(sys.argv[1]), train={**DATED, "seed": int(sys.argv[2])})
"""


def test_a_run_that_is_killed_after_training_is_gone_on_with_on_another_day(
    filled_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(filled_store), str(day(0))], env=environment, check=False
    )
    assert killed.returncode == -signal.SIGKILL

    summary = retrain_after(3, filled_store, monkeypatch, train=DATED)

    assert outcomes(summary) == ran_from("evaluate")
    assert (summary.seed, summary.model_version) == (day(0), 2)
    assert summary.outcome in ("promoted", "refused")


def test_a_warm_start_is_found_with_the_seed_of_the_cold_one(
    dated_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A champion that stays: a warm start that is promoted is another start for the next run.
    warm: dict[str, Any] = {"train": {**DATED, "warm_start": True}, "register": {"min_accuracy": 1.0}}
    first = retrain_after(1, dated_store, monkeypatch, **warm)
    second = retrain_after(2, dated_store, monkeypatch, **warm)
    assert (first.steps["train"].outcome, first.steps["warm start"].outcome) == ("cached", "ran")
    assert second.steps["warm start"].outcome == "cached"
    assert (second.outcome, second.seed) == ("unchanged", day(0))
    assert second.training is not None
    assert second.training.sentence.startswith("Cold start: trained ")
