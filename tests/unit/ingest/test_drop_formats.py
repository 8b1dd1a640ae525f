"""The three formats of a drop, and what is wrong with those that are none."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_model.class_names import CLASS_NAMES
from tasks.ingest import synthetic
from tasks.ingest.drop_formats import Contents, DropError, read
from tasks.ingest.drop_place import MARKER
from tasks.ingest.records import encode
from tests.drops import drop_pictures, drop_records, drop_table, noise


def read_folder(folder: Path, class_names: tuple[str, ...] = CLASS_NAMES) -> Contents:
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return read([file for file in files if file != MARKER], lambda file: (folder / file).read_bytes(), class_names)


def read_files(files: dict[str, bytes]) -> Contents:
    return read(sorted(files), files.__getitem__, CLASS_NAMES)


def picture(seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(1, seed)[0][0]).save(file, "PNG")
    return file.getvalue()


def in_order(images: np.ndarray, labels: np.ndarray) -> list[tuple[int, bytes]]:
    return sorted((int(label), image.tobytes()) for image, label in zip(images, labels, strict=True))


@pytest.mark.parametrize("make", [drop_records, drop_pictures, drop_table])
def test_each_format_gives_the_images_and_labels(make: Callable[..., Path], tmp_path: Path) -> None:
    arrays = noise(20)
    contents = read_folder(make(tmp_path / "drop", arrays))
    assert in_order(*contents.arrays()) == in_order(*arrays)
    assert len(contents.names) == 20
    assert not contents.unreadable
    assert not contents.ignored


def test_records_keep_their_order_and_are_named_by_it() -> None:
    images, labels = noise(4)
    contents = read_files({"a.bin": encode(images[:3], labels[:3]), "b.bin": encode(images[3:], labels[3:])})
    np.testing.assert_array_equal(contents.arrays()[0], images)
    assert contents.names == ["a.bin#0", "a.bin#1", "a.bin#2", "b.bin#0"]


def test_classes_may_be_numbers_and_names_may_be_written_otherwise(tmp_path: Path) -> None:
    drop_pictures(tmp_path / "drop", noise(10), [str(label) for label in range(10)])
    assert sorted(read_folder(tmp_path / "drop").labels) == list(range(10))
    drop_pictures(tmp_path / "other", noise(10), [name.upper().replace(" ", "_") for name in synthetic.CLASS_NAMES])
    assert sorted(read_folder(tmp_path / "other", synthetic.CLASS_NAMES).labels) == list(range(10))


def test_folders_within_a_class_belong_to_it() -> None:
    assert read_files({"ship/2026/11/a.png": picture()}).labels == [8]


def test_what_cannot_be_read_is_named_and_the_rest_is_read() -> None:
    files = {"cat/a.png": picture(), "cat/b.png": b"no picture", "cat/c.webp": b"RIFF", "notes.txt": b"by Ann"}
    contents = read_files(files)
    assert (contents.names, contents.ignored) == (["cat/a.png"], ["notes.txt"])
    assert [item.name for item in contents.unreadable] == ["cat/b.png", "cat/c.webp"]
    assert all(item.reason.startswith("neither a PNG nor a JPEG") for item in contents.unreadable)


def test_a_table_and_its_files_need_not_agree() -> None:
    table = b"Label,Path,by\ncat,a.png,Ann\n3,gone.png,Ann\ndog,notes.txt,Bob\n"
    contents = read_files({"list.csv": table, "a.png": picture(), "left.png": picture(1), "notes.txt": b""})
    assert (contents.names, contents.labels) == (["a.png"], [3])
    assert {item.name: item.reason for item in contents.unreadable} == {
        "gone.png": "named by the table and not there",
        "notes.txt": "not named as a picture",
        "left.png": "not in the table",
    }


def test_a_table_with_a_byte_order_mark_and_windows_line_ends_is_read() -> None:
    assert read_files({"list.csv": b"\xef\xbb\xbfpath,label\r\na.png,frog\r\n", "a.png": picture()}).labels == [6]


@pytest.mark.parametrize("path", ["/etc/passwd.png", "../other/a.png", "a/../../b.png", "C:/a.png", "..\\a.png", ""])
def test_a_table_cannot_name_what_lies_outside(path: str) -> None:
    with pytest.raises(DropError, match="expected paths within the drop"):
        read_files({"list.csv": f"path,label\n{path},cat\n".encode()})


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "holds no image"),
        ({"readme.txt": b""}, "holds no image"),
        ({"kitten/a.png": picture()}, "'kitten', which is no class; expected airplane"),
        ({"10/a.png": picture()}, "'10', which is no class"),
        ({"a.png": picture()}, "lies in no folder"),
        ({"a.bin": b"\x00" * 3073, "cat/a.png": picture()}, "mixes formats"),
        ({"a.csv": b"path,label\n", "b.csv": b"path,label\n"}, "2 tables"),
        ({"a.csv": b"file,label\n"}, "lacks the column path"),
        ({"a.csv": b""}, "lacks the column path and label"),
        ({"a.csv": b"path,label\nb.png,fish\n"}, "'fish', which is no class"),
        ({"a.csv": b"path,label\nb.png\n"}, "Row 1 of a.csv has 1 values"),
        ({"a.csv": b"path,label\n\xff.png,cat\n"}, "no CSV table in UTF-8"),
        ({"a.bin": b"\x00" * 3072}, "expected a multiple of 3,073"),
        ({"a.bin": b"\x0a" * 3073}, "labels outside 0 to 9"),
    ],
)
def test_a_drop_in_no_format_says_what_was_expected(files: dict[str, bytes], reason: str) -> None:
    with pytest.raises(DropError, match=reason):
        read_files(files)


def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    import pandas as pd

    drop = drop_table(tmp_path / "drop", noise(20))
    from_csv = read_folder(drop)
    pd.read_csv(drop / "labels.csv").to_parquet(drop / "labels.parquet")
    (drop / "labels.csv").unlink()
    assert read_folder(drop).names == from_csv.names
    assert read_folder(drop).labels == from_csv.labels
