"""The store in a bucket of a real S3 server on this machine, seen from two machines: two caches."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from tasks import ledger, machine, remote_store, shared_prefix, store
from tasks.errors import ConfigurationError, StoreError, TransientError
from tasks.machine import Machine, from_environment
from tasks.remote_store import RemoteStore
from tasks.store import Reference
from tests import s3
from tests.processes import wait_for
from tests.s3 import started
from tests.unit.ingest.places import BucketPlace
from tests.unit.test_store import publish

if TYPE_CHECKING:
    from moto.server import ThreadedMotoServer

URL = "s3://team/incoming/drops/store"
"""Below the prefix of `BucketPlace`, which empties it."""


@pytest.fixture
def here(bucket: BucketPlace, tmp_path: Path) -> RemoteStore:
    return RemoteStore(URL, tmp_path / "here")


@pytest.fixture
def elsewhere(bucket: BucketPlace, tmp_path: Path) -> RemoteStore:
    return RemoteStore(URL, tmp_path / "elsewhere")


@pytest.fixture
def server(bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch) -> "ThreadedMotoServer":
    """One of the test's own, which the test stops. It has the same bucket: servers of one process share them."""
    server, endpoint = started()
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    return server


def objects(bucket: BucketPlace) -> dict[str, bytes]:
    return {name.removeprefix("store/"): data for name, data in bucket.files().items()}


def test_what_one_machine_publishes_another_fetches(here: RemoteStore, elsewhere: RemoteStore) -> None:
    reference = publish(here, a="hello", b="you")
    folder = elsewhere.fetch(reference)
    assert {path.name: path.read_text() for path in folder.iterdir() if path.name in "ab"} == {"a": "hello", "b": "you"}
    assert folder.is_relative_to(elsewhere.root)
    assert elsewhere.find(reference.digest) == reference


def test_what_is_there_is_not_sent_again(here: RemoteStore, elsewhere: RemoteStore, bucket: BucketPlace) -> None:
    reference = publish(here, a="hello")
    before = written(bucket)
    assert publish(here, a="hello") == publish(elsewhere, a="hello") == reference
    assert written(bucket) == before


def written(bucket: BucketPlace) -> dict[str, Any]:
    """When each object was written."""
    found = bucket.client.list_objects_v2(Bucket="team", Prefix="incoming/drops/store/artifacts")
    return {item["Key"]: item["LastModified"] for item in found["Contents"]}


def artifact(reference: Reference, file: str) -> str:
    return f"store/artifacts/{reference.digest[:2]}/{reference.digest}/{file}"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("altered", "damaged: a has SHA-256"),
        ("truncated", "damaged: a has SHA-256"),
        ("deleted", "damaged: a file is missing"),
        ("manifest", "damaged: its manifest"),
        ("half", "is missing from s3://team"),
    ],
)
def test_damage_there_is_found_and_named_and_mended_by_what_is_published_next(
    here: RemoteStore, elsewhere: RemoteStore, bucket: BucketPlace, tmp_path: Path, damage: str, message: str
) -> None:
    reference = publish(here, a="hello", b="world")
    match damage:
        case "altered":
            bucket.put(artifact(reference, "a"), b"HELLO")
        case "truncated":
            bucket.put(artifact(reference, "a"), b"hel")
        case "deleted":
            bucket.remove(artifact(reference, "a"))
        case "manifest":
            bucket.put(artifact(reference, "manifest.json"), b"{}")
        case "half":  # what an upload that was killed leaves: the manifest comes last
            bucket.remove(artifact(reference, "manifest.json"))
    with pytest.raises(StoreError, match=message):
        elsewhere.fetch(reference)
    assert not list(elsewhere.root.glob("artifacts/*/*"))
    assert publish(elsewhere, a="hello", b="world") == reference
    assert (RemoteStore(URL, tmp_path / "third").fetch(reference) / "a").read_text() == "hello"


def test_a_damaged_copy_here_is_fetched_anew(here: RemoteStore, caplog: pytest.LogCaptureFixture) -> None:
    reference = publish(here, a="hello")
    (here.fetch(reference) / "a").write_text("HELLO")
    assert (here.fetch(reference) / "a").read_text() == "hello"
    assert "damaged" in caplog.text
    assert f"fetched anew from {URL}" in caplog.text


def test_a_reference_whose_artifact_is_lost_does_not_validate(
    here: RemoteStore, bucket: BucketPlace, tmp_path: Path
) -> None:
    reference = publish(here, a="hello")
    bucket.remove(artifact(reference, "manifest.json"))
    with (
        machine.use(Machine(store=tmp_path / "elsewhere", bucket=URL)),
        pytest.raises(ValidationError, match="is missing"),
    ):
        Reference.model_validate_json(reference.model_dump_json())


