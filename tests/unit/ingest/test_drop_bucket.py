"""Drops on object storage: what is different there. The server is a real one on this machine."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks import store
from tasks.errors import ConfigurationError, StoreError, TransientError
from tasks.ingest import drop_bucket, drops
from tasks.ingest.config import IngestConfig
from tasks.ingest.drop_address import place_at
from tasks.objects import Objects
from tasks.store import Store
from tasks.values.dataset import RawDataset
from tests.drops import drop_pictures, noise
from tests.s3 import CREDENTIALS, started
from tests.unit.ingest.places import BUCKET, PREFIX, BucketPlace, leave
from tests.unit.ingest.test_drop_places import LOCAL, config, content, find, run, states


@pytest.fixture
def drawer(tmp_path: Path, opened_store: Store) -> Path:
    """Where drops are made before they are sent."""
    return tmp_path / "drawer"


def test_pictures_and_records_from_their_arrival_to_the_third_run(
    bucket: BucketPlace, drawer: Path, noise_dataset: RawDataset
) -> None:
    leave(bucket, drawer, "pictures", noise(30, seed=1), drop_pictures)
    leave(bucket, drawer, "records", noise(40, seed=2))
    leave(bucket, drawer, "blank", noise(20, seed=3), drop_pictures)
    leave(bucket, drawer, "late", noise(20, seed=4))
    bucket.remove("late/_SUCCESS")
    good = {"pictures": "accepted", "records": "accepted"}
    first = run(bucket, noise_dataset, bad=["blank"])
    assert states(first) == {**good, "blank": "quarantined", "late": "waiting"}
    assert [drop.folder for drop in first.having("accepted")] == [
        "s3://team/incoming/drops/pictures",
        "s3://team/incoming/drops/records",
    ]
    bucket.put("late/_SUCCESS", b"")
    assert states(run(bucket, noise_dataset)) == {**good, "late": "accepted"}
    assert states(run(bucket, noise_dataset)) == {**good, "late": "accepted"}
    numbers = {
        name: json.loads(data)["number"] for name, data in content(bucket).items() if name.endswith("receipt.json")
    }
    assert numbers == {"pictures/receipt.json": 1, "records/receipt.json": 2, "late/receipt.json": 3}
    late = drops.read(find(bucket), config(bucket))[2]
    np.testing.assert_array_equal(np.load(store.current().fetch(late.artifact) / "images.npy"), noise(20, seed=4)[0])


class _KilledError(BaseException):
    pass


def kill_before(change: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the run end before the n-th change that it makes to drops; the changes that it came to."""
    made: list[str] = []

    def dying(verb: str, method: Callable[..., None]) -> Callable[..., None]:
        def changed(self: Objects, name: str, *arguments: object) -> None:
            if not name.startswith("_turns/"):
                if len(made) == change:
                    raise _KilledError
                made.append(f"{verb} {name}")
            method(self, name, *arguments)

        return changed

    monkeypatch.setattr(drop_bucket, "NUM_WORKERS", 1)
    for verb in ("write", "copy", "delete"):
        monkeypatch.setattr(Objects, verb, dying(verb, getattr(Objects, verb)))
    return made


CHANGES = [
    "write bad/reason.json",
    "copy bad/_SUCCESS",
    "copy bad/batch.bin",
    "copy bad/more.bin",
    "write _moving/bad.json",
    "copy bad/reason.json",
    "delete bad/_SUCCESS",
    "delete bad/batch.bin",
    "delete bad/more.bin",
    "delete bad/reason.json",
    "delete bad/",
    "delete _moving/bad.json",
]


