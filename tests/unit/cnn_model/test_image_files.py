"""What lies in folders, archives and Parquet files is found in a fixed order and read one by one."""

import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from cnn_model.failures import BadDataError
from cnn_model.image_files import UnreadableFileError, describe, read
from tests.scoring import noise, pngs, write_folder, write_parquet, write_tar, write_zip

FILES = pngs(noise(6))
NAMES = [*sorted(FILES)]
ROWS = [{"path": name, "image": data} for name, data in FILES.items()]


def contents(place: Path) -> list[tuple[str, bytes]]:
    return [(file.name, file.read()) for file in read(place, lambda position, name: True)]


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz", "x.zip"])
def test_an_archive_gives_its_pictures_in_its_own_order(tmp_path: Path, name: str) -> None:
    files = {"readme.txt": b"no picture", "._0.png": b"left by a Mac", **FILES}
    place = (write_zip if name.endswith("zip") else write_tar)(tmp_path / name, files)
    assert contents(place) == [*FILES.items()]
    listing = describe(place)
    assert (listing.kind, listing.num_images) == ("archive", 6 if name.endswith("zip") else None)


def test_a_folder_gives_its_pictures_sorted_and_passes_over_the_rest(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "x", {"z.txt": b"", ".hidden/1.png": b"", ".1.png": b"", **FILES})
    assert contents(place) == [(name, FILES[name]) for name in NAMES]
    assert (describe(place).kind, describe(place).num_images) == ("folder", 6)


def test_a_name_that_is_no_text_is_one_all_the_same(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "x", FILES)
    os.rename(place / NAMES[0], os.fsencode(place) + b"/\xff.png")
    assert ("\ufffd.png", FILES[NAMES[0]]) in contents(place)
    assert describe(place).num_images == 6


def test_a_circle_of_links_is_not_followed(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "x", FILES)
    (place / "a" / "again").symlink_to(place)
    assert len(contents(place)) == 6


@pytest.mark.parametrize("name", ["path", "name", "file_name"])
def test_parquet_files_give_bytes_and_names(tmp_path: Path, name: str) -> None:
    rows = [{name: row["path"], "image": row["image"], "bytes_of_something": b""} for row in ROWS]
    write_parquet(tmp_path / "x" / "2.parquet", rows[4:])
    write_parquet(tmp_path / "x" / "1.parquet", rows[:4])
    assert contents(tmp_path / "x") == [*FILES.items()]
    assert describe(tmp_path / "x").num_images == 6
    assert contents(tmp_path / "x" / "1.parquet") == [*FILES.items()][:4]


def test_hugging_faces_structs_and_rows_without_a_name(tmp_path: Path) -> None:
    rows = [{"img": {"bytes": data, "path": name if name[0] == "a" else None}} for name, data in FILES.items()]
    names = [name for name, _ in contents(write_parquet(tmp_path / "x.parquet", rows))]
    assert names == ["a/0000.png", "x.parquet#1", "a/0002.png", "x.parquet#3", "a/0004.png", "x.parquet#5"]


