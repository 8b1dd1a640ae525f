"""The bundle: a folder, or a `.tar.gz` of it, with everything that somebody needs to serve one model.

Written by `seal` and `pack`, read by `check` and `opened`. Whoever reads one gets a private copy of which each byte
was hashed on its way, so nothing can be exchanged between the check and the use. Knows nothing of Keras.
"""

import hashlib
import io
import os
import stat
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from gzip import GzipFile
from pathlib import Path
from typing import BinaryIO, cast

from pydantic import ValidationError

from cnn_model.failures import BundleError, UsageError
from cnn_model.manifest import MANIFEST, MAX_FILE_BYTES, Description, FileEntry, Manifest
from cnn_model.tar_headers import BoundedTarInfo

ARCHIVE_SUFFIX = ".tar.gz"

_MAX_MANIFEST_BYTES = 2**20
_CHUNK = 2**20
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, OSError, ValueError)
"""What truncated and altered archives make the standard library raise."""


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are those that its manifest names, to the byte.

    Attributes:
        digest: SHA-256 of the manifest, which names each file by its own: it stands for the whole bundle, as a folder
            and as an archive.
        folder: A private copy, for as long as it is open.
    """

    manifest: Manifest
    digest: str
    folder: Path


def seal(folder: Path, description: Description) -> str:
    """Write the manifest, the last file of a bundle.

    Args:
        folder: Has all other files, and none that does not belong to a bundle.
        description: What the manifest says beside the files.

    Returns:
        The bundle's digest.

    Raises:
        BundleError: if a file is missing or there is one too many.
    """
    files = {}
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        files[path.relative_to(folder).as_posix()] = FileEntry(sha256=sha256, size_bytes=path.stat().st_size)
    try:
        manifest = Manifest(files=files, **{name: getattr(description, name) for name in Description.model_fields})
    except ValidationError as error:
        raise BundleError(f"{folder} is no bundle ({_why(error)})") from error
    content = (manifest.model_dump_json(indent=1) + "\n").encode()
    (folder / MANIFEST).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def pack(folder: Path, archive: Path) -> None:
    """Write a sealed bundle as a `.tar.gz`: the manifest first, no times, no owners; equal bundles are equal bytes.

    Args:
        folder: The bundle.
        archive: What is written; in it, all lies in a folder that is named by model and version.
    """
    manifest = _parsed((folder / MANIFEST).read_bytes(), str(folder))
    top = f"{manifest.model_name}-version-{manifest.model_version:06d}"
    with (
        archive.open("wb") as file,
        GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in (MANIFEST, *sorted(manifest.files)):
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = (folder / name).stat().st_size
            member.mode = 0o644
            with (folder / name).open("rb") as content:
                tar.addfile(member, content)


def check(place: Path, digest: str | None = None) -> tuple[Manifest, str]:
    """See that a bundle is what its manifest says.

    Args:
        place: A folder or a `.tar.gz`.
        digest: The bundle's, where it is known from elsewhere. Without it a bundle that somebody altered together with
            its manifest is not told from a good one.

    Returns:
        The manifest, and the bundle's digest.

    Raises:
        BundleError: if it is not; the message names the file.
        UsageError: if there is no bundle at that place.
    """
    return _read(place, digest, None)


@contextmanager
def opened(place: Path, digest: str | None = None) -> Iterator[Bundle]:
    """A verified copy of a bundle, for the time of the block. Arguments and errors are those of `check`."""
    with tempfile.TemporaryDirectory(prefix="bundle-") as folder:
        manifest, found = _read(place, digest, Path(folder))
        yield Bundle(manifest, found, Path(folder))


def _read(place: Path, digest: str | None, copy: Path | None) -> tuple[Manifest, str]:
    """Hash each file, and copy it where it is wanted."""
    if place.is_dir():
        members = _in_folder(place)
    elif place.name.endswith(ARCHIVE_SUFFIX) and place.is_file():
        members = _in_archive(place)
    else:
        raise UsageError(f"{place} is no bundle; expected its folder, or the {ARCHIVE_SUFFIX} of it; name one of them")
    try:
        first, file = next(members, ("nothing", io.BytesIO()))
        if first != MANIFEST:
            raise BundleError(f"{place} begins with {first!r}; expected {MANIFEST}. Get the bundle again")
        content = file.read(_MAX_MANIFEST_BYTES + 1)
        manifest, found = _parsed(content, str(place)), hashlib.sha256(content).hexdigest()
        if digest not in (None, found):
            raise BundleError(f"{place} has the digest {found}; expected {digest}. Get the bundle that was meant")
        left = dict(manifest.files)
        for name, file in members:
            if name not in left:
                raise BundleError(
                    f"{place} holds {name!r}, which its manifest does not name, or not twice. Nothing of it was "
                    "loaded; get the bundle again"
                )
            _copy(file, left.pop(name), None if copy is None else copy / name, f"{name} in {place}")
    except _DAMAGE as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise BundleError(f"{place} is truncated or damaged ({cause}). Get the bundle again") from error
    if left:
        raise BundleError(f"{place} lacks {', '.join(left)}. Get the bundle again")
    return manifest, found


def _parsed(content: bytes, place: str) -> Manifest:
    try:
        if len(content) > _MAX_MANIFEST_BYTES:
            raise BundleError(f"{MANIFEST} in {place} has more than {_MAX_MANIFEST_BYTES:,} bytes")
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise BundleError(f"{MANIFEST} in {place} cannot be right ({_why(error)}). Get the bundle again") from error


def _why(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}".lstrip(": ")


def _copy(file: BinaryIO, entry: FileEntry, target: Path | None, name: str) -> None:
    """Hash a file, and write it on the way.

    Raises:
        BundleError: if it is not the one of the manifest.
    """
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with open(os.devnull if target is None else target, "wb") as copied:
        # One byte more than there should be: a file that never ends is not read to its end.
        while size <= entry.size_bytes and (chunk := file.read(min(_CHUNK, entry.size_bytes + 1 - size))):
            digest.update(chunk)
            copied.write(chunk)
            size += len(chunk)
    if (size, digest.hexdigest()) != (entry.size_bytes, entry.sha256):
        more = "more than " if size > entry.size_bytes else ""
        raise BundleError(
            f"{name} has {more}{min(size, entry.size_bytes)} bytes and SHA-256 {digest.hexdigest()}; expected "
            f"{entry.size_bytes} bytes and {entry.sha256}. Nothing of it was loaded; get the bundle again"
        )


def _in_folder(folder: Path) -> Iterator[tuple[str, BinaryIO]]:
    """Each file of a folder, the manifest first; links and whatever else is no file are refused."""
    names = []
    for path in sorted(folder.rglob("*")):
        name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
        if stat.S_ISREG(mode):
            names.append(name)
        elif not stat.S_ISDIR(mode):
            raise BundleError(f"{folder} holds {name!r}, a link or a device; expected plain files alone")
    for name in sorted(names, key=lambda name: (name != MANIFEST, name)):
        # Whatever has come into its place since it was looked at.
        with open(os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            yield name, file


def _in_archive(archive: Path) -> Iterator[tuple[str, BinaryIO]]:
    """Each file of an archive in its order, without the folder that all of them lie in. Nothing is extracted."""
    top = ""
    with (
        GzipFile(archive, "rb") as packed,
        tarfile.open(fileobj=(bounded := _Bounded(packed)), mode="r|", tarinfo=BoundedTarInfo) as tar,
    ):
        for member in tar:
            top = top or member.name.partition("/")[0] + "/"
            if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or not member.name.startswith(top):
                raise BundleError(
                    f"{archive} holds {member.name!r}; expected plain files in {top} alone. Nothing of it was loaded"
                )
            yield member.name.removeprefix(top), cast(BinaryIO, tar.extractfile(member))
        # The end of it has a checksum of the whole.
        while bounded.read(_CHUNK):
            pass


class _Bounded(io.RawIOBase):
    """What an archive unpacks to, up to a limit: a small file may unpack to any size."""

    def __init__(self, file: GzipFile) -> None:
        self._file, self._left = file, 2 * MAX_FILE_BYTES

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(min(size, self._left))
        self._left -= len(content)
        if not self._left:
            raise ValueError(f"more than {2 * MAX_FILE_BYTES:,} bytes")
        return content
