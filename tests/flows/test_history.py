"""What a report is told of a model's past: whatever is damaged is said, and stops nothing."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows import history
from tasks.ledger import Ledger, LedgerEntry
from tasks.store import Store

NAME = "practice-cnn"


def promote(opened_store: Store, version: int) -> LedgerEntry:
    entry = LedgerEntry(
        promoted_at=datetime(2026, 11, version, tzinfo=UTC),
        run_id="run",
        model_name=NAME,
        replaces_version=version - 1 or None,
        version=version,
        model_digest="a" * 64,
        model_sha256="b" * 64,
        accuracy=0.8,
        test_digest="c" * 64,
        basis="improve",
        actor="a test",
        reason=f"because of {version}",
    )
    return Ledger(opened_store.folder("ledger", NAME)).promote(entry)


def test_the_last_promotions_come_first(opened_store: Store) -> None:
    for version in range(1, history.NUM_PROMOTIONS + 3):
        promote(opened_store, version)
    found = history.read(NAME, "this")
    assert found.num_promotions == history.NUM_PROMOTIONS + 2
    assert [entry.version for entry in found.promotions] == list(range(history.NUM_PROMOTIONS + 2, 2, -1))
    newest = found.promotions[0]
    assert (newest.number, newest.replaces_version, newest.basis) == (14, 13, "improve")
    assert (newest.actor, newest.reason, newest.accuracy) == ("a test", "because of 14", 0.8)
    assert found.problem == ""


def test_a_store_without_a_past_has_none(opened_store: Store) -> None:
    found = history.read(NAME, "this")
    assert (found.promotions, found.runs, found.problem, found.num_unreadable) == ((), (), "", 0)


@pytest.mark.parametrize("fault", ["tampered", "lost", "no text", "a folder"])
def test_a_damaged_ledger_is_said_and_the_runs_are_read_all_the_same(
    opened_store: Store, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    for version in (1, 2):
        promote(opened_store, version)
    first: Path = opened_store.folder("ledger", NAME) / "000001.json"
    if fault == "tampered":
        first.write_text(first.read_text().replace("because of 1", "because"))
    elif fault == "no text":
        first.write_bytes(b"\xff\x00")
    else:
        first.unlink()
        if fault == "a folder":
            first.mkdir()
    (opened_store.folder("runs", "broken") / "summary.json").write_text("{")
    found = history.read(NAME, "this")
    assert found.promotions == ()
    assert "00000" in found.problem
    assert found.num_unreadable == 1
    assert "no promotions" in caplog.text
