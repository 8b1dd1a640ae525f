"""Finding drops, reading them into the store, and what becomes of them: also where a run was killed on the way."""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from cnn_model.class_names import CLASS_NAMES
from tasks import store
from tasks.errors import ConfigurationError, SourceError
from tasks.ingest import drops
from tasks.ingest.config import IngestConfig
from tasks.ingest.drop_folder import DropFolder
from tasks.ingest.drops import Arrivals
from tasks.ingest.settling import settle
from tasks.ingest.sources import Source
from tasks.store import Store
from tasks.values.baselines import Baselines
from tasks.values.dataset import RawDataset
from tasks.values.drops import DropOutcomes
from tests.drops import drop_pictures, drop_records, drop_table, noise, verdicts_on
from tests.processes import wait_for

LOCAL = Source(kind="local", digest="ab" * 32, slug="data", location="/data")


@pytest.fixture
def folder(tmp_path: Path, opened_store: Store) -> Path:
    place = tmp_path / "drops"
    place.mkdir()
    return place


BASE_ALONE = Baselines()


def find(folder: Path, min_age_minutes: float | None = None) -> Arrivals:
    return drops.find(LOCAL, IngestConfig(drops=str(folder), drop_min_age_minutes=min_age_minutes))


def states(outcomes: DropOutcomes) -> dict[str, str]:
    return {drop.name: drop.state for drop in outcomes.drops}


def run(
    folder: Path,
    base: RawDataset,
    bad: Sequence[str] = (),
    *,
    stop: bool = False,
    compared: Baselines = BASE_ALONE,
) -> DropOutcomes:
    """Find, read and settle, with those drops judged bad."""
    arrivals = find(folder)
    dataset = base.model_copy(update={"drops": drops.read(arrivals, IngestConfig(drops=str(folder)))})
    verdicts = verdicts_on(dataset.drops, bad)
    return settle(arrivals, dataset, compared, verdicts, "run 1", stop_on_bad=stop)


def test_each_format_is_found_and_read_into_the_store(folder: Path) -> None:
    for name, make in {"a": drop_records, "b": drop_pictures, "c": drop_table}.items():
        make(folder / name, noise(20, seed=ord(name)))
    read = drops.read(find(folder), IngestConfig(drops=str(folder)))
    assert [(drop.name, drop.num_images, drop.problem) for drop in read] == [(name, 20, None) for name in "abc"]
    artifact = store.current().fetch(read[0].artifact)
    np.testing.assert_array_equal(np.load(artifact / "images.npy"), noise(20, seed=ord("a"))[0])
    np.testing.assert_array_equal(np.load(artifact / "labels.npy"), np.arange(20) % 10)
    assert json.loads((artifact / "names.json").read_text())[:2] == ["batch.bin#0", "batch.bin#1"]


def test_the_same_files_give_the_artifact_that_they_gave_when_the_format_was_numbered(folder: Path) -> None:
    ramp = np.arange(10 * 48 * 40 * 3, dtype=np.uint32).reshape(10, 48, 40, 3)
    drop_pictures(folder / "a", ((ramp % 251).astype(np.uint8), np.arange(10, dtype=np.uint8)))
    (drop,) = drops.read(find(folder), IngestConfig(drops=str(folder)))
    assert drop.artifact.digest == "dfe4bd8c19271fabce75426728f659a3ced6558b2a970436cde8aec1e03f7faf", (
        "raise drop_formats.FORMAT if this is meant to change"
    )


def test_a_drop_is_known_by_its_content_alone(folder: Path) -> None:
    drop_records(folder / "a", noise())
    drop_records(folder / "b", noise(seed=7))
    before = {drop.name: drop.digest for drop in find(folder).drops}
    os.utime(folder / "a" / "batch.bin", (1, 1))
    (folder / "a" / ".DS_Store").write_bytes(b"of the Finder")
    (folder / "a" / "batch.bin.tmp").write_bytes(b"left over")
    (folder / "a").rename(folder / "c")
    after = {drop.name: drop.digest for drop in find(folder).drops}
    assert after == {"c": before["a"], "b": before["b"]}
    assert before["a"] != before["b"]


def test_without_a_marker_a_drop_waits(folder: Path) -> None:
    (drop_records(folder / "a", noise()) / "_SUCCESS").unlink()
    arrivals = find(folder)
    assert arrivals.drops == ()
    assert [(drop.name, drop.state) for drop in arrivals.others] == [("a", "waiting")]
    assert "no _SUCCESS" in arrivals.others[0].reason


