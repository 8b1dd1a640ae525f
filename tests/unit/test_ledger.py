import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.errors import RegistryError
from tasks.ledger import Ledger, LedgerEntry
from tasks.succession import anchor
from tasks.values.decision import Basis


def entry(version: int, replaces: int | None) -> LedgerEntry:
    return LedgerEntry(
        promoted_at=datetime(2026, 1, 1, tzinfo=UTC),
        run_id="run",
        model_name="practice-cnn",
        replaces_version=replaces,
        version=version,
        model_digest="a" * 64,
        model_sha256="b" * 64,
        accuracy=0.8,
        test_digest="c" * 64,
        actor="a test",
        reason="because",
    )


def test_the_last_entry_is_the_champion(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert ledger.champion() is None
    ledger.promote(entry(1, None))
    second = ledger.promote(entry(3, 1))
    assert ledger.champion() == second
    assert [item.number for item in ledger.entries()] == [1, 2]


def test_a_promoter_that_missed_another_promotion_is_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.promote(entry(1, None))
    ledger.promote(entry(2, 1))
    with pytest.raises(RegistryError, match="champion is version 2 now"):
        ledger.promote(entry(3, 1))
    assert len(ledger.entries()) == 2


def test_of_two_promoters_at_once_one_wins(tmp_path: Path) -> None:
    Ledger(tmp_path).promote(entry(1, None))
    script = (
        "import sys, time, pathlib\n"
        "from tests.unit.test_ledger import entry\n"
        "from tasks.ledger import Ledger\n"
        "from tasks.errors import RegistryError\n"
        "time.sleep(max(0, float(sys.argv[3]) - time.time()))\n"
        "try:\n"
        "    Ledger(pathlib.Path(sys.argv[1])).promote(entry(int(sys.argv[2]), 1))\n"
        "except RegistryError as error:\n"
        "    sys.exit('refused')\n"
    )
    at = str(datetime.now().timestamp() + 3)
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(version), at], stderr=subprocess.PIPE)
        for version in (2, 3, 4)
    ]
    errors = [process.communicate()[1] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 1, 1], errors
    assert len(Ledger(tmp_path).entries()) == 2


@pytest.mark.parametrize("change", [{"version": 7}, {"number": 5}])
def test_an_altered_entry_is_named(tmp_path: Path, change: dict[str, int]) -> None:
    ledger = Ledger(tmp_path)
    ledger.promote(entry(1, None))
    ledger.promote(entry(2, 1))
    path = tmp_path / "000001.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RegistryError, match=r"00000[12]\.json"):
        ledger.entries()


def test_a_missing_entry_is_named(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.promote(entry(1, None))
    ledger.promote(entry(2, 1))
    (tmp_path / "000001.json").unlink()
    with pytest.raises(RegistryError, match=r"000001\.json is lost"):
        ledger.entries()


def test_a_draft_that_a_killed_process_left_is_no_entry(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    (tmp_path / ".0123.draft").write_text('{"number": 1')
    ledger.promote(entry(1, None))
    assert len(ledger.entries()) == 1


def test_an_entry_of_before_the_basis_was_recorded_is_read(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.promote(entry(1, None))
    path = tmp_path / "000001.json"
    path.write_text(
        json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != "basis"})
    )
    (tmp_path / "000001.sha256").unlink()  # there was none, either
    second = ledger.promote(entry(2, 1).model_copy(update={"basis": "refresh"}))
    assert [found.basis for found in ledger.entries()] == [None, "refresh"]
    assert second.predecessor_sha256 is not None


@pytest.mark.parametrize(
    ("bases", "expected"),
    [
        ([], None),
        (["first"], 1),
        (["first", "refresh", "refresh"], 1),
        (["first", "improve", "refresh"], 2),
        (["first", "refresh", "force", "refresh"], 3),
        ([None, None, "refresh"], 2),
    ],
)
def test_the_anchor_is_the_last_champion_that_no_refresh_chose(bases: list[Basis | None], expected: int | None) -> None:
    entries = [
        entry(version, version - 1 or None).model_copy(update={"basis": basis})
        for version, basis in enumerate(bases, start=1)
    ]
    found = anchor(entries)
    assert (found.version if found is not None else None) == expected
