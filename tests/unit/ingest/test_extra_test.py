"""The folder of extra test images: read as a drop is, never written to, and refused where it cannot be right."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cnn_model.class_names import CLASS_NAMES
from tasks import store
from tasks.errors import ConfigurationError, SourceError
from tasks.ingest import drops, extra_test
from tasks.ingest.config import IngestConfig
from tasks.ingest.sources import Source
from tasks.store import Store
from tasks.values.drops import Drop
from tests.drops import drop_pictures, drop_records, drop_table, noise

LOCAL = Source(kind="local", digest="ab" * 32, slug="data", location="/data")


def read(folder: Path) -> Drop:
    config = IngestConfig(extra_test=str(folder))
    drop = extra_test.read(extra_test.find(LOCAL, config), config, CLASS_NAMES)
    assert drop is not None
    return drop


@pytest.mark.parametrize("make", [drop_records, drop_pictures, drop_table])
def test_each_format_is_read_and_nothing_is_written(
    make: Callable[..., Path], opened_store: Store, tmp_path: Path
) -> None:
    folder = make(tmp_path / "ours", noise(20))
    files = {path: path.stat().st_mtime_ns for path in (tmp_path, folder, *folder.rglob("*"))}
    drop = read(folder)
    assert (drop.name, drop.num_images, drop.num_unreadable, drop.problem) == ("ours", 20, 0, None)
    artifact = opened_store.fetch(drop.artifact)
    assert sorted(image.tobytes() for image in np.load(artifact / "images.npy")) == sorted(
        image.tobytes() for image in noise(20)[0]
    )
    assert np.bincount(np.load(artifact / "labels.npy")).tolist() == [2] * 10
    assert {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))} == {
        path: changed for path, changed in files.items() if path != tmp_path
    }


def test_a_marker_is_neither_needed_nor_content(opened_store: Store, tmp_path: Path) -> None:
    folder = drop_records(tmp_path / "ours", noise())
    before = read(folder)
    (folder / "_SUCCESS").unlink()
    assert read(folder) == before


def test_the_same_content_elsewhere_has_the_same_cache_key(opened_store: Store, tmp_path: Path) -> None:
    folder = drop_records(tmp_path / "ours", noise())
    found = extra_test.find(LOCAL, IngestConfig(extra_test=str(folder)))
    shutil.copytree(folder, tmp_path / "there" / "ours")
    again = extra_test.find(LOCAL, IngestConfig(extra_test=(tmp_path / "there" / "ours").as_uri()))
    assert found is not None
    assert again is not None
    assert found.model_dump() == again.model_dump() == {"name": "ours", "digest": found.digest}
    drop_records(tmp_path / "there" / "ours" / "more", noise(seed=2))
    other = extra_test.find(LOCAL, IngestConfig(extra_test=str(tmp_path / "there" / "ours")))
    assert other is not None
    assert other.digest != found.digest


def test_two_formats_are_a_problem_for_validate(opened_store: Store, tmp_path: Path) -> None:
    drop_pictures(drop_records(tmp_path / "ours", noise()) / "more", noise(seed=2))
    drop = read(tmp_path / "ours")
    assert drop.num_images == 0
    assert drop.problem is not None
    assert "It mixes formats" in drop.problem


def test_without_the_option_there_is_nothing() -> None:
    assert extra_test.find(LOCAL, IngestConfig()) is None
    assert extra_test.read(None, IngestConfig(), CLASS_NAMES) is None


def test_practice_images_that_nobody_asked_for_are_not_scored_on_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = drop_records(tmp_path / "ours", noise())
    source = Source(kind="synthetic", fallback_reason="No network.")
    assert extra_test.find(source, IngestConfig(extra_test=str(folder))) is None
    assert "are not scored" in caplog.text


@pytest.mark.parametrize(
    ("address", "reason"),
    [("s3://bucket/images", "expected a path or a file:// URL"), ("/no/such", "--ingest.extra-test is .*no folder")],
)
def test_a_folder_that_is_none_is_refused_at_the_door(address: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        extra_test.check(IngestConfig(extra_test=address))


@pytest.mark.parametrize(
    ("place", "refused"),
    [
        ("drops", True),
        ("", True),
        ("drops/ours", True),
        ("drops/ours/deep", True),
        ("drops/_ours", False),
        ("x", False),
    ],
)
def test_a_folder_that_a_run_would_move_as_a_drop_is_refused(tmp_path: Path, place: str, refused: bool) -> None:
    (tmp_path / "drops").mkdir()
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    config = IngestConfig(extra_test=str(tmp_path / place), drops=str(tmp_path / "drops"))
    if not refused:
        extra_test.check(config)
        return
    for at in (extra_test.check, lambda config: extra_test.find(LOCAL, config)):
        with pytest.raises(ConfigurationError, match="where drops lie"):
            at(config)


def test_a_link_to_the_folder_is_followed_and_one_within_is_not(opened_store: Store, tmp_path: Path) -> None:
    folder = drop_records(tmp_path / "ours", noise())
    (tmp_path / "link").symlink_to(folder)
    assert read(tmp_path / "link") == read(folder)
    (folder / "more.bin").symlink_to(folder / "batch.bin")
    with pytest.raises(SourceError, match=r"extra test images in .*ours cannot be used: it holds more.bin, a link"):
        read(folder)


def test_a_change_between_finding_and_reading_stops_the_run(opened_store: Store, tmp_path: Path) -> None:
    folder = drop_records(tmp_path / "ours", noise())
    config = IngestConfig(extra_test=str(folder))
    found = extra_test.find(LOCAL, config)
    (folder / "more.bin").write_bytes((folder / "batch.bin").read_bytes())
    with pytest.raises(SourceError, match="have changed since the run began"):
        extra_test.read(found, config, CLASS_NAMES)


def test_they_are_the_value_that_a_drop_of_the_same_files_is(opened_store: Store, tmp_path: Path) -> None:
    folder = drop_pictures(tmp_path / "drops" / "ours", noise())
    config = IngestConfig(drops=str(tmp_path / "drops"))
    (drop,) = drops.read(drops.find(LOCAL, config), config)
    assert read(folder) == drop
    assert store.current().fetch(drop.artifact).is_dir()
