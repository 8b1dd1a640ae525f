import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tasks import machine
from tasks.errors import SourceError, StoreError
from tasks.ingest import dataset, known, records, sources
from tasks.ingest.config import IngestConfig
from tasks.ingest.pace import Timings
from tasks.ingest.sources import Source
from tasks.store import Store
from tasks.values.dataset import RawDataset
from tests.unit.ingest import tiny
from tests.unit.ingest.hosts import Answer, Host, serving

CONFIG = IngestConfig()
TINY_ARTIFACT = "bc63df18d999c6d697a6c39b23180cacd642c88fdd985af3aaf84effc7415b7a"
"""The digest of the artifact of the tiny dataset; see the test that compares it."""


def build(source: str | Path, config: IngestConfig = CONFIG) -> RawDataset:
    resolved = sources.resolve(str(source), config, {}, pinned=tiny.PINNED)
    return dataset.build(resolved, config, pinned=tiny.PINNED)


def download(timings: Timings, *hosts: Host) -> RawDataset:
    config = IngestConfig(urls=tuple(host.url for host in hosts))
    source = Source(kind="official", digest=tiny.PINNED.archive.sha256)
    return dataset.build(source, config, pinned=tiny.PINNED, timings=timings)


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write(tmp_path / "given" / "cifar.tar.gz", tiny.ARCHIVE)


def unofficial(tmp_path: Path) -> Path:
    data = tiny.archive_of({**tiny.MEMBERS, "test_batch.bin": tiny.member(99)})
    return write(tmp_path / "given" / "Müller's drop (2).tar.gz", data)


def test_the_arrays_hold_the_records_in_the_order_of_the_files(archive, opened_store):
    given = build(archive)

    folder = opened_store.fetch(given.artifact)
    arrays = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in folder.glob("*.npy")}
    expected = records.parse(b"".join(tiny.MEMBERS[name] for name in tiny.NAMES[:-1]), "train")
    test = records.parse(tiny.MEMBERS["test_batch.bin"], "test")
    assert sorted(arrays) == ["test_images", "test_labels", "train_images", "train_labels"]
    np.testing.assert_array_equal(arrays["train_images"], expected.images)
    np.testing.assert_array_equal(arrays["train_labels"], expected.labels)
    np.testing.assert_array_equal(arrays["test_images"], test.images)
    np.testing.assert_array_equal(arrays["test_labels"], test.labels)
    assert all(array.dtype == np.uint8 and array.flags.c_contiguous for array in arrays.values())
    assert (given.name, given.num_train_images, given.num_test_images) == ("cifar10", 100, 20)


def test_the_same_archive_gives_the_artifact_that_it_always_gave(archive, opened_store):
    # When this fails for a reason, raise `known.FORMAT` with it: pointers in people's stores name the old artifact.
    assert (known.FORMAT, build(archive).artifact.digest) == (1, TINY_ARTIFACT)


def test_archive_folder_and_download_of_the_same_images_are_one_artifact(archive, tmp_path, opened_store, timings):
    folder = tmp_path / "folder"
    for name, data in tiny.MEMBERS.items():
        write(folder / name, data)
    with serving(tiny.ARCHIVE) as host:
        downloaded = download(timings, host)

    assert build(archive) == build(folder) == downloaded


def test_other_images_need_leave_and_bear_the_name_of_their_file(tmp_path, opened_store):
    path = unofficial(tmp_path)

    with pytest.raises(SourceError, match=r"test_batch\.bin in .* has SHA-256 .*--ingest\.allow-unofficial"):
        build(path)
    given = build(path, IngestConfig(allow_unofficial=True))

    assert given.name == "unofficial-m-ller-s-drop-2"
    assert known.recall() is None


def test_official_images_keep_their_name_where_others_are_allowed(archive, opened_store):
    assert build(archive, IngestConfig(allow_unofficial=True)).name == "cifar10"


def test_a_folder_of_own_images_is_read(tmp_path, opened_store):
    folder = tmp_path / "***"
    write(folder / "monday.bin", tiny.member(1)[: 3 * records.RECORD_BYTES])
    write(folder / "test_batch.bin", tiny.member(2))
    write(folder / "readme.txt", b"x")

    given = build(folder, IngestConfig(allow_unofficial=True))

    assert (given.name, given.num_train_images, given.num_test_images) == ("unofficial-data", 3, 20)


def test_own_images_do_not_slip_into_a_folder_of_the_official_ones(tmp_path, opened_store):
    folder = tmp_path / "folder"
    for name, data in tiny.MEMBERS.items():
        write(folder / name, data)
    write(folder / "extra.bin", tiny.member(7))

    assert build(folder).num_train_images == 100
    with_extra = build(folder, IngestConfig(allow_unofficial=True))
    assert (with_extra.name, with_extra.num_train_images) == ("unofficial-folder", 120)


