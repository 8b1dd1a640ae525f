"""Images that lie in a folder, an archive or Parquet files: in a fixed order, one after another, never all at once.

Names are relative, with forward slashes. Nothing is extracted, and no name of an archive is ever used as a path.
"""

import hashlib
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from cnn_model.decoding import MAX_FILE_BYTES, SUFFIXES
from cnn_model.failures import BadDataError
from cnn_model.tar_headers import BoundedTarInfo

Kind = Literal["folder", "archive", "parquet"]

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
PARQUET = ".parquet"
ROWS_AT_ONCE = 16
"""Of a Parquet file; each may hold an image of any size."""

EXPECTED = f"a folder of PNG or JPEG files, an archive of them ({', '.join(ARCHIVES)}), or {PARQUET} files"

_DAMAGE = (EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile, OSError, ValueError)
"""What truncated and altered archives make the standard library raise."""


class UnreadableFileError(BadDataError):
    """One file that cannot be read, beside others that can; the message says why in a few words."""


class ImageFile(NamedTuple):
    """One image, still encoded.

    Attributes:
        position: Counted from 0 over all images, those that were not wanted included.
        name: Its path in the folder or archive; of a Parquet row what the column of paths says, else "FILE#ROW".
        read: Gives the bytes, in any thread. Raises UnreadableFileError.
    """

    position: int
    name: str
    read: Callable[[], bytes]


Wanted = Callable[[int, str], bool]
"""Whether the bytes of the image at a position, with a name, will be asked for."""


@dataclass(frozen=True)
class Listing:
    """What lies at a place, without its content.

    Attributes:
        digest: SHA-256 over names, sizes and times of change of all files; equal as long as nobody writes to them.
        num_images: How many there are; None of a tar archive, which does not say before it is read.
    """

    kind: Kind
    digest: str
    num_images: int | None


def describe(place: Path) -> Listing:
    """List what lies at a place.

    Raises:
        BadDataError: if there is no image, or images in two forms, or it cannot be read.
    """
    kind = _kind(place)
    digest, num_images = hashlib.sha256(), 0
    for name, path in _files(place, kind):
        try:
            status = path.stat()
        except OSError as error:  # it was there a moment ago
            raise BadDataError(
                f"{path} cannot be read: {error.strerror}; start again when nobody writes to the folder"
            ) from error
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        num_images += _num_rows(path) if kind == "parquet" else 1
    if kind == "archive":
        return Listing(kind, digest.hexdigest(), _num_entries(place))
    if num_images == 0:
        raise BadDataError(f"{place} holds no image; expected {EXPECTED}; name the folder that has them")
    return Listing(kind, digest.hexdigest(), num_images)


def read(place: Path, wanted: Wanted) -> Iterator[ImageFile]:
    """The wanted images of a place, in the order of their names; of an archive in its own order.

    Raises:
        BadDataError: if an archive or a Parquet file is damaged, or a disk fails.
    """
    match _kind(place):
        case "folder":
            for position, (name, path) in enumerate(_files(place, "folder")):
                if wanted(position, name):
                    yield ImageFile(position, name, partial(_read_file, path))
        case "archive":
            entries = _zip_entries if place.suffix.lower() == ".zip" else _tar_entries
            with _explained(place):
                yield from entries(place, wanted)
        case "parquet":
            positions = count()
            for name, path in _files(place, "parquet"):
                with _explained(path):
                    yield from _rows(name, path, positions, wanted)


def _kind(place: Path) -> Kind:
    if place.is_dir():
        suffixes = {PurePosixPath(name).suffix.lower() for name, _ in _walk(place)}
        if PARQUET in suffixes and not suffixes.isdisjoint(SUFFIXES):
            raise BadDataError(f"{place} holds pictures and Parquet files; expected one of the two; name them apart")
        return "parquet" if PARQUET in suffixes else "folder"
    if place.is_file():
        if place.name.lower().endswith(PARQUET):
            return "parquet"
        if place.name.lower().endswith(ARCHIVES):
            return "archive"
    what = "is no such file" if place.exists() else "is not there"
    raise BadDataError(f"{place} {what}; expected {EXPECTED}; check the name")


def _files(place: Path, kind: Kind) -> Iterator[tuple[str, Path]]:
    """The files of a place that count, with their names."""
    if not place.is_dir():
        yield place.name, place
        return
    suffixes = (PARQUET,) if kind == "parquet" else SUFFIXES
    for name, path in _walk(place):
        if PurePosixPath(name).suffix.lower() in suffixes:
            yield _text(name), path


