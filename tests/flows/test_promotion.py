"""`python -m flows.promotion`: what a person types and sees."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import promotion
from tasks.ledger import Ledger
from tests.processes import without_settings
from tests.promotions import NAME

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(promoted_store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(promoted_store, tmp_path / "store"))


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command on that store, in a terminal of 80 columns: exit code, output and errors."""
    monkeypatch.setenv("RETRAINING_STORE", str(folder))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LOGNAME", "somebody")

    def ran(*arguments: str) -> tuple[int, str, str]:
        try:
            code = promotion.main(arguments)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        output = capsys.readouterr()
        return code, output.out, output.err

    return ran


def test_history_fits_into_80_columns(run: Run) -> None:
    code, output, _ = run("history")
    assert code == 0
    assert output.splitlines() == [
        "Promotions of practice-cnn",
        "",
        "Entry  When, UTC            Version  Replaces  Accuracy  Basis",
        "       Actor: reason",
        "    1  2026-01-01 12:00:00        1         -   51.00 %  first",
        "       run 1: Promoted: version 1 is better.",
        "    2  2026-01-02 12:00:00        2         1   52.00 %  improve",
        "       run 2: Promoted: version 2 is better.",
    ]
    run("rollback", "--reason", "a reason [of many words] " * 10)
    code, output, _ = run("history")
    assert max(map(len, output.splitlines())) <= 80
    assert "2   51.00 %  rollback" in output
    assert "[of many words]" in output
    assert "somebody: " in output


def test_history_and_champion_for_programs(run: Run, folder: Path) -> None:
    entries = Ledger(folder / "ledger" / NAME).entries()
    assert json.loads(run("history", "--json")[1]) == [entry.model_dump(mode="json") for entry in entries]
    assert json.loads(run("champion", "--json")[1]) == entries[-1].model_dump(mode="json")
    assert json.loads(run("champion", "--at", "2025-12-31", "--json")[1]) is None


def test_champion_says_since_when_and_why(run: Run) -> None:
    code, output, _ = run("champion")
    assert code == 0
    assert "Champion practice-cnn version 2\n" in output
    assert "Since    2026-01-02 12:00:00 UTC (entry 2, improve, in place of version 1)" in output
    assert "Reason   Promoted: version 2 is better." in output


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2025-12-31", "had no champion at 2025-12-31 23:59:59 UTC"),
        ("2026-01-01", "version 1 at 2026-01-01 23:59:59 UTC"),
        ("2026-01-02T11:59:59", "version 1 at"),
        ("2026-01-02T12:59:59+01:00", "version 1 at 2026-01-02 11:59:59 UTC"),
        ("2026-01-02T12:00:00Z", "version 2 at"),
        ("2026-01-02", "version 2 at"),
    ],
)
def test_who_was_champion_then(run: Run, at: str, expected: str) -> None:
    code, output, _ = run("champion", "--at", at)
    assert code == 0
    assert expected in output
    assert ("Until    2026-01-02 12:00:00 UTC (entry 2, version 2)" in output) == ("version 1 at" in expected)


def test_promote_and_rollback_say_who_is_champion_now(run: Run) -> None:
    code, output, _ = run("promote", "3", "--reason", "it is needed", "--actor", "Jane")
    assert code == 0
    assert output.splitlines()[:3] == [
        "Champion practice-cnn version 3 (entry 3, in place of version 2)",
        "Actor    Jane",
        "Reason   it is needed",
    ]
    code, output, _ = run("rollback", "--reason", "it was not", "--json")
    assert code == 0
    found = json.loads(output)
    assert (found["entry"]["version"], found["entry"]["actor"], found["problem"]) == (2, "somebody", None)
    code, output, _ = run("rollback", "--to", "3", "--reason", "yes it was")
    assert output.startswith("Champion practice-cnn version 3 again (entry 5, in place of version 2)")