@pytest.mark.parametrize("change", range(len(CHANGES)))
def test_killed_at_any_point_of_a_move_nothing_is_lost_and_the_next_run_ends_it(
    bucket: BucketPlace, drawer: Path, noise_dataset: RawDataset, monkeypatch: pytest.MonkeyPatch, change: int
) -> None:
    leave(bucket, drawer, "bad", noise(seed=1))
    bucket.put("bad/", b"")  # as the console makes a folder
    bucket.put("bad/more.bin", bytes(3073))
    before = {name: data for name, data in content(bucket).items() if name != "bad/"}
    with monkeypatch.context() as patch:
        made = kill_before(change, patch)
        with pytest.raises(_KilledError):
            run(bucket, noise_dataset, bad=["bad"])
    assert made == CHANGES[:change]
    killed = content(bucket)
    for name, data in before.items():
        assert data in (killed.get(name), killed.get(f"_quarantine/{name}"))

    outcomes = run(bucket, noise_dataset, bad=["bad"])
    # Until the note the drop is there and judged once more; from then on it is a drop no longer.
    assert states(outcomes) == ({"bad": "quarantined"} if change < 5 else {})
    after = content(bucket)
    assert json.loads(after.pop("_quarantine/bad/reason.json"))["digest"]
    assert after == {f"_quarantine/{name}": data for name, data in before.items()}


