"""What drops promise, on a local folder and on object storage alike."""

import json
import re
import shutil
import threading
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from tasks import store
from tasks.errors import SourceError
from tasks.ingest import drops, object_turn
from tasks.ingest.config import IngestConfig
from tasks.ingest.drops import Arrivals
from tasks.ingest.settling import settle
from tasks.ingest.sources import Source
from tasks.store import Store
from tasks.values.baselines import Baselines
from tasks.values.dataset import RawDataset
from tasks.values.drops import DropOutcomes
from tests.drops import drop_pictures, drop_table, noise, verdicts_on
from tests.processes import wait_for
from tests.unit.ingest.places import FolderPlace, Place, leave

LOCAL = Source(kind="local", digest="ab" * 32, slug="data", location="/data")


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path, opened_store: Store) -> Place:
    if request.param == "folder":
        return FolderPlace(tmp_path / "drops")
    bucket: Place = request.getfixturevalue("bucket")
    return bucket


@pytest.fixture
def drawer(tmp_path: Path) -> Path:
    """Where drops are made before they are sent."""
    return tmp_path / "drawer"


def config(place: Place, min_age_minutes: float | None = None) -> IngestConfig:
    return IngestConfig(drops=place.address, drop_min_age_minutes=min_age_minutes)


def find(place: Place, min_age_minutes: float | None = None) -> Arrivals:
    return drops.find(LOCAL, config(place, min_age_minutes))


def run(place: Place, base: RawDataset, bad: Sequence[str] = (), *, stop: bool = False) -> DropOutcomes:
    """Have a turn, and find, read and settle, with those drops judged bad."""
    with drops.turn(config(place)):
        arrivals = find(place)
        dataset = base.model_copy(update={"drops": drops.read(arrivals, config(place))})
        verdicts = verdicts_on(dataset.drops, bad)
        return settle(arrivals, dataset, Baselines(), verdicts, "run 1", stop_on_bad=stop)


def states(outcomes: DropOutcomes) -> dict[str, str]:
    return {drop.name: drop.state for drop in outcomes.drops}


def content(place: Place) -> dict[str, bytes]:
    """What lies there, without what belongs to the turn."""
    return {name: data for name, data in place.files().items() if not name.startswith(("_turns/", ".drops."))}


def test_each_format_is_found_and_read_into_the_store(place: Place, drawer: Path) -> None:
    leave(place, drawer, "a", noise(20, seed=1))
    leave(place, drawer, "b", noise(20, seed=2), drop_pictures)
    leave(place, drawer, "c", noise(20, seed=3), drop_table)
    read = drops.read(find(place), config(place))
    assert [(drop.name, drop.num_images, drop.problem) for drop in read] == [(name, 20, None) for name in "abc"]
    for drop, seed in zip(read, (1, 2, 3), strict=True):
        artifact = store.current().fetch(drop.artifact)
        names = json.loads((artifact / "names.json").read_text())
        images, labels = noise(20, seed=seed)
        order = [int(re.findall(r"\d+", name)[-1]) for name in names]
        np.testing.assert_array_equal(np.load(artifact / "images.npy"), images[order])
        np.testing.assert_array_equal(np.load(artifact / "labels.npy"), labels[order])


def test_a_drop_has_the_same_digest_wherever_it_lies(place: Place, drawer: Path) -> None:
    leave(place, drawer, "b", noise(20), drop_pictures)
    place.put("b/.DS_Store", b"of the Finder")
    place.put("b/cat/.thumbnail.png", b"likewise")
    place.put("b/0003.png.tmp", b"left over")
    (found,) = find(place).drops
    files = {path.relative_to(drawer / "b").as_posix(): path for path in drawer.rglob("*.png")}
    lines = (f"{name}\0{sha256(files[name].read_bytes()).hexdigest()}\n" for name in sorted(files))
    assert found.digest == sha256("".join(lines).encode()).hexdigest()


def test_without_a_marker_a_drop_waits(place: Place, drawer: Path) -> None:
    leave(place, drawer, "a", noise())
    place.remove("a/_SUCCESS")
    arrivals = find(place)
    assert arrivals.drops == ()
    assert [(drop.name, drop.state, drop.folder) for drop in arrivals.others] == [
        ("a", "waiting", f"{place.address}/a")
    ]
    assert "no _SUCCESS" in arrivals.others[0].reason