def test_without_a_marker_a_drop_is_taken_once_it_was_quiet_for_long_enough(folder: Path) -> None:
    drop = drop_records(folder / "a", noise())
    (drop / "_SUCCESS").unlink()
    assert "changed 0 minutes ago" in find(folder, min_age_minutes=10).others[0].reason
    long_ago = time.time() - 3600
    for path in (drop / "batch.bin", drop):
        os.utime(path, (long_ago, long_ago))
    assert [found.name for found in find(folder, min_age_minutes=10).drops] == ["a"]
    (drop / "next.bin.part").touch()
    os.utime(drop / "next.bin.part", (long_ago, long_ago))
    os.utime(drop, (long_ago, long_ago))
    assert "next.bin.part is still being written" in find(folder, min_age_minutes=10).others[0].reason


def test_what_is_no_drop_is_named_and_nothing_is_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "loose.png").touch()
    (folder / ".hidden").mkdir()
    (folder / "_mine").mkdir()
    secret = drop_records(tmp_path / "elsewhere", noise())
    (folder / "link").symlink_to(secret)
    (drop_records(folder / "with link", noise(seed=3)) / "more.bin").symlink_to(secret / "batch.bin")
    reasons = {drop.name: drop.reason for drop in find(folder).others}
    assert find(folder).drops == ()
    assert reasons == {
        "link": "It is no folder; put it into a folder of its own",
        "loose.png": "It is no folder; put it into a folder of its own",
        "with link": "It holds more.bin, a link or a device; put the file itself there",
    }


def test_a_name_that_is_no_text_waits(folder: Path) -> None:
    drop_records(folder / "a", noise())
    os.rename(os.fsencode(folder / "a"), os.fsencode(folder) + b"/\xff")
    (other,) = find(folder).others
    assert (other.name, other.state) == ("'\\udcff'", "waiting")


def test_a_drop_that_changes_between_finding_and_reading_stops_the_run(folder: Path) -> None:
    drop = drop_records(folder / "a", noise())
    arrivals = find(folder)
    (drop / "more.bin").write_bytes((drop / "batch.bin").read_bytes())
    with pytest.raises(SourceError, match="has changed since the run began"):
        drops.read(arrivals, IngestConfig(drops=str(folder)))


