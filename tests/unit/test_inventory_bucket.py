"""A store in a bucket: the same is found, kept and removed as in a folder."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from tasks import machine, retention, store
from tasks.inventory import FolderInventory, Item
from tasks.inventory_bucket import BucketInventory
from tasks.machine import Machine
from tasks.objects import Objects
from tasks.retention import RetentionConfig
from tests.promotions import NAME
from tests.unit.test_retention import FEW, age, leave_bundle, leave_result, leave_run, publish

BUCKET = "stores"
URL = f"s3://{BUCKET}/team"
YEAR = timedelta(days=365)


class Bucket:
    """A bucket whose objects can be made old, which no client can do."""

    def __init__(self, endpoint: str) -> None:
        self._client: Any = boto3.client("s3", endpoint_url=endpoint)
        self._client.create_bucket(Bucket=BUCKET)

    def upload(self, folder: Path) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                key = f"team/{path.relative_to(folder).as_posix()}"
                self._client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())

    def age(self) -> None:
        from moto.s3.models import s3_backends

        for account in s3_backends.values():
            for region in account.values():
                if BUCKET in region.buckets:
                    for _, key in region.buckets[BUCKET].keys.items():
                        key.last_modified = datetime.now(UTC) - YEAR

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
    bucket.age()
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
    bucket.age()
    there = BucketInventory(Objects(URL))
    found = retention.plan(there, FEW)
    [artifact] = [item for item, _ in found.doomed if item.kind == "artifacts"]
    # As a store in a bucket notes a use.
    bucket.write_again(f"artifacts/{artifact.name[:2]}/{artifact.name}/manifest.json")
    assert artifact not in retention.remove(there, found)
    assert len([name for name in bucket.names() if artifact.name in name]) == 3


def test_what_says_that_the_rest_is_whole_goes_first(folder: Path, bucket: Bucket) -> None:
    bucket.upload(folder)
    bucket.age()
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
