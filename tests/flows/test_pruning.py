"""Pruning after real runs: the command line, the flow, and a run that is at work at the same time."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from prefect.artifacts import Artifact
from prefect.exceptions import ParameterTypeError

from flows import housekeeping, promotion, pruning
from flows.retraining import retrain
from tasks import machine, retention, store
from tasks import promotion as promoting
from tasks.ledger import Fault, open_ledger
from tasks.machine import Machine
from tasks.report.summary import Summary
from tasks.retention import RetentionConfig
from tasks.verification import verify
from tests import s3
from tests.flows.conftest import SMALL, FinishedRun, retrain_in
from tests.processes import RUN_SECONDS, wait_for, without_settings
from tests.unit.ingest.places import BucketPlace

NAME = "practice-cnn"
FEW = RetentionConfig(keep_runs=1, max_age_days=14)


def age(folder: Path) -> None:
    then = time.time() - 365 * 24 * 3600
    for path in folder.rglob("*"):
        os.utime(path, (then, then))


def test_a_run_takes_what_was_kept_and_makes_the_rest_again(filled_store: Path, first_run: FinishedRun) -> None:
    age(filled_store)
    with machine.use(Machine(store=filled_store)):
        found = retention.prune(FEW, apply=True, waiting=pytest.fail)
        assert {tally.kind for tally in found.tallies if tally.removed} == {"results", "artifacts"}
        assert verify(NAME, open_ledger(NAME)).faults == ()
    summary = retrain_in(filled_store)
    outcomes = {name: step.outcome for name, step in summary.steps.items()}
    assert (outcomes["ingest"], outcomes["train"]) == ("cached", "cached")
    assert (outcomes["validate"], outcomes["evaluate"]) == ("ran", "ran")
    assert summary.outcome == "unchanged"
    assert summary.metrics is not None
    assert first_run.summary.metrics is not None
    assert summary.metrics.accuracy == first_run.summary.metrics.accuracy
    report = (filled_store / "runs" / summary.run_id / "report.html").read_text()
    assert first_run.summary.run_name in report  # in its history
    with machine.use(Machine(store=filled_store)):
        assert verify(NAME, open_ledger(NAME)).faults == ()
        # All that the run used is young.
        assert retention.prune(FEW, apply=True, waiting=pytest.fail).removed == 0


@pytest.mark.timeout(900)
def test_a_run_that_is_at_work_loses_nothing(filled_store: Path, tmp_path: Path) -> None:
    age(filled_store)
    options = [
        f"--ingest.synthetic-images={SMALL['ingest']['synthetic_images']}",
        f"--train.recipe={SMALL['train']['recipe']}",
        "--train.epochs=1",
        "--evaluate.corruption-images=0",
        "--source=synthetic",
        "--force",
    ]
    log = tmp_path / "run.log"
    with log.open("w") as output:
        run = subprocess.Popen(
            [sys.executable, "-m", "flows.retraining", f"--store={filled_store}", *options],
            stdout=output,
            stderr=output,
            env=without_settings(),
        )
    try:
        wait_for(lambda: "… preprocess" in log.read_text(), lambda: run.poll() is None, RUN_SECONDS)
        times = 0
        with machine.use(Machine(store=filled_store)):
            while run.poll() is None:
                retention.prune(FEW, apply=True, waiting=pytest.fail)
                times += 1
    finally:
        run.kill()
        run.wait()
    text = log.read_text()
    assert run.returncode == 0, text
    assert times > 1
    assert "✓ preprocess           cached" in text
    with machine.use(Machine(store=filled_store)):
        assert verify(NAME, open_ledger(NAME)).faults == ()


def test_the_flow_says_what_went(filled_store: Path) -> None:
    age(filled_store)
    with machine.use(Machine(store=filled_store)):
        state = housekeeping.prune(retention=FEW, return_state=True)
        assert str(state.message).startswith("Nothing was removed; ")
        before = state.message
        state = housekeeping.prune(retention=FEW, apply=True, return_state=True)
    assert state.is_completed()
    assert str(state.message).startswith("Removed ")
    assert str(state.message).split()[1] == str(before).split()[3]
    text = str(getattr(Artifact.get("pruning"), "data", None))
    assert text.startswith(str(state.message))
    assert "| Kind | kept | MB | removed | MB |" in text


def test_nonsense_in_the_form_starts_no_flow() -> None:
    with pytest.raises(ParameterTypeError, match="max_age_days"):
        housekeeping.prune.validate_parameters({"retention": {"max_age_days": 1}})


@pytest.fixture
def folder(promoted_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copied = Path(shutil.copytree(promoted_store, tmp_path / "store"))
    (copied / "results").mkdir()
    (copied / "results" / ("a" * 64)).write_text("{}")
    age(copied)
    monkeypatch.setenv("RETRAINING_STORE", str(copied))
    monkeypatch.setenv("COLUMNS", "80")
    return copied


def test_the_command_line_only_tells_unless_it_is_told_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pruning.main([]) == 0
    output = capsys.readouterr().out
    assert "results       0  0.0      1  0.0" in output
    assert "the ledger names it" in output
    assert "Nothing was removed; 1 thing, 0.0 MB would go." in output
    assert max(map(len, output.splitlines()[1:])) <= 80
    assert (folder / "results" / ("a" * 64)).exists()
    assert pruning.main(["--apply", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["applied"], found["tallies"][0]["removed"]) == (True, 1)
    assert not (folder / "results" / ("a" * 64)).exists()
    assert promotion.main(["verify"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--max-age-days", "3"], 2, "--max-age-days: Input should be greater than or equal to 14; got '3'"),
        (["--keep-run", "3"], 2, "--keep-run"),
        (["--store", "nowhere"], 2, "There is no store in "),
    ],
)
def test_a_wrong_option_is_said_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    try:
        found = pruning.main(arguments)
    except SystemExit as error:
        found = int(str(error.code))
    assert found == code
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_damaged_ledger_removes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "ledger" / NAME / "000001.json").unlink()
    assert pruning.main(["--apply"]) == 1
    assert "is lost" in capsys.readouterr().err
    assert (folder / "results" / ("a" * 64)).exists()


@pytest.mark.timeout(900)
def test_of_a_store_in_a_bucket_nothing_goes_that_another_machine_needs(
    filled_store: Path,
    bucket: BucketPlace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path in filled_store.rglob("*"):
        if path.is_file():
            bucket.put(f"store/{path.relative_to(filled_store).as_posix()}", path.read_bytes())
    url, registry = f"{bucket.address}/store", f"sqlite:///{filled_store}/mlflow.db"

    def on(name: str) -> Machine:
        return Machine(store=tmp_path / name, bucket=url, tracking_uri=registry)

    def run(name: str, **parameters: Any) -> Summary:
        with machine.use(on(name)):
            summary: Summary = retrain(**{**SMALL, **parameters})
            return summary

    def faults(name: str) -> tuple[Fault, ...]:
        with machine.use(on(name)):
            return verify(NAME, open_ledger(NAME)).faults

    forced = {"policy": "force", "reason": "it is needed", "actor": "a test"}
    assert run("first", train={**SMALL["train"], "seed": 2}, register=forced).outcome == "promoted"
    assert run("second").outcome == "unchanged"
    for name in ("first", "second"):
        age(tmp_path / name)
    s3.age("team", 365)

    monkeypatch.setenv("RETRAINING_CACHE", str(tmp_path / "third"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry)
    few = ["--store", url, "--keep-runs", "1", "--max-age-days", "14"]
    assert pruning.main(few) == 0
    assert "would go" in capsys.readouterr().out
    assert pruning.main([*few, "--apply", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["place"] == url
    assert {tally["kind"] for tally in found["tallies"] if tally["removed"]} >= {"results", "artifacts"}
    assert faults("third") == ()

    # The second machine has copies of what went, the fourth has none.
    for name in ("second", "fourth"):
        summary = run(name)
        assert summary.outcome == "unchanged"
        assert (summary.steps["ingest"].outcome, summary.steps["train"].outcome) == ("cached", "cached")
    with machine.use(on("second")):
        by = {"reason": "it is needed", "actor": "a test", "run_id": "by hand"}
        assert promoting.roll_back(NAME, 1, **by).entry.version == 1
    assert faults("fifth") == ()
    with machine.use(on("sixth")):
        for digest in {name.split("/")[3] for name in bucket.names() if name.startswith("store/artifacts/")}:
            store.current().find(digest)  # which verifies it
    # All that these runs used is young, on whatever machine it was; the old run that was the last one is so no more.
    assert pruning.main([*few, "--apply", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {tally["kind"]: tally["removed"] for tally in found["tallies"] if tally["removed"]} == {"runs": 1}