def test_a_drop_that_cannot_be_read_as_a_whole_is_a_drop_with_a_problem(folder: Path) -> None:
    (folder / "a" / "kitten").mkdir(parents=True)
    shutil.copy(drop_pictures(folder / "b", noise(1)) / "airplane" / "0000.png", folder / "a" / "kitten")
    (folder / "a" / "_SUCCESS").touch()
    bad, good = drops.read(find(folder), IngestConfig(drops=str(folder)))
    assert bad.num_images == 0
    assert bad.problem is not None
    assert "'kitten', which is no class" in bad.problem
    assert good.problem is None


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("ftp://host/drops", "expected a path or a file:// URL"),
        ("/no/such", "no folder"),
        ("file://data/drops", "three slashes"),
    ],
)
def test_a_folder_that_is_none_is_refused(address: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        drops.find(LOCAL, IngestConfig(drops=address))


def test_a_good_drop_stays_where_it_is_and_gets_a_receipt(folder: Path, noise_dataset: RawDataset) -> None:
    drop_records(folder / "a", noise())
    (accepted,) = run(folder, noise_dataset).drops
    assert (accepted.state, accepted.folder, accepted.total) == ("accepted", str(folder / "a"), 20)
    assert json.loads((folder / "a" / "receipt.json").read_text())["digest"] == accepted.digest


def test_taken_drops_keep_their_order_and_their_cache_key(folder: Path, noise_dataset: RawDataset) -> None:
    drop_records(folder / "m", noise(seed=1))
    drop_records(folder / "n", noise(seed=2))
    new = find(folder).model_dump()
    run(folder, noise_dataset)
    assert find(folder).model_dump() == new
    drop_records(folder / "a", noise(seed=3))
    assert [drop.name for drop in find(folder).drops] == ["m", "n", "a"]


def test_a_taken_drop_is_not_read_again(folder: Path, noise_dataset: RawDataset) -> None:
    drop_records(folder / "a", noise())
    run(folder, noise_dataset)
    (folder / "a" / "batch.bin").write_bytes(bytes(20 * 3073))  # of the same size
    (drop,) = drops.read(find(folder), IngestConfig(drops=str(folder)))
    np.testing.assert_array_equal(np.load(store.current().fetch(drop.artifact) / "images.npy"), noise()[0])


def test_a_taken_drop_that_the_store_has_lost_is_read_again(folder: Path, noise_dataset: RawDataset) -> None:
    drop_records(folder / "a", noise())
    run(folder, noise_dataset)
    (known,) = drops.read(find(folder), IngestConfig(drops=str(folder)))
    shutil.rmtree(store.current().fetch(known.artifact))
    run(folder, noise_dataset)
    (found,) = find(folder).drops
    assert (found.number, found.known) == (1, known)
    shutil.rmtree(store.current().fetch(known.artifact))
    (folder / "a" / "batch.bin").write_bytes(bytes(20 * 3073))
    with pytest.raises(SourceError, match="is not what it was when it was taken"):
        drops.read(find(folder), IngestConfig(drops=str(folder)))


def test_files_added_to_a_taken_drop_are_told_of_and_not_used(folder: Path, noise_dataset: RawDataset) -> None:
    drop = drop_records(folder / "a", noise())
    run(folder, noise_dataset)
    (drop / "more.bin").write_bytes((drop / "batch.bin").read_bytes())
    (outcome,) = run(folder, noise_dataset).drops
    assert outcome.state == "accepted"
    assert "altered after it was taken" in outcome.reason


def test_a_taken_drop_stays_in_the_dataset_whatever_becomes_of_its_files(
    folder: Path, noise_dataset: RawDataset
) -> None:
    drop = drop_records(folder / "a", noise())
    run(folder, noise_dataset)
    before = find(folder).model_dump()
    (drop / "_SUCCESS").unlink()
    assert find(folder).model_dump() == before
    (drop / "batch.bin").rename(folder.parent / "batch.bin")
    (drop / "batch.bin").symlink_to(folder.parent / "batch.bin")
    assert find(folder).model_dump() == before
    (known,) = drops.read(find(folder), IngestConfig(drops=str(folder)))
    shutil.rmtree(store.current().fetch(known.artifact))
    with pytest.raises(SourceError, match=r"was taken, the store has lost it, and it holds batch.bin, a link"):
        find(folder)


def test_a_receipt_keeps_what_the_drop_was_compared_with(folder: Path, noise_dataset: RawDataset) -> None:
    drop_records(folder / "a", noise())
    (new,) = find(folder).drops
    compared = Baselines(of_drop={new.digest: ("e" * 64,)})
    assert new.baselines is None
    run(folder, noise_dataset, compared=compared)
    assert find(folder).drops[0].baselines == ("e" * 64,)
    drop_records(folder / "b", noise(seed=7))
    run(folder, noise_dataset)
    assert [drop.baselines for drop in find(folder).drops] == [("e" * 64,), ()]


def test_a_receipt_that_nobody_can_read_makes_a_drop_new(folder: Path, noise_dataset: RawDataset) -> None:
    drop = drop_records(folder / "a", noise())
    run(folder, noise_dataset)
    (drop / "receipt.json").write_text("{")
    (found,) = find(folder).drops
    assert (found.number, found.known) == (None, None)
    run(folder, noise_dataset)
    assert find(folder).drops[0].number == 1


def test_the_same_content_is_not_taken_twice(folder: Path, noise_dataset: RawDataset) -> None:
    drop_records(folder / "m", noise())
    run(folder, noise_dataset)
    drop_records(folder / "a", noise())  # by name before the one that was taken
    outcomes = run(folder, noise_dataset)
    assert states(outcomes) == {"m": "accepted", "a": "repeated"}
    assert (
        "same content as the drop m" in json.loads((folder / "_quarantine" / "a" / "reason.json").read_text())["reason"]
    )
    assert states(run(folder, noise_dataset)) == {"m": "accepted"}


def test_a_bad_drop_is_moved_aside_whole_with_its_reason(folder: Path, noise_dataset: RawDataset) -> None:
    drop_records(folder / "good", noise(seed=1))
    content = (drop_records(folder / "bad", noise(seed=2)) / "batch.bin").read_bytes()
    outcomes = run(folder, noise_dataset, bad=["bad"])
    assert states(outcomes) == {"bad": "quarantined", "good": "accepted"}
    place = folder / "_quarantine" / "bad"
    assert outcomes.drops[0].folder == str(place)
    assert not (folder / "bad").exists()
    assert (place / "batch.bin").read_bytes() == content
    reason = json.loads((place / "reason.json").read_text())
    assert reason["reason"] == "blank images: 2 of 20 images, expected contrast."
    assert reason["checks"][0]["files"] == ["cat/1.png"]
    assert reason["run_id"] == "run 1"


def test_bad_drops_of_one_name_lie_side_by_side(folder: Path, noise_dataset: RawDataset) -> None:
    for seed in (1, 2, 3):
        drop_records(folder / "monday", noise(seed=seed))
        run(folder, noise_dataset, bad=["monday"])
    assert sorted(path.name for path in (folder / "_quarantine").iterdir()) == ["monday", "monday.2", "monday.3"]


def test_a_run_that_is_to_stop_touches_nothing(folder: Path, noise_dataset: RawDataset) -> None:
    drop_records(folder / "good", noise(seed=1))
    drop_records(folder / "bad", noise(seed=2))
    outcomes = run(folder, noise_dataset, bad=["bad"], stop=True)
    assert states(outcomes) == {"bad": "refused", "good": "accepted"}
    assert sorted(path.name for path in folder.rglob("*")) == ["_SUCCESS"] * 2 + [
        "bad",
        "batch.bin",
        "batch.bin",
        "good",
    ]


def test_a_drop_that_was_taken_and_is_bad_now_is_left_out_and_stays(folder: Path, noise_dataset: RawDataset) -> None:
    drop_records(folder / "a", noise())
    run(folder, noise_dataset)
    assert states(run(folder, noise_dataset, bad=["a"])) == {"a": "withheld"}
    assert states(run(folder, noise_dataset)) == {"a": "accepted"}


class _KilledError(BaseException):
    pass


@pytest.mark.parametrize("call", range(7))
def test_killed_at_any_point_the_next_run_ends_as_if_nothing_had_been(
    folder: Path, noise_dataset: RawDataset, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """Two good drops, a bad one and a repeated one; the run ends before the n-th change that it makes to the folder."""
    drop_records(folder / "bad", noise(seed=1))
    drop_records(folder / "good 1", noise(seed=2))
    drop_records(folder / "good 2", noise(seed=3))
    drop_records(folder / "repeat", noise(seed=3))
    calls = 0

    def dying(change: Callable[..., None]) -> Callable[..., None]:
        def changed(*arguments: object) -> None:
            nonlocal calls
            if str(folder) in str(arguments[0]):
                calls += 1
                if calls > call:
                    raise _KilledError
            change(*arguments)

        return changed

    with monkeypatch.context() as patch, pytest.raises(_KilledError) if call < 6 else nullcontext():
        patch.setattr(os, "replace", dying(os.replace))
        patch.setattr(os, "rename", dying(os.rename))
        run(folder, noise_dataset, bad=["bad"])
    assert calls == min(call + 1, 6), "a run makes six changes: two receipts, two reasons, two moves"
    run(folder, noise_dataset, bad=["bad"])
    assert states(run(folder, noise_dataset)) == {"good 1": "accepted", "good 2": "accepted"}
    places = ("good 1", "good 2", "_quarantine/bad", "_quarantine/repeat")
    seeds = (2, 3, 1, 3)
    for place, seed in zip(places, seeds, strict=True):
        expected = drop_records(folder.parent / f"expected {place.replace('/', ' ')}", noise(seed=seed))
        assert (folder / place / "batch.bin").read_bytes() == (expected / "batch.bin").read_bytes()
    assert len(list(folder.rglob("batch.bin"))) == 4
    assert len(list(folder.rglob("receipt.json"))) == len(list(folder.rglob("reason.json"))) == 2


def test_a_second_run_waits_for_the_first(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = IngestConfig(drops=str(folder))
    entered: list[str] = []

    def second() -> None:
        with drops.turn(config):
            entered.append("second")

    thread = threading.Thread(target=second)
    with drops.turn(config):
        thread.start()
        wait_for(lambda: caplog.text or None, lambda: thread.is_alive())
        entered.append("first")
    thread.join()
    assert entered == ["first", "second"]
    assert "Another run is at work on the drops folder: process" in caplog.text
    assert find(folder).others == ()  # what the turn leaves is no drop


def test_labels_follow_the_names_of_the_source(folder: Path) -> None:
    drop_pictures(folder / "a", noise(10))
    assert find(folder).class_names == CLASS_NAMES
    assert DropFolder(str(folder)).entries() == ["a"]