def test_a_row_without_an_image_is_unreadable(tmp_path: Path) -> None:
    place = write_parquet(tmp_path / "x.parquet", [*ROWS, {"path": "none", "image": None}])
    *_, last = read(place, lambda position, name: True)
    with pytest.raises(UnreadableFileError, match="no image in this row"):
        last.read()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"path": "a", "label": 1}, "0 columns of bytes among path, label; expected one"),
        ({"left": b"", "right": b""}, "2 columns of bytes among left, right"),
    ],
)
def test_which_column_has_the_images_must_be_plain(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(BadDataError, match=message):
        describe(write_parquet(tmp_path / "x.parquet", [row]))


@pytest.mark.parametrize("name", ["x", "x.tar.gz", "x.zip", "x.parquet"])
def test_what_is_not_wanted_is_counted_and_not_read(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    if name == "x":
        write_folder(place, FILES)
    elif name == "x.parquet":
        write_parquet(place, ROWS)
    else:
        (write_zip if name == "x.zip" else write_tar)(place, FILES)
    asked: list[tuple[int, str]] = []

    def wanted(position: int, name: str) -> bool:
        asked.append((position, name))
        return position >= 4

    found = [(file.position, file.name, file.read()) for file in read(place, wanted)]
    names = NAMES if name == "x" else [*FILES]
    assert asked == [*enumerate(names)]
    assert found == [(place, names[place], FILES[names[place]]) for place in (4, 5)]


def test_the_digest_tells_of_any_file_that_changed(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "x", FILES)
    before = describe(place).digest
    assert describe(place).digest == before
    status = (place / NAMES[0]).stat()
    os.utime(place / NAMES[0], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    touched = describe(place).digest
    (place / NAMES[0]).rename(place / "c.png")
    assert len({before, touched, describe(place).digest}) == 3


def test_a_picture_that_is_gone_is_unreadable_and_the_others_are_not(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "x", FILES)
    found = [*read(place, lambda position, name: True)]
    (place / NAMES[0]).unlink()
    with pytest.raises(UnreadableFileError, match="cannot be read: No such file"):
        found[0].read()
    assert found[1].read() == FILES[NAMES[1]]


def test_a_damaged_entry_of_a_zip_is_unreadable_alone(tmp_path: Path) -> None:
    place = write_zip(tmp_path / "x.zip", FILES)
    data = place.read_bytes()
    first = FILES[next(iter(FILES))]
    place.write_bytes(data.replace(first, bytes(len(first))))
    found = [*read(place, lambda position, name: True)]
    with pytest.raises(UnreadableFileError, match="damaged in the archive: Bad CRC"):
        found[0].read()
    assert [file.read() for file in found[1:]] == [*FILES.values()][1:]


@pytest.mark.parametrize("name", ["x.tar.gz", "x.zip", "x.parquet"])
def test_a_cut_file_is_damaged_as_a_whole(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    if name == "x.parquet":
        write_parquet(place, ROWS)
    else:
        (write_zip if name == "x.zip" else write_tar)(place, FILES)
    place.write_bytes(place.read_bytes()[:-2000])
    with pytest.raises(BadDataError, match=rf"{name} is damaged or incomplete: .*get it again"):
        contents(place)


def test_nothing_to_score_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_tar(tmp_path / "empty.tar", {"readme.txt": b""})
    write_zip(tmp_path / "empty.zip", {})
    write_folder(tmp_path / "both", {"a.png": b""})
    write_parquet(tmp_path / "both" / "b.parquet", ROWS)
    (tmp_path / "notes.txt").write_text("")
    for name, message in {
        "empty": "holds no image; expected a folder of PNG or JPEG files",
        "empty.tar": "holds no image",
        "empty.zip": "holds no image",
        "both": "pictures and Parquet files; expected one of the two",
        "notes.txt": "is no such file; expected",
        "nowhere": "is not there; expected",
    }.items():
        with pytest.raises(BadDataError, match=message):
            describe(tmp_path / name)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_of_any_size_is_not_read(tmp_path: Path, kind: bytes) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, 2**20 + 1
    place = write_tar(tmp_path / "x.tar", FILES)
    place.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + bytes(2**20 + 512) + place.read_bytes())
    with pytest.raises(BadDataError, match="a header of 1,048,577 bytes; expected 1,048,576 at most"):
        contents(place)


def test_long_names_are_read(tmp_path: Path) -> None:
    name = f"{'x' * 300}.png"
    assert contents(write_tar(tmp_path / "x.tar", {name: FILES[NAMES[0]]})) == [(name, FILES[NAMES[0]])]


def test_names_that_lead_out_of_an_archive_are_names_and_no_paths(tmp_path: Path) -> None:
    place = write_tar(tmp_path / "x.tar", {"../out.png": FILES[NAMES[0]]})
    with tarfile.open(place, "a") as tar:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert contents(place) == [("../out.png", FILES[NAMES[0]])]
    assert not (tmp_path.parent / "out.png").exists()