def test_without_a_marker_its_newest_file_says_whether_a_drop_is_complete(place: Place, drawer: Path) -> None:
    leave(place, drawer, "a", noise())
    place.remove("a/_SUCCESS")
    assert "changed 0 minutes ago" in find(place, min_age_minutes=10).others[0].reason
    assert [found.name for found in find(place, min_age_minutes=1e-9).drops] == ["a"]
    place.put("a/next.bin.part", b"")
    assert "next.bin.part is still being written" in find(place, min_age_minutes=1e-9).others[0].reason


def test_what_is_no_drop_is_named(place: Place, drawer: Path) -> None:
    leave(place, drawer, "a", noise())
    for name in ("loose.png", ".hidden/x.bin", "_mine/x.bin", "b/images/\u202egnp.bin", "b/_SUCCESS"):
        place.put(name, b"")
    arrivals = find(place)
    assert [drop.name for drop in arrivals.drops] == ["a"]
    assert {drop.name: drop.reason.partition(";")[0] for drop in arrivals.others} == {
        "b": r"It holds '\u202egnp.bin', a name that is no plain text"
        if isinstance(place, FolderPlace)
        else r"It holds 'images/\u202egnp.bin', a name that is no plain text",
        "loose.png": "It is no folder",
    }


def test_a_name_that_is_no_plain_text_waits(place: Place, drawer: Path) -> None:
    leave(place, drawer, "a\u200bb", noise())
    (other,) = find(place).others
    assert (other.name, other.state) == (r"'a\u200bb'", "waiting")


def test_a_drop_that_changes_between_finding_and_reading_stops_the_run(place: Place, drawer: Path) -> None:
    leave(place, drawer, "a", noise())
    leave(place, drawer, "b", noise(seed=3), drop_pictures)
    arrivals = find(place)
    before = place.files()
    for name, data in {"a/more.bin": before["a/batch.bin"], "a/batch.bin": bytes(20 * 3073)}.items():
        place.put(name, data)
        with pytest.raises(SourceError, match="has changed since the run began"):
            drops.read(arrivals, config(place))
        place.remove(name)
    place.put("a/batch.bin", before["a/batch.bin"])
    place.remove("b/cat/0003.png")
    with pytest.raises(SourceError, match="has changed since the run began"):
        drops.read(arrivals, config(place))


def test_a_good_drop_stays_where_it_is_and_gets_a_receipt(
    place: Place, drawer: Path, noise_dataset: RawDataset
) -> None:
    leave(place, drawer, "a", noise())
    before = content(place)
    (accepted,) = run(place, noise_dataset).drops
    assert (accepted.state, accepted.folder, accepted.total) == ("accepted", f"{place.address}/a", 20)
    after = content(place)
    assert json.loads(after.pop("a/receipt.json"))["digest"] == accepted.digest
    assert after == before


def test_taken_drops_keep_their_order_and_their_cache_key(
    place: Place, drawer: Path, noise_dataset: RawDataset
) -> None:
    leave(place, drawer, "m", noise(seed=1))
    leave(place, drawer, "n", noise(seed=2))
    new = find(place).model_dump()
    run(place, noise_dataset)
    assert find(place).model_dump() == new
    leave(place, drawer, "a", noise(seed=3))
    assert [drop.name for drop in find(place).drops] == ["m", "n", "a"]


def test_a_taken_drop_is_not_read_again_unless_the_store_has_lost_it(
    place: Place, drawer: Path, noise_dataset: RawDataset
) -> None:
    leave(place, drawer, "a", noise())
    run(place, noise_dataset)
    original = place.files()["a/batch.bin"]
    place.put("a/batch.bin", bytes(20 * 3073))  # of the same size
    (drop,) = drops.read(find(place), config(place))
    artifact = store.current().fetch(drop.artifact)
    np.testing.assert_array_equal(np.load(artifact / "images.npy"), noise()[0])
    shutil.rmtree(artifact)
    with pytest.raises(SourceError, match="is not what it was when it was taken"):
        drops.read(find(place), config(place))
    place.put("a/batch.bin", original)
    assert drops.read(find(place), config(place)) == (drop,)


