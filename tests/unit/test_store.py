import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks import machine
from tasks.errors import StoreError
from tasks.store import Reference, Store


def publish(store: Store, **files: str) -> Reference:
    with store.staging() as folder:
        for name, text in files.items():
            (folder / name).write_text(text)
        return store.publish(folder)


def test_equal_content_has_one_name(opened_store: Store) -> None:
    assert publish(opened_store, a="1", b="2") == publish(opened_store, b="2", a="1")
    assert publish(opened_store, a="1", b="2") != publish(opened_store, a="1", b="3")


def test_fetched_files_are_what_was_published(opened_store: Store) -> None:
    folder = opened_store.fetch(publish(opened_store, a="hello"))
    assert (folder / "a").read_text() == "hello"


def test_an_artifact_is_found_by_its_digest_alone(opened_store: Store) -> None:
    reference = publish(opened_store, a="hello", b="you")
    assert opened_store.find(reference.digest) == reference
    with pytest.raises(StoreError, match="is missing"):
        opened_store.find("0" * 64)
    (opened_store.fetch(reference) / "a").write_text("HELLO")
    with pytest.raises(StoreError, match="is damaged"):
        opened_store.find(reference.digest)


@pytest.mark.parametrize("damage", ["altered", "truncated", "deleted", "manifest"])
def test_damage_is_found_and_named(opened_store: Store, damage: str) -> None:
    reference = publish(opened_store, a="hello", b="world")
    folder = opened_store.fetch(reference)
    match damage:
        case "altered":
            (folder / "a").write_text("HELLO")
        case "truncated":
            (folder / "a").write_text("hel")
        case "deleted":
            (folder / "a").unlink()
        case "manifest":
            (folder / "manifest.json").write_text("{}")
    with pytest.raises(StoreError, match="manifest" if damage == "manifest" else "a"):
        opened_store.fetch(reference)


def test_a_reference_to_a_damaged_artifact_does_not_validate(opened_store: Store) -> None:
    reference = publish(opened_store, a="hello")
    record = reference.model_dump_json()
    assert Reference.model_validate_json(record) == reference
    (opened_store.fetch(reference) / "a").write_text("HELLO")
    with pytest.raises(ValidationError, match="damaged"):
        Reference.model_validate_json(record)


def test_publishing_again_replaces_a_damaged_copy(opened_store: Store) -> None:
    reference = publish(opened_store, a="hello")
    (opened_store.fetch(reference) / "a").write_text("HELLO")
    assert publish(opened_store, a="hello") == reference
    assert (opened_store.fetch(reference) / "a").read_text() == "hello"


def test_nothing_is_left_of_a_block_that_failed(opened_store: Store) -> None:
    def fail_half_way() -> None:
        with opened_store.staging() as folder:
            (folder / "a").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert list((opened_store.root / "staging").iterdir()) == []
    assert not (opened_store.root / "artifacts").exists()


def test_a_full_disk_is_explained(opened_store: Store) -> None:
    with pytest.raises(StoreError, match=r"disk is full.*--store"), opened_store.staging():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_someone_elses_missing_right_is_not_blamed_on_the_store(opened_store: Store) -> None:
    with pytest.raises(PermissionError), opened_store.staging():
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/elsewhere/archive.tar.gz")


def test_a_store_under_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--store"):
        Store(tmp_path / "file").check_writable()


def test_a_moved_store_still_has_its_artifacts(tmp_path: Path) -> None:
    reference = publish(Store(tmp_path / "old"), a="hello")
    (tmp_path / "old").rename(tmp_path / "new")
    assert (Store(tmp_path / "new").fetch(reference) / "a").read_text() == "hello"


def test_processes_that_publish_the_same_at_once_all_succeed(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from tasks.store import Store\n"
        "store = Store(pathlib.Path(sys.argv[1]))\n"
        "for number in range(30):\n"
        "    with store.staging() as folder:\n"
        "        (folder / 'a').write_text(str(number))\n"
        "        print(store.publish(folder).digest)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert outputs[0] == outputs[1] == outputs[2]
    for digest in outputs[0].split():
        Store(tmp_path).fetch(Reference.model_construct(digest=digest, size_bytes=1))


def test_outside_a_run_a_reference_is_only_a_name() -> None:
    assert machine.current() is None
    assert Reference(digest="0" * 64, size_bytes=1).digest == "0" * 64