def make_old(copies: RemoteStore, days: float) -> None:
    then = time.time() - days * 24 * 3600
    for path in copies.root.rglob("*"):
        os.utime(path, (then, then))


def test_a_use_is_noted_where_all_see_it_once_a_day(
    here: RemoteStore, elsewhere: RemoteStore, bucket: BucketPlace
) -> None:
    reference = publish(here, a="hello")
    uses = (
        lambda: here.fetch(reference),  # of a copy
        lambda: elsewhere.fetch(reference),  # by a download
        lambda: publish(here, a="hello"),
    )
    for use in uses:
        s3.age("team", 30)
        make_old(here, 30)
        before = written(bucket)
        use()
        after = written(bucket)
        changed = [name.rpartition("/")[2] for name in before if before[name] != after[name]]
        assert changed == ["manifest.json"]
        use()
        assert written(bucket) == after


def test_a_manifest_that_a_pruning_deletes_just_after_its_use_was_noted_is_missed(
    here: RemoteStore, elsewhere: RemoteStore, bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = publish(here, a="hello")
    s3.age("team", 30)
    make_old(here, 30)
    waits: list[float] = []

    def prune_meanwhile(seconds: float) -> None:  # it had seen the old manifest
        waits.append(seconds)
        bucket.remove(artifact(reference, "manifest.json"))

    monkeypatch.setattr(remote_store, "time", SimpleNamespace(time=time.time, sleep=prune_meanwhile))
    here.fetch(reference)
    assert waits == [remote_store.PRUNING_SECONDS]
    assert (elsewhere.fetch(reference) / "a").read_text() == "hello"


def test_what_must_be_kept_is_asked_for_there_however_young_the_copy(
    here: RemoteStore, elsewhere: RemoteStore, bucket: BucketPlace
) -> None:
    reference = publish(here, a="hello")
    here.ensure_kept(reference)
    bucket.remove(artifact(reference, "manifest.json"))
    here.ensure_kept(reference)
    assert (elsewhere.fetch(reference) / "a").read_text() == "hello"
    bucket.remove(artifact(reference, "a"))
    (here.fetch(reference) / "a").unlink()
    with pytest.raises(StoreError, match="a file is missing"):
        here.ensure_kept(reference)


def test_a_copy_that_is_damaged_is_not_sent_to_replace_what_was_pruned(here: RemoteStore, bucket: BucketPlace) -> None:
    reference = publish(here, a="hello")
    for file in ("manifest.json", "a"):
        bucket.remove(artifact(reference, file))
    (here.fetch(reference) / "a").write_text("HELLO")
    make_old(here, 30)
    with pytest.raises(StoreError, match="is missing from s3://team"):
        here.fetch(reference)
    assert objects(bucket) == {}


def test_copies_that_nobody_used_for_long_go_and_no_others(
    here: RemoteStore, elsewhere: RemoteStore, bucket: BucketPlace
) -> None:
    old, used = publish(here, a="old"), publish(here, a="used")
    (here.folder("downloads") / "images.tar.gz").write_text("slow to get")
    for name in ("runs", "bundles"):
        (here.folder(name, "m") / "version-000001").mkdir()
        (here.folder(name, "m") / "version-000001" / "file").write_text("a copy")
    make_old(here, 15)
    elsewhere_too = RemoteStore(URL, here.root.parents[4])  # another process of that machine, with the same cache
    assert elsewhere_too.root == here.root
    elsewhere_too.fetch(used)
    here.check_writable()
    left = {path.relative_to(here.root).as_posix() for path in here.root.rglob("*") if path.is_file()}
    folder = f"artifacts/{used.digest[:2]}/{used.digest}"
    assert left == {"downloads/images.tar.gz", f"{folder}/a", f"{folder}/manifest.json"}
    # They were copies.
    assert (here.fetch(old) / "a").read_text() == "old"


def test_a_use_that_cannot_be_noted_fails_no_fetch(
    server: "ThreadedMotoServer", tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = RemoteStore(URL, tmp_path / "here")
    reference = publish(here, a="hello")
    make_old(here, 2)
    server.stop()
    assert (here.fetch(reference) / "a").read_text() == "hello"
    assert "Until then it is not known there" in caplog.text


def test_a_network_that_is_lost_is_no_loss_of_what_is_there(server: "ThreadedMotoServer", tmp_path: Path) -> None:
    here = RemoteStore(URL, tmp_path / "here")
    reference = publish(here, a="hello")
    shared = here.shared("decisions")
    shared.write("x.json", "{}")
    server.stop()
    assert (here.fetch(reference) / "a").read_text() == "hello"  # content has one name: the copy is as good
    for ask in (
        lambda: shared.read(["x.json"]),
        lambda: shared.names("*"),
        lambda: shared.write("y.json", "{}"),
        lambda: shared.bring(),
        lambda: publish(here, a="you"),
        lambda: RemoteStore(URL, tmp_path / "elsewhere").fetch(reference),
        lambda: here.check_writable(),
    ):
        with pytest.raises(TransientError, match="cannot be reached"):
            ask()
    with machine.use(Machine(store=tmp_path / "elsewhere", bucket=URL)), pytest.raises(TransientError):
        Reference.model_validate_json(reference.model_dump_json())


KILLED_WHILE_IT_SENDS = """
import os, signal, sys
from pathlib import Path
from tasks import objects
from tasks.remote_store import RemoteStore
upload = objects.Objects.upload
def killed(self, files):
    if any(name.endswith("manifest.json") for name in files):
        os.kill(os.getpid(), signal.SIGKILL)
    upload(self, files)
objects.Objects.upload = killed
store = RemoteStore(sys.argv[1], Path(sys.argv[2]))
with store.staging() as folder:
    (folder / "a").write_text("hello")
    store.publish(folder)
"""


def test_an_upload_that_is_killed_before_its_end_leaves_no_artifact(
    here: RemoteStore, bucket: BucketPlace, tmp_path: Path
) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_IT_SENDS, URL, str(tmp_path / "killed")], check=False)
    assert done.returncode == -9
    assert [name.rpartition("/")[2] for name in objects(bucket)] == ["a"]
    reference = publish(RemoteStore(URL, tmp_path / "killed"), a="hello")  # begun again on the same machine
    assert (here.fetch(reference) / "a").read_text() == "hello"


