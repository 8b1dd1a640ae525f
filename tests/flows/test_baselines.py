"""What the drops of a run are compared with: what champions were trained on, as the ledger has it."""

import shutil
from datetime import UTC, datetime

import pytest

from flows import intake
from tasks.ingest.drops import Arrivals, FoundDrop
from tasks.ledger import Ledger, LedgerEntry
from tasks.store import Store
from tasks.values.baselines import Baselines
from tasks.values.dataset import RawDataset
from tests.conftest import publish_noise

NEW = FoundDrop(name="new", digest="a" * 64)


def promote(target: Store, *datasets: RawDataset | None) -> None:
    """Champions that were trained on these, one after the other."""
    ledger = Ledger(target.folder("ledger", "practice-cnn"))
    for version, dataset in enumerate(datasets, start=1):
        entry = LedgerEntry(
            promoted_at=datetime(2026, 1, 1, tzinfo=UTC),
            run_id="run",
            model_name="practice-cnn",
            replaces_version=version - 1 or None,
            version=version,
            model_digest="a" * 64,
            model_sha256="b" * 64,
            accuracy=0.8,
            test_digest="c" * 64,
            dataset_digest=dataset.digest if dataset is not None else None,
            dataset=dataset.model_dump(mode="json") if dataset is not None else None,
            actor="a test",
            reason="because",
        )
        ledger.promote(entry)


def taken(*baselines: str) -> FoundDrop:
    return FoundDrop(name="taken", digest="b" * 64, number=1, baselines=baselines)


def test_before_there_is_a_champion_drops_are_compared_with_the_base(opened_store: Store) -> None:
    dataset = publish_noise(opened_store, 20, 10)
    assert intake.baselines(Arrivals(drops=(NEW,)), dataset) == Baselines()


def test_a_new_drop_is_compared_with_the_first_and_the_last_champions_data(opened_store: Store) -> None:
    first, second, third = (publish_noise(opened_store, 20, 10, seed=seed) for seed in (1, 2, 3))
    promote(opened_store, first, second, third)
    found = intake.baselines(Arrivals(drops=(NEW,)), first)
    assert found.of_drop == {NEW.digest: (first.digest, third.digest)}
    assert found.datasets[third.digest] == third


def test_after_a_rollback_drops_are_compared_with_the_restored_champions_data(opened_store: Store) -> None:
    first, second, third = (publish_noise(opened_store, 20, 10, seed=seed) for seed in (1, 2, 3))
    promote(opened_store, first, second, third)
    ledger = Ledger(opened_store.folder("ledger", "practice-cnn"))
    _, restored, champion = ledger.entries()
    changes = {"basis": "rollback", "restores_entry": 2, "replaces_version": champion.version}
    ledger.promote(restored.model_copy(update=changes))
    found = intake.baselines(Arrivals(drops=(NEW,)), first)
    assert found.of_drop == {NEW.digest: (first.digest, second.digest)}
    # What a drop was compared with before the rollback it stays compared with.
    again = intake.baselines(Arrivals(drops=(taken(third.digest),)), first)
    assert again.of_drop == {"b" * 64: (third.digest,)}


def test_data_of_a_champion_that_was_taken_back_are_no_baseline(opened_store: Store) -> None:
    """The first champion's data were not kept, and those of the second led to a bad model."""
    bad = publish_noise(opened_store, 20, 10)
    promote(opened_store, None, bad)
    ledger = Ledger(opened_store.folder("ledger", "practice-cnn"))
    restored, _ = ledger.entries()
    changes = {"basis": "rollback", "restores_entry": 1, "replaces_version": 2}
    ledger.promote(restored.model_copy(update=changes))
    assert intake.baselines(Arrivals(drops=(NEW,)), bad) == Baselines()


def test_champions_of_one_dataset_are_one_baseline(opened_store: Store) -> None:
    first, second = (publish_noise(opened_store, 20, 10, seed=seed) for seed in (1, 2))
    promote(opened_store, first, second, first)
    assert intake.baselines(Arrivals(drops=(NEW,)), first).of_drop == {NEW.digest: (first.digest,)}


def test_a_taken_drop_keeps_what_it_was_compared_with(opened_store: Store) -> None:
    first, second = (publish_noise(opened_store, 20, 10, seed=seed) for seed in (1, 2))
    promote(opened_store, first, second)
    arrivals = Arrivals(drops=(taken(first.digest), NEW))
    found = intake.baselines(arrivals, first)
    assert found.of_drop == {"b" * 64: (first.digest,), NEW.digest: (first.digest, second.digest)}
    # One that was taken before there was a champion stays with the base: whoever is champion, nothing is recomputed.
    assert intake.baselines(Arrivals(drops=(taken(),)), first) == Baselines()


def test_a_baseline_that_the_ledger_does_not_know_is_left_out(opened_store: Store) -> None:
    first = publish_noise(opened_store, 20, 10)
    promote(opened_store, None, first)
    arrivals = Arrivals(drops=(taken("e" * 64, first.digest),))
    assert intake.baselines(arrivals, first).of_drop == {"b" * 64: (first.digest,)}


def test_data_that_the_store_has_lost_are_left_out_and_the_ledger_is_read_without_them(
    opened_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (publish_noise(opened_store, 20, 10, seed=seed) for seed in (1, 2))
    promote(opened_store, first, second)
    shutil.rmtree(opened_store.fetch(first.artifact))
    assert Ledger(opened_store.folder("ledger", "practice-cnn")).champion() is not None
    found = intake.baselines(Arrivals(drops=(NEW,)), second)
    assert found.of_drop == {NEW.digest: (second.digest,)}
    assert f"not compared with the data {first.digest[:12]}" in caplog.text