@pytest.mark.parametrize("form", ["archive", "folder"])
def test_data_that_change_after_they_were_chosen_are_refused(form, archive, tmp_path, opened_store):
    path = archive if form == "archive" else tmp_path / "folder"
    for name, data in tiny.MEMBERS.items():
        write(tmp_path / "folder" / name, data)
    chosen = sources.resolve(str(path), CONFIG, {}, pinned=tiny.PINNED)
    write(archive, tiny.tar_gz((tiny.file_entry(name, data) for name, data in tiny.MEMBERS.items()), level=1))
    write(tmp_path / "folder" / "late.bin", tiny.member(3))

    with pytest.raises(SourceError, match="has changed since the run began"):
        dataset.build(chosen, CONFIG, pinned=tiny.PINNED)


def test_data_that_are_gone_are_refused(archive, opened_store):
    chosen = sources.resolve(str(archive), CONFIG, {}, pinned=tiny.PINNED)
    archive.unlink()

    with pytest.raises(SourceError, match="is gone now"):
        dataset.build(chosen, CONFIG, pinned=tiny.PINNED)


def test_nothing_is_downloaded_twice(opened_store, timings):
    with serving(tiny.ARCHIVE) as host:
        first = download(timings, host)
        second = download(timings, host)

    assert first == second
    assert len(host.requests) == 1


def test_nothing_is_downloaded_when_a_local_archive_was_official(archive, opened_store, timings):
    given = build(archive)

    with serving(tiny.ARCHIVE) as host:
        assert download(timings, host) == given

    assert host.requests == []


def test_a_damaged_artifact_is_made_anew_from_the_kept_download(opened_store, timings):
    with serving(tiny.ARCHIVE) as host:
        given = download(timings, host)
        images = opened_store.fetch(given.artifact) / "train_images.npy"
        images.write_bytes(images.read_bytes()[:-1] + b"\0")
        assert known.recall() is None
        assert download(timings, host) == given

    assert len(host.requests) == 1
    opened_store.fetch(given.artifact)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 0, "dataset": {}}', '{"format": 1, "dataset": {"name": 3}}']
)
def test_a_pointer_that_is_not_understood_is_as_good_as_none(text, opened_store):
    (opened_store.folder("datasets") / "cifar10.json").write_text(text)

    assert known.recall() is None


def test_a_pointer_of_another_format_is_not_followed(archive, opened_store, monkeypatch):
    given = build(archive)
    assert known.recall() == given

    monkeypatch.setattr(known, "FORMAT", known.FORMAT + 1)

    assert known.recall() is None


def test_a_download_that_fails_everywhere_publishes_nothing(opened_store, timings):
    with serving(b"", always=Answer(status=404)) as host, pytest.raises(SourceError, match="404"):
        download(timings, host)

    assert not (opened_store.root / "artifacts").exists()


def test_practice_images_are_made_of_the_section_alone(opened_store):
    config = IngestConfig(synthetic_images=240, synthetic_seed=5)

    given = build("synthetic", config)

    assert (given.name, given.num_train_images, given.num_test_images) == ("synthetic", 200, 40)
    assert given == build("synthetic", config)
    assert given != build("synthetic", IngestConfig(synthetic_images=240, synthetic_seed=6))


def test_a_store_that_cannot_be_written_is_explained(tmp_path, timings):
    (tmp_path / "file").write_bytes(b"")

    with machine.use(machine.Machine(store=tmp_path / "file" / "store")), pytest.raises(StoreError, match="Cannot"):
        build("synthetic", IngestConfig(synthetic_images=120))


REAL = """
import sys
from pathlib import Path
from tasks import machine
from tasks.ingest import dataset, sources
from tasks.ingest.config import IngestConfig
with machine.use(machine.Machine(store=Path(sys.argv[2]))):
    source = sources.resolve(sys.argv[1], IngestConfig(), {})
    print(dataset.build(source, IngestConfig()).model_dump_json())
# The high-water mark of this program alone: what getrusage says starts with that of the process that started it.
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.real_data
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_real_cifar10_is_recognised_whole_and_in_little_memory(tmp_path):
    command = [sys.executable, "-c", REAL, os.environ["CIFAR10_SOURCE"], str(tmp_path / "store")]

    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    built, peak_kib = output.splitlines()
    with machine.use(machine.Machine(store=tmp_path / "store")):
        given = RawDataset.model_validate_json(built)
        folder = Store(tmp_path / "store").fetch(given.artifact)
    images = np.load(folder / "train_images.npy", mmap_mode="r", allow_pickle=False)
    assert (given.name, images.shape, given.num_test_images) == ("cifar10", (50_000, 32, 32, 3), 10_000)
    # The channel means that everybody normalises with: 0.4914, 0.4822, 0.4465.
    np.testing.assert_allclose(images.mean(axis=(0, 1, 2)) / 255, [0.4914, 0.4822, 0.4465], atol=5e-5)
    # Train image 0 is the frog; many tutorials print its first pixels.
    assert images[0, 0, :2].tolist() == [[59, 62, 63], [43, 46, 45]]
    for split, size in (("train", 5000), ("test", 1000)):
        assert np.bincount(np.load(folder / f"{split}_labels.npy")).tolist() == [size] * 10
    assert int(peak_kib) * 1024 < 700e6
    shutil.rmtree(tmp_path / "store")