def test_shared_files_are_read_where_they_are(here: RemoteStore, elsewhere: RemoteStore) -> None:
    mine, theirs = here.shared("decisions", "m"), elsewhere.shared("decisions", "m")
    mine.write("a.json", "1")
    theirs.write("b.json", "2")
    assert list(mine.names("*.json")) == list(theirs.names("*.json")) == ["a.json", "b.json"]
    assert here.shared("decisions").names("*.json") == {}
    assert list(here.shared("decisions").names("*/a.json")) == ["m/a.json"]
    assert theirs.read(["a.json", "c.json"]) == {"a.json": b"1"}
    (mine.path / "left.json").write_text("a file that is only here is nobody's truth")
    assert mine.read(["left.json"]) == {}
    theirs.remove(["a.json"])
    assert mine.read(["a.json"]) == {}


def test_a_folder_is_sent_and_brought(here: RemoteStore, elsewhere: RemoteStore, bucket: BucketPlace) -> None:
    mine, theirs = here.shared("bundles"), elsewhere.shared("bundles")
    for name in ("v1/a", "v1/b/c", "v2/a", ".draft"):
        (mine.path / name).parent.mkdir(parents=True, exist_ok=True)
        (mine.path / name).write_text(name)
    mine.send("v1")
    mine.send()
    assert sorted(objects(bucket)) == ["bundles/v1/a", "bundles/v1/b/c", "bundles/v2/a"]
    theirs.bring("v1")
    assert {path.name for path in theirs.path.rglob("*")} == {"v1", "a", "b", "c"}
    theirs.bring()
    assert (theirs.path / "v2" / "a").read_text() == "v2/a"


def test_a_name_that_leads_out_of_the_folder_is_not_brought(here: RemoteStore, bucket: BucketPlace) -> None:
    bucket.put("store/bundles/../../outside", b"x")
    here.shared("bundles").bring()
    assert list(here.shared("bundles").path.iterdir()) == []
    assert not list(here.root.parent.rglob("outside"))


def test_a_followed_folder_is_there_as_it_is_here(
    here: RemoteStore, elsewhere: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_prefix, "FOLLOW_SECONDS", 0.05)
    mine, theirs = here.shared("checkpoints", "t"), elsewhere.shared("checkpoints", "t")
    theirs.write("epoch-9.json", "of another machine")

    def there(*names: str) -> None:
        wait_for(lambda: set(theirs.names("*")) == {"epoch-9.json", *names}, seconds=60)

    def fail() -> None:
        with mine.followed(last=".json"):
            for name in ("epoch-1.npz", "epoch-1.json", "epoch-2.npz.draft"):
                (mine.path / name).write_text(name)
            there("epoch-1.npz", "epoch-1.json")
            (mine.path / "epoch-1.json").unlink()
            (mine.path / "epoch-1.npz").unlink()
            there()
            (mine.path / "epoch-2.npz").write_text("the last before the end")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    there("epoch-2.npz")