def test_files_added_to_a_taken_drop_are_told_of_and_not_used(
    place: Place, drawer: Path, noise_dataset: RawDataset
) -> None:
    leave(place, drawer, "a", noise())
    run(place, noise_dataset)
    place.put("a/more.bin", bytes(3073))
    (outcome,) = run(place, noise_dataset).drops
    assert outcome.state == "accepted"
    assert "altered after it was taken" in outcome.reason


def test_the_same_content_is_not_taken_twice(place: Place, drawer: Path, noise_dataset: RawDataset) -> None:
    leave(place, drawer, "m", noise())
    run(place, noise_dataset)
    leave(place, drawer, "a", noise())  # by name before the one that was taken
    assert states(run(place, noise_dataset)) == {"m": "accepted", "a": "repeated"}
    reason = json.loads(place.files()["_quarantine/a/reason.json"])["reason"]
    assert "same content as the drop m" in reason
    assert states(run(place, noise_dataset)) == {"m": "accepted"}


def test_a_bad_drop_is_moved_aside_whole_with_its_reason(place: Place, drawer: Path, noise_dataset: RawDataset) -> None:
    leave(place, drawer, "good", noise(seed=1))
    leave(place, drawer, "bad", noise(seed=2), drop_pictures)
    place.put("bad/.hidden/file", b"goes with it")
    place.put("bad/odd [1] * ?.txt", b"likewise")
    before = content(place)
    outcomes = run(place, noise_dataset, bad=["bad"])
    assert states(outcomes) == {"bad": "quarantined", "good": "accepted"}
    assert outcomes.drops[0].folder == f"{place.address}/_quarantine/bad"
    after = content(place)
    reason = json.loads(after.pop("_quarantine/bad/reason.json"))
    after.pop("good/receipt.json")
    assert after == {f"_quarantine/{name}" if name.startswith("bad/") else name: data for name, data in before.items()}
    assert reason["reason"] == "blank images: 2 of 20 images, expected contrast."
    assert reason["run_id"] == "run 1"


def test_bad_drops_of_one_name_lie_side_by_side(place: Place, drawer: Path, noise_dataset: RawDataset) -> None:
    for seed in (1, 2, 2):
        shutil.rmtree(drawer, ignore_errors=True)
        leave(place, drawer, "monday", noise(seed=seed))
        run(place, noise_dataset, bad=["monday"])
    folders = {name.rpartition("/")[0] for name in content(place)}
    assert folders == {"_quarantine/monday", "_quarantine/monday.2", "_quarantine/monday.3"}


def test_a_mended_drop_is_taken_after_it_was_moved_back(place: Place, drawer: Path, noise_dataset: RawDataset) -> None:
    leave(place, drawer, "a", noise())
    run(place, noise_dataset, bad=["a"])
    for name, data in content(place).items():
        place.put(name.removeprefix("_quarantine/"), data)
        place.remove(name)
    assert states(run(place, noise_dataset)) == {"a": "accepted"}


def test_a_run_that_is_to_stop_touches_nothing(place: Place, drawer: Path, noise_dataset: RawDataset) -> None:
    leave(place, drawer, "good", noise(seed=1))
    leave(place, drawer, "bad", noise(seed=2))
    before = content(place)
    outcomes = run(place, noise_dataset, bad=["bad"], stop=True)
    assert states(outcomes) == {"bad": "refused", "good": "accepted"}
    assert content(place) == before


def test_a_drop_that_was_taken_and_is_bad_now_is_left_out_and_stays(
    place: Place, drawer: Path, noise_dataset: RawDataset
) -> None:
    leave(place, drawer, "a", noise())
    run(place, noise_dataset)
    before = content(place)
    assert states(run(place, noise_dataset, bad=["a"])) == {"a": "withheld"}
    assert content(place) == before


def test_a_second_run_waits_for_the_first(
    place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_turn, "POLL_SECONDS", 0.05)
    entered: list[str] = []

    def second() -> None:
        with drops.turn(config(place)):
            entered.append("second")

    thread = threading.Thread(target=second)
    with drops.turn(config(place)):
        thread.start()
        wait_for(lambda: "at work" in caplog.text, lambda: thread.is_alive())
        entered.append("first")
    thread.join()
    assert entered == ["first", "second"]
    assert "Another run is at work on the drops folder: process" in caplog.text
    assert find(place).others == ()  # what the turn leaves is no drop
