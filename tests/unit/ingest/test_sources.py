import hashlib
from pathlib import Path

import pytest

from tasks.errors import ConfigurationError, SourceError
from tasks.ingest import dataset, sources
from tasks.ingest.config import IngestConfig
from tasks.ingest.sources import Source
from tests.unit.ingest import tiny
from tests.unit.ingest.hosts import Answer, serving

CONFIG = IngestConfig()
ARCHIVE_SHA256 = tiny.PINNED.archive.sha256


def resolve(source: str, *urls: str, **environ: str) -> Source:
    config = IngestConfig(urls=urls) if urls else CONFIG
    return sources.resolve(source, config, environ, pinned=tiny.PINNED)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "my images.tar.gz"
    path.write_bytes(tiny.ARCHIVE)
    return path


def write_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, data in tiny.MEMBERS.items():
        (folder / name).write_bytes(data)
    return folder


def test_cifar10_is_known_by_its_pinned_digest_without_network():
    assert resolve("cifar10") == Source(kind="official", digest=ARCHIVE_SHA256)


def test_practice_images_have_no_digest():
    assert resolve("synthetic") == Source(kind="synthetic")


def test_an_archive_is_known_by_its_bytes(archive):
    digest = hashlib.sha256(tiny.ARCHIVE).hexdigest()
    expected = Source(kind="local", digest=digest, slug="my-images", location=str(archive))

    assert resolve(str(archive)) == expected
    assert resolve(archive.as_uri()) == expected
    assert "%20" in archive.as_uri()
    assert resolve(f"file://localhost{archive}") == expected


def test_paths_may_be_relative_or_begin_at_home(archive, monkeypatch):
    monkeypatch.chdir(archive.parent)
    monkeypatch.setenv("HOME", str(archive.parent))

    assert resolve("my images.tar.gz").location == str(archive)
    assert resolve("~/my images.tar.gz").location == str(archive)


def test_a_folder_is_known_by_its_files_wherever_it_lies(tmp_path):
    here = resolve(str(write_folder(tmp_path / "here" / "images")))
    write_folder(tmp_path / "there" / "images" / "cifar-10-batches-bin")
    there = resolve(str(tmp_path / "there" / "images"))

    assert here.digest == there.digest
    assert here.model_dump() == there.model_dump(), "the place is in no cache key"


def test_a_folder_with_one_byte_changed_or_one_file_renamed_is_another(tmp_path):
    folder = write_folder(tmp_path / "folder")
    digests = {resolve(str(folder)).digest}
    (folder / "data_batch_1.bin").write_bytes(tiny.MEMBERS["data_batch_2.bin"])
    digests.add(resolve(str(folder)).digest)
    (folder / "data_batch_1.bin").rename(folder / "data_batch_9.bin")
    digests.add(resolve(str(folder)).digest)

    assert len(digests) == 3


def test_an_empty_folder_is_refused_with_what_it_should_hold(tmp_path):
    with pytest.raises(SourceError, match=r"holds no \.bin file.*expected data_batch_1\.bin to"):
        resolve(str(tmp_path))


@pytest.mark.parametrize(
    "source",
    [
        "",
        " ",
        "ftp://host/x",
        "s3://bucket/key",
        "https://host/cifar.tar.gz",
        "nowhere/x.tar.gz",
        "~nobody-here/x",
        "a\0b",
    ],
)
def test_anything_else_is_refused_with_what_is_accepted(source):
    with pytest.raises(
        ConfigurationError, match=r"expected cifar10 \(.*synthetic.*auto, or the path or file://|xpected"
    ):
        resolve(source)


def test_a_file_url_with_two_slashes_is_explained():
    with pytest.raises(ConfigurationError, match=r"names the host 'data'.*three slashes"):
        resolve("file://data/x.tar.gz")


def test_auto_takes_the_variable_first(archive, opened_store):
    assert resolve("auto", CIFAR10_SOURCE=str(archive)).location == str(archive)
    assert resolve("auto", CIFAR10_SOURCE="synthetic").fallback_reason is None