def test_what_is_written_anew_under_its_name_while_it_is_followed_is_sent_again(
    here: RemoteStore, elsewhere: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_prefix, "FOLLOW_SECONDS", 0.05)
    mine, theirs = here.shared("checkpoints", "t"), elsewhere.shared("checkpoints", "t")
    theirs.write("epoch-1.json", "torn")
    mine.bring()

    def there(text: str) -> None:
        wait_for(lambda: theirs.read(["epoch-1.json"]) == {"epoch-1.json": text.encode()}, seconds=20)

    with mine.followed(last=".json"):
        for text in ("made anew", "made anew once more"):
            (mine.path / "epoch-1.json").write_text(text)
            there(text)


def test_work_goes_on_while_the_network_is_away(
    server: "ThreadedMotoServer", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shared_prefix, "FOLLOW_SECONDS", 0.05)
    shared = RemoteStore(URL, tmp_path / "here").shared("checkpoints", "t")
    server.stop()
    with shared.followed(last=".json"):
        (shared.path / "epoch-1.json").write_text("1")
        wait_for(lambda: "stays on this machine" in caplog.text, seconds=60)
    assert "Until then checkpoints/t stays on this machine" in caplog.text


def test_a_bucket_that_is_not_there_is_said_at_the_door(bucket: BucketPlace, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"s3://nobody/store: .*bucket.*RETRAINING_STORE"):
        RemoteStore("s3://nobody/store", tmp_path).check_writable()


def test_missing_credentials_are_said_at_the_door(
    bucket: BucketPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigurationError, match="credentials"):
        RemoteStore(URL, tmp_path).check_writable()


def test_a_server_that_never_answers_is_given_seconds(
    s3_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_store, "PROBE_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(TransientError, match="cannot be reached"):
            RemoteStore(URL, tmp_path).check_writable()


def test_what_was_left_long_ago_is_cleared_there_as_well(
    here: RemoteStore, bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.shared("checkpoints", "t").write("epoch-1.json", "{}")
    here.shared("decisions", "m").write("a.json", "{}")
    here.check_writable()
    assert sorted(objects(bucket)) == ["checkpoints/t/epoch-1.json", "decisions/m/a.json"]
    monkeypatch.setattr(remote_store, "LEFT_MAX_AGE_SECONDS", -1)
    here.check_writable()
    assert sorted(objects(bucket)) == ["decisions/m/a.json"]


def test_the_ledger_is_in_the_bucket_by_default(bucket: BucketPlace, tmp_path: Path) -> None:
    with machine.use(Machine(store=tmp_path, bucket=URL)):
        assert ledger.open_ledger("m").url == f"{URL}/ledger/m"


def test_two_buckets_and_a_local_store_share_a_cache_and_nothing_in_it(tmp_path: Path) -> None:
    roots = {
        store.Store(tmp_path).root,
        RemoteStore("s3://a/x", tmp_path).root,
        RemoteStore("s3://a/y", tmp_path).root,
        RemoteStore("s3://b/x/", tmp_path).root,
    }
    assert len(roots) == 4


def test_the_environment_names_a_bucket_and_the_folder_of_its_copies(tmp_path: Path) -> None:
    environ = {"RETRAINING_STORE": "s3://team/store/", "MLFLOW_TRACKING_URI": "http://m"}
    found = from_environment(environ)
    assert (found.bucket, found.store) == ("s3://team/store", Path("store"))
    assert from_environment({**environ, "RETRAINING_CACHE": str(tmp_path)}).store == tmp_path
    assert from_environment({"RETRAINING_STORE": "file:///data/s", "RETRAINING_CACHE": "x"}).store == Path("/data/s")


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"RETRAINING_STORE": "s3://team/store"}, "MLFLOW_TRACKING_URI is not set.*Set it to"),
        ({"RETRAINING_STORE": "ftp://team/store"}, "RETRAINING_STORE is 'ftp://team/store'; expected"),
        ({"RETRAINING_STORE": "s3://", "MLFLOW_TRACKING_URI": "http://m"}, "names no bucket"),
        (
            {"RETRAINING_STORE": "s3://a", "MLFLOW_TRACKING_URI": "http://m", "RETRAINING_CACHE": "s3://b"},
            "RETRAINING_CACHE is 's3://b'; expected",
        ),
    ],
)
def test_a_store_that_cannot_be_is_refused_before_anything_else(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        from_environment(environ)


def test_a_local_store_waits_for_no_library_of_object_storage() -> None:
    script = "import sys; import flows.promotion, tasks.store; print('fsspec' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