def test_a_promotion_stands_where_mlflow_cannot_be_reached(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    code, output, _ = run("rollback", "--reason", "because")
    assert code == 0
    assert "The promotion stands; MLflow's aliases follow with the next run." in " ".join(output.split())
    code, output, _ = run("verify")
    assert (code, "does not answer" in " ".join(output.split())) == (1, True)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    code, output, _ = run("verify")
    assert code == 0
    assert "Repaired champion was version 2, is version 1" in output


def test_verify_names_each_fault(run: Run, folder: Path) -> None:
    code, output, _ = run("verify")
    assert (code, output.splitlines()[-1]) == (0, "Result   no fault")
    for model in folder.glob("artifacts/*/*/model.keras"):
        model.write_text("other weights")
    code, output, _ = run("verify")
    assert (code, output.splitlines()[-1]) == (1, "Result   2 faults")
    (folder / "ledger" / NAME / "000002.json").write_text("{}")
    code, output, _ = run("verify", "--json")
    (fault,) = json.loads(output)["faults"]
    assert code == 1
    assert fault["place"].endswith("000002.json")
    code, output, error = run("history")
    assert (code, output) == (1, "")
    assert "000002.json was altered" in error


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["rollback"], 2, "--reason"),
        (["rollback", "--reason", " "], 2, "expected 1 to 500 characters"),
        (["rollback", "--to", "0", "--reason", "x"], 2, "expected a version"),
        (["champion", "--at", "yesterday"], 2, "expected a date such as"),
        (["promote", "--reason", "x"], 2, "VERSION"),
        (["history", "--model", "other-cnn"], 2, "which has no ledger; expected practice-cnn"),
        (["nothing"], 2, "invalid choice"),
        (["rollback", "--to", "3", "--reason", "x"], 1, "Version 3 of practice-cnn was never champion"),
        (["promote", "2", "--reason", "x"], 1, "is champion of practice-cnn already"),
        (["history", "--store", "nowhere"], 1, "Nothing was promoted yet"),
    ],
)
def test_what_cannot_be_is_one_line_and_an_exit_code(
    run: Run, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    arguments = [str(tmp_path / "nowhere") if argument == "nowhere" else argument for argument in arguments]
    found, output, error = run(*arguments)
    assert (found, output, len(error.splitlines())) == (code, "", 1)
    assert message in error
    assert not (tmp_path / "nowhere").exists()


def test_of_several_models_the_official_one_is_meant(run: Run, folder: Path) -> None:
    shutil.copytree(folder / "ledger" / NAME, folder / "ledger" / "unofficial-x-cnn")
    code, _, error = run("history")
    assert code == 2
    assert "practice-cnn or unofficial-x-cnn" in error
    shutil.copytree(folder / "ledger" / NAME, folder / "ledger" / "cifar10-cnn")
    assert run("history")[1].startswith("Promotions of cifar10-cnn\n")
    assert run("history", "--model", NAME)[1].startswith("Promotions of practice-cnn\n")


def test_a_place_that_cannot_hold_a_ledger_is_a_wrong_option(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRAINING_LEDGER", "ftp://host/ledger")
    code, _, error = run("history")
    assert code == 2
    assert "RETRAINING_LEDGER is 'ftp://host/ledger'; expected a path, or a URL of object storage" in error


def test_a_ledger_in_another_folder(run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "ledger").rename(tmp_path / "elsewhere")
    monkeypatch.setenv("RETRAINING_LEDGER", str(tmp_path / "elsewhere"))
    assert run("rollback", "--reason", "because")[0] == 0
    assert (tmp_path / "elsewhere" / NAME / "000003.json").exists()
    assert not (folder / "ledger").exists()


@pytest.mark.parametrize(
    "arguments",
    [["history"], ["champion"], ["verify"], ["promote", "3", "--reason", "x"], ["rollback", "--reason", "x"]],
)
def test_no_command_loads_prefect_or_a_framework(folder: Path, arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from flows import promotion\n"
        "code = promotion.main(sys.argv[1:])\n"
        "heavy = {'prefect', 'tensorflow', 'keras', 'jax', 'great_expectations'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments, "--store", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env=without_settings(),
    )
    assert done.returncode == 0, done.stderr


def test_reading_commands_do_not_load_mlflow(run: Run) -> None:
    script = "import sys; from flows import promotion; promotion.main(['history']); sys.exit('mlflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)