def _walk(folder: Path, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """All files below a folder but hidden ones; links to folders are not followed, which could lead in a circle.

    The names of one folder at a time are in memory.
    """
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                    elif entry.is_file():
                        files.append(entry.name)
    except OSError as error:
        raise BadDataError(f"{folder} cannot be listed: {error.strerror}; give the right to read it") from error
    for name in sorted(files):
        yield prefix + name, folder / name
    for name in sorted(folders):
        yield from _walk(folder / name, f"{prefix}{name}/")


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise UnreadableFileError(f"cannot be read: {error.strerror}") from error
    except OSError as error:  # a disk or a network that fails: the next file would fail as well
        raise BadDataError(f"{path} cannot be read: {error.strerror}; check the disk and go on") from error


def _tar_entries(place: Path, wanted: Wanted) -> Iterator[ImageFile]:
    position = 0
    with tarfile.open(place, "r|*", tarinfo=BoundedTarInfo) as tar:
        while (entry := tar.next()) is not None:
            # Python keeps every entry that it has seen; a million of them would take a gigabyte.
            tar.members.clear()  # type: ignore[attr-defined]
            if not entry.isreg() or entry.issparse() or not _counts(entry.name):
                continue
            name = _text(entry.name)
            if wanted(position, name):
                file = tar.extractfile(entry)
                assert file is not None  # it is a regular file
                # At once: the stream has no way back.
                yield ImageFile(position, name, partial(_given, file.read(MAX_FILE_BYTES + 1)))
            position += 1


def _zip_entries(place: Path, wanted: Wanted) -> Iterator[ImageFile]:
    with zipfile.ZipFile(place) as archive:
        entries = (entry for entry in archive.infolist() if not entry.is_dir() and _counts(entry.filename))
        for position, entry in enumerate(entries):
            if wanted(position, entry.filename):
                yield ImageFile(position, entry.filename, _read_entry(archive, entry))


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Callable[[], bytes]:
    try:
        with archive.open(entry) as file:
            return partial(_given, file.read(MAX_FILE_BYTES + 1))
    # Each entry stands for itself, with a checksum of its own. One that is encrypted, or packed in a foreign
    # way, is a RuntimeError.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        return partial(_refused, f"damaged in the archive: {error}")


def _rows(file_name: str, path: Path, positions: Iterator[int], wanted: Wanted) -> Iterator[ImageFile]:
    import pyarrow.parquet as pq  # a tenth of a second

    with pq.ParquetFile(path) as file:
        image, name = _columns(file.schema_arrow, path)
        row = 0
        # In one thread and with no reading ahead: a column of images is large.
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=[image, *([name] if name else [])], use_threads=False):
            names = batch.column(name) if name else None
            for place, value in enumerate(batch.column(image)):
                given = value.as_py()
                data, inner = (given.get("bytes"), given.get("path")) if isinstance(given, dict) else (given, None)
                called = str((names[place].as_py() if names is not None else inner) or f"{file_name}#{row}")
                position = next(positions)
                if wanted(position, called):
                    read = partial(_refused, "no image in this row") if data is None else partial(_given, data)
                    yield ImageFile(position, called, read)
                row += 1


def _columns(schema: Any, path: Path) -> tuple[str, str | None]:
    """The column of encoded images, and that of their names.

    An image is a column of bytes, or a struct with `bytes` and maybe `path`, as Hugging Face's datasets have it.
    """
    import pyarrow.types as types

    def holds_bytes(kind: Any) -> bool:
        if types.is_struct(kind):
            return any(field.name == "bytes" and holds_bytes(field.type) for field in kind)
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    found = [field.name for field in schema if holds_bytes(field.type)]
    image = next((name for name in ("image", "img") if name in found), found[0] if len(found) == 1 else None)
    if image is None:
        raise BadDataError(
            f"{path} has {len(found)} columns of bytes among {', '.join(schema.names)}; expected one, with PNG or JPEG "
            "files; call that one `image`"
        )
    return image, next((name for name in ("path", "name", "file_name") if name in schema.names), None)


def _num_rows(path: Path) -> int:
    import pyarrow.parquet as pq

    with _explained(path), pq.ParquetFile(path) as file:
        _columns(file.schema_arrow, path)
        return int(file.metadata.num_rows)


def _num_entries(place: Path) -> int | None:
    with _explained(place):
        if place.suffix.lower() != ".zip":
            for _ in _tar_entries(place, lambda position, name: True):
                return None
            num_entries = 0
        else:
            with zipfile.ZipFile(place) as archive:
                num_entries = sum(not entry.is_dir() and _counts(entry.filename) for entry in archive.infolist())
    if num_entries == 0:
        raise BadDataError(f"{place} holds no image; expected {EXPECTED}; name the archive that has them")
    return num_entries


def _counts(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not any(
        part.startswith(".") and part not in (".", "..") for part in path.parts
    )


def _text(name: str) -> str:
    """A name as text: bytes that are none, which Python keeps as surrogates, could be written nowhere."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def _given(data: bytes) -> bytes:
    return data


def _refused(reason: str) -> bytes:
    raise UnreadableFileError(reason)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise BadDataError(f"{path} is damaged or incomplete: {cause}; expected {EXPECTED}; get it again") from error
