"""A store in a bucket: the same is found, kept and removed as in a folder."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from tasks import inventory_bucket, machine, retention, store
from tasks.errors import ConfigurationError, StoreError
from tasks.inventory import FolderInventory, Item
from tasks.inventory_bucket import BucketInventory
from tasks.ledger import open_ledger
from tasks.machine import Machine
from tasks.objects import Objects
from tasks.remote_store import RemoteStore
from tasks.retention import RetentionConfig
from tasks.store import Reference
from tasks.verification import verify
from tests import s3
from tests.promotions import NAME
from tests.unit.test_retention import FEW, age, leave_bundle, leave_result, leave_run, publish

BUCKET = "stores"
URL = f"s3://{BUCKET}/team"


class Bucket:
    """A bucket that holds a store."""

    def __init__(self, endpoint: str) -> None:
        self._client: Any = boto3.client("s3", endpoint_url=endpoint)
        self._client.create_bucket(Bucket=BUCKET)

    def upload(self, folder: Path) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                key = f"team/{path.relative_to(folder).as_posix()}"
                self._client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())

    def names(self) -> list[str]:
        found = self._client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return [item["Key"].removeprefix("team/") for item in found]

    def write_again(self, name: str) -> None:
        body = self._client.get_object(Bucket=BUCKET, Key=f"team/{name}")["Body"].read()
        self._client.put_object(Bucket=BUCKET, Key=f"team/{name}", Body=body)

    def destroy(self) -> None:
        for name in self.names():
            self._client.delete_object(Bucket=BUCKET, Key=f"team/{name}")
        self._client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def bucket(s3_endpoint: str, s3_environment: None) -> Iterator[Bucket]:
    made = Bucket(s3_endpoint)
    yield made
    made.destroy()


@pytest.fixture
def folder(promoted_store: Path, tmp_path: Path) -> Iterator[Path]:
    """A store with something of each kind, and ledger and registry of its own."""
    copied = Path(shutil.copytree(promoted_store, tmp_path / "store"))
    with machine.use(Machine(store=copied)):
        opened = store.current()
        gone, sample = publish(opened, a_npy="gone", b_json="{}"), publish(opened, a_npy="a sample")
        leave_result(opened, "1" * 64, gone)
        leave_run(opened, "run-1")
        leave_run(opened, "run-2")
        for version in (1, 4):
            leave_bundle(opened, version)
        scores = opened.folder("predictions", NAME, "ab" * 8) / "score.json"
        scores.write_text(f'{{"sample": "{sample.digest}"}}')
        (opened.folder("checkpoints", "c" * 64) / "state").write_bytes(b"state")
        (opened.folder("decisions", NAME) / "a.json").write_text("{}")
        age(copied, 365)
        yield copied


def seen(item: Item) -> tuple[str, str, int]:
    return item.kind, item.name, item.size_bytes


def test_it_is_pruned_as_a_folder_is(folder: Path, bucket: Bucket) -> None:
    bucket.upload(folder)
    s3.age(BUCKET, 365)
    there, here = BucketInventory(Objects(URL)), FolderInventory(store.current())
    assert sorted(map(seen, there.items())) == sorted(map(seen, here.items()))
    assert there.models() == here.models() == [NAME]
    found, expected = retention.plan(there, FEW), retention.plan(here, FEW)
    assert {seen(item): why for item, why in found.kept.items() if item.kind != "runs"} == {
        seen(item): why for item, why in expected.kept.items() if item.kind != "runs"
    }
    doomed = {seen(item)[:2] for item, _ in found.doomed}
    assert {kind for kind, _ in doomed} == {"results", "artifacts", "bundles", "runs", "leftovers"}
    removed = retention.remove(there, found)
    assert {seen(item)[:2] for item in removed} == doomed
    retention.remove(here, expected)
    left = {name for name in bucket.names() if not name.startswith("runs/")}
    assert left == {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in ("runs", "locks")
    } | {name for name in left if name.startswith("locks/")}
    assert retention.plan(BucketInventory(Objects(URL)), FEW).doomed == []


def test_what_is_used_meanwhile_stays(folder: Path, bucket: Bucket) -> None:
    bucket.upload(folder)
    s3.age(BUCKET, 365)
    there = BucketInventory(Objects(URL))
    found = retention.plan(there, FEW)
    [artifact] = [item for item, _ in found.doomed if item.kind == "artifacts"]
    # As a store in a bucket notes a use.
    bucket.write_again(f"artifacts/{artifact.name[:2]}/{artifact.name}/manifest.json")
    assert artifact not in retention.remove(there, found)
    assert len([name for name in bucket.names() if artifact.name in name]) == 3


def test_what_says_that_the_rest_is_whole_goes_first(folder: Path, bucket: Bucket) -> None:
    bucket.upload(folder)
    s3.age(BUCKET, 365)
    there = BucketInventory(Objects(URL))
    found = retention.plan(there, FEW)
    [artifact] = [item for item, _ in found.doomed if item.kind == "artifacts"]
    Objects(URL).delete(f"artifacts/{artifact.name[:2]}/{artifact.name}/manifest.json")  # and killed
    again = BucketInventory(Objects(URL))
    rest = retention.plan(again, FEW)
    assert artifact.name in {item.name for item, _ in rest.doomed}
    retention.remove(again, rest)
    assert not [name for name in bucket.names() if artifact.name in name]


def test_nothing_is_old_in_a_bucket_that_was_just_filled(folder: Path, bucket: Bucket) -> None:
    bucket.upload(folder)
    there = BucketInventory(Objects(URL))
    plan = retention.plan(there, RetentionConfig())
    assert plan.doomed == []


def test_a_store_in_a_bucket_is_pruned_and_what_any_machine_uses_stays(
    folder: Path, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.upload(folder)
    first, second = RemoteStore(URL, tmp_path / "first"), RemoteStore(URL, tmp_path / "second")
    used, unused = publish(first, a_npy="used"), publish(first, a_npy="unused")
    second.fetch(used)
    for machine_of_its_own in (first, second):
        age(machine_of_its_own.root, 365)
    s3.age(BUCKET, 365)
    second.fetch(used)
    settings = Machine(store=tmp_path / "third", bucket=URL, tracking_uri=f"sqlite:///{folder}/mlflow.db")
    with machine.use(settings):
        told = retention.prune(FEW, apply=False, waiting=pytest.fail)
        assert (told.place, told.applied) == (URL, False)
        found = retention.prune(FEW, apply=True, waiting=pytest.fail)
        assert found.removed == told.removed > 0
        assert verify(NAME, open_ledger(NAME)).faults == ()
    assert there(bucket, used)
    assert not there(bucket, unused)
    # What one machine has a copy of is sent anew once it is used: what is made of it may be kept for good.
    assert (first.fetch(unused) / "a.npy").read_text() == "unused"
    assert (RemoteStore(URL, tmp_path / "fourth").fetch(unused) / "a.npy").read_text() == "unused"


def there(bucket: Bucket, artifact: Reference) -> bool:
    return any(artifact.digest in name for name in bucket.names())


@pytest.mark.parametrize("late", [False, True])
def test_what_is_sent_anew_while_it_is_removed_stays(
    folder: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """A machine with a copy notes a use between the removal of the manifest and that of the rest: at once, or while the
    removal waits for such machines."""
    bucket.upload(folder)
    s3.age(BUCKET, 365)
    inventory = BucketInventory(Objects(URL))
    found = retention.plan(inventory, FEW)
    [artifact] = [item for item, _ in found.doomed if item.kind == "artifacts"]
    prefix = f"artifacts/{artifact.name[:2]}/{artifact.name}"
    names = {name for name in bucket.names() if name.startswith(prefix)}
    manifest, delete = f"{prefix}/manifest.json", Objects.delete

    def send_anew() -> None:
        Objects(URL).write(manifest, (folder / manifest).read_bytes())

    def deleted(self: Objects, name: str) -> None:
        delete(self, name)
        if name == manifest and not late:
            send_anew()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if late and manifest not in bucket.names():
            send_anew()

    waits: list[float] = []
    monkeypatch.setattr(Objects, "delete", deleted)
    monkeypatch.setattr(inventory_bucket, "time", SimpleNamespace(time=time.time, sleep=wait))
    assert artifact not in retention.remove(inventory, found)
    assert set(waits) == {inventory_bucket.SETTLE_SECONDS}
    assert {name for name in bucket.names() if name.startswith(prefix)} == names


def test_a_bucket_without_a_store_is_said(bucket: Bucket, tmp_path: Path) -> None:
    with machine.use(Machine(store=tmp_path, bucket=URL)), pytest.raises(ConfigurationError, match="no store in s3://"):
        retention.prune(FEW, apply=True, waiting=pytest.fail)
    with machine.use(Machine(store=tmp_path, bucket="s3://nobody/x")), pytest.raises(StoreError, match="s3://nobody"):
        retention.prune(FEW, apply=True, waiting=pytest.fail)