def test_auto_names_the_variable_when_it_is_wrong(opened_store):
    with pytest.raises(ConfigurationError, match=r"CIFAR10_SOURCE: The source '/nowhere' does not exist"):
        resolve("auto", CIFAR10_SOURCE="/nowhere")
    with pytest.raises(ConfigurationError, match="would ask itself"):
        resolve("auto", CIFAR10_SOURCE="auto")


def test_auto_takes_what_the_store_has_without_asking_anybody(archive, opened_store):
    local = resolve(str(archive))
    dataset.build(local, CONFIG, pinned=tiny.PINNED)

    with serving(tiny.ARCHIVE) as host:
        assert resolve("auto", host.url) == Source(kind="official", digest=ARCHIVE_SHA256)

    assert host.requests == []


def test_auto_takes_an_archive_that_was_downloaded_before(opened_store):
    (opened_store.folder("downloads") / "tiny.tar.gz").write_bytes(tiny.ARCHIVE)

    assert resolve("auto", "http://127.0.0.1:9/x").kind == "official"


def test_auto_does_not_take_an_unfinished_download(opened_store):
    (opened_store.folder("downloads") / "tiny.tar.gz.part").write_bytes(tiny.ARCHIVE)

    assert resolve("auto", "http://127.0.0.1:9/x").kind == "synthetic"


def test_auto_takes_the_official_archive_where_a_host_answers_and_asks_no_further(opened_store):
    with (
        serving(b"", always=Answer(status=404)) as lacking,
        serving(tiny.ARCHIVE) as having,
        serving(tiny.ARCHIVE) as spare,
    ):
        assert resolve("auto", lacking.url, having.url, spare.url) == Source(kind="official", digest=ARCHIVE_SHA256)

    assert (len(lacking.requests), len(having.requests), len(spare.requests)) == (1, 1, 0)


def test_auto_falls_back_to_practice_images_and_says_what_was_tried(opened_store):
    with serving(b"") as closed:
        pass
    with serving(b"<html>log in</html>") as portal, serving(b"", always=Answer(status=403)) as refusing:
        source = resolve("auto", portal.url, refusing.url, closed.url)

    assert source.kind == "synthetic"
    assert source.fallback_reason == (
        "CIFAR10_SOURCE is not set, the store does not hold CIFAR-10, and no host can be reached: "
        f"{portal.name} (offers 19 bytes), {refusing.name} (403 Forbidden), {closed.name} (ConnectError)."
    )
    assert source.model_dump() == resolve("synthetic").model_dump(), "why is in no cache key"


def test_a_silent_host_is_not_waited_for(opened_store, monkeypatch):
    monkeypatch.setattr(sources, "PROBE_SECONDS", 0.1)
    with serving(tiny.ARCHIVE, always=Answer(silent=True)) as host:
        reason = resolve("auto", host.url).fallback_reason

    assert reason is not None
    assert f"{host.name} (ReadTimeout)" in reason


def test_addresses_of_another_kind_are_refused_by_the_section():
    with pytest.raises(ValueError, match="urls"):
        IngestConfig(urls=("ftp://host/x",))


def test_own_data_under_another_name_are_another_source(tmp_path):
    """Unofficial images are named by their file or folder, and a cached result would keep the old name."""
    one, other = (resolve(str(write_folder(tmp_path / name))) for name in ("one", "other"))

    assert one.digest == other.digest
    assert one.model_dump() != other.model_dump()


@pytest.mark.parametrize("source", ["cifar10", "synthetic", "auto"])
def test_a_named_source_is_accepted_before_anything_starts(source):
    sources.check(source, {})


@pytest.mark.parametrize("source", ["/no/such/archive.tar.gz", "s3://bucket/x", "https://host/x.tar.gz", ""])
def test_what_can_be_no_source_is_refused_before_anything_starts(source):
    with pytest.raises(ConfigurationError, match="expected cifar10"):
        sources.check(source, {})
    if source:
        with pytest.raises(ConfigurationError, match="expected cifar10"):
            sources.check("auto", {"CIFAR10_SOURCE": source})