def test_what_is_left_of_a_drop_on_its_way_is_no_drop(
    bucket: BucketPlace, drawer: Path, noise_dataset: RawDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(bucket, drawer, "bad", noise(seed=1), drop_pictures)
    with monkeypatch.context() as patch:
        kill_before(35, patch)
        with pytest.raises(_KilledError):
            run(bucket, noise_dataset, bad=["bad"])
    left = [name for name in content(bucket) if name.startswith("bad/")]
    assert 0 < len(left) < 21
    arrivals = find(bucket)  # as another run would that has not waited for its turn
    assert arrivals.drops == ()
    assert "on its way to _quarantine" in arrivals.others[0].reason


def test_what_is_written_anew_while_a_move_is_broken_off_stays(
    bucket: BucketPlace, drawer: Path, noise_dataset: RawDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(bucket, drawer, "a", noise(seed=1))
    with monkeypatch.context() as patch:
        kill_before(5, patch)
        with pytest.raises(_KilledError):
            run(bucket, noise_dataset, bad=["a"])
    bucket.put("a/batch.bin", bytes(20 * 3073))  # of the same size
    bucket.put("a/other.bin", bytes(3073))
    bucket.remove("_quarantine/a/_SUCCESS")
    original = content(bucket)["_quarantine/a/batch.bin"]
    assert states(run(bucket, noise_dataset)) == {"a": "accepted"}
    after = content(bucket)
    assert after["a/batch.bin"] == bytes(20 * 3073)
    assert after["a/other.bin"] == bytes(3073)
    assert after["a/_SUCCESS"] == b""  # its copy was gone
    assert after["_quarantine/a/batch.bin"] == original


def test_a_copy_that_differs_deletes_nothing(
    bucket: BucketPlace, drawer: Path, noise_dataset: RawDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(bucket, drawer, "bad", noise(seed=1))
    before = content(bucket)
    copy = Objects.copy

    def overtaken(self: Objects, name: str, target: str) -> None:
        copy(self, name, target)
        if name == "bad/batch.bin":
            bucket.put(name, bytes(20 * 3073))

    monkeypatch.setattr(Objects, "copy", overtaken)
    with pytest.raises(StoreError, match=r"_quarantine/bad/batch\.bin differs"):
        run(bucket, noise_dataset, bad=["bad"])
    after = content(bucket)
    assert after["bad/batch.bin"] == bytes(20 * 3073)
    assert after["_quarantine/bad/batch.bin"] == before["bad/batch.bin"]


def test_nothing_is_written_where_a_person_has_taken_the_drop_away(bucket: BucketPlace) -> None:
    bucket.put("a/", b"")  # which some programs leave behind
    place = place_at(bucket.address)
    with pytest.raises(FileNotFoundError):
        place.quarantine("a")
    with pytest.raises(FileNotFoundError):
        place.write("a", "receipt.json", "{}")
    assert content(bucket) == {"a/": b""}


@pytest.mark.parametrize("name", ["a//b.png", "cat/1.png?versionId=7", "cat/full/"])
def test_a_name_that_no_file_can_have_waits(bucket: BucketPlace, drawer: Path, name: str) -> None:
    leave(bucket, drawer, "a", noise())
    bucket.put(f"a/{name}", b"not empty")
    (other,) = find(bucket).others
    assert other.reason == f"It holds {name!r}, a name that no file can have; rename the object"


def test_what_stands_for_a_folder_is_none_of_its_files(bucket: BucketPlace, drawer: Path) -> None:
    leave(bucket, drawer, "a", noise(10), drop_pictures)
    (before,) = find(bucket).drops
    for name in ("", "a/", "a/cat/", "a/dog/deeper/"):
        bucket.put(name, b"")
    assert find(bucket).drops == (before,)


def test_an_object_that_cannot_be_read_makes_its_drop_wait(bucket: BucketPlace, drawer: Path) -> None:
    leave(bucket, drawer, "a", noise())
    leave(bucket, drawer, "b", noise(seed=3))
    # Archived objects are listed, and refused until somebody restores them.
    body = bucket.files()["a/batch.bin"]
    bucket.client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/a/batch.bin", Body=body, StorageClass="GLACIER")
    arrivals = find(bucket)
    assert [drop.name for drop in arrivals.drops] == ["b"]
    (other,) = arrivals.others
    assert other.reason.startswith("Batch.bin cannot be read: ")


def test_a_bucket_without_drops_is_said_to_be_one(bucket: BucketPlace, caplog: pytest.LogCaptureFixture) -> None:
    assert find(bucket).drops == ()
    assert f"No drop lies in {bucket.address}; a prefix that is misspelt looks the same." in caplog.text


def test_a_bucket_that_is_not_there_is_a_wrong_option(bucket: BucketPlace) -> None:
    missing = IngestConfig(drops="s3://no-such-bucket/drops")
    with pytest.raises(ConfigurationError, match="no-such-bucket/drops', and there is no such bucket"):
        drops.find(LOCAL, missing)
    with pytest.raises(ConfigurationError, match="no such bucket"), drops.turn(missing):
        pass


def test_without_credentials_a_run_says_where_they_come_from(
    bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    with pytest.raises(ConfigurationError, match=r"Unable to locate credentials\).*environment variables"):
        find(bucket)


def test_credentials_without_the_right_to_write_are_named(bucket: BucketPlace) -> None:
    denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    bucket.client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Statement": [denied]}))
    with (
        pytest.raises(StoreError, match=r"Cannot write to .*incoming/drops: .*Give the right"),
        drops.turn(config(bucket)),
    ):
        pass


def test_an_endpoint_that_is_none_is_a_wrong_setting(bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    with pytest.raises(ConfigurationError, match=r"cannot be asked .*Invalid endpoint: nonsense"):
        find(bucket)


def test_a_server_that_goes_away_is_a_trouble_that_passes(
    bucket: BucketPlace, drawer: Path, noise_dataset: RawDataset, monkeypatch: pytest.MonkeyPatch, s3_endpoint: str
) -> None:
    leave(bucket, drawer, "a", noise())
    leave(bucket, drawer, "bad", noise(seed=3))
    server, url = started()  # another door to the same buckets
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    arrivals = find(bucket)
    server.stop()
    with pytest.raises(TransientError, match=r"s3://team/incoming/drops cannot be reached .*run again later"):
        drops.read(arrivals, config(bucket))
    with pytest.raises(TransientError):
        find(bucket)
    with pytest.raises(TransientError), drops.turn(config(bucket)):
        pass
    with pytest.raises(TransientError):
        place_at(bucket.address).quarantine("bad")
    with pytest.raises(TransientError):
        place_at(bucket.address).write("a", "receipt.json", "{}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    assert states(run(bucket, noise_dataset, bad=["bad"])) == {"a": "accepted", "bad": "quarantined"}


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("s3://", "names no bucket"),
        ("S3://bucket//drops", "an empty folder"),
        ("gs://bucket/drops", "needs the package gcsfs: uv pip install gcsfs"),
        ("https://host/drops", "expected a path or a file:// URL of a local folder, or a URL of object storage: s3://"),
    ],
)
def test_what_a_url_cannot_be_is_said_without_the_network(address: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        place_at(address)


def test_a_url_whose_driver_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ConfigurationError, match="needs the package s3fs: uv sync --extra s3"):
        place_at("s3://bucket/drops")
