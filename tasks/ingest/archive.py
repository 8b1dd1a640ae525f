"""Reads a tar.gz archive as a stream, once, and trusts nothing in it.

Nothing is extracted and no path of the archive is ever used as a path: only base names count, and only those of
regular files. What is unpacked, and the number of entries, is bounded, so a small file cannot fill the memory. The
archive's own SHA-256 is computed on the way.
"""

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, cast

from tasks.errors import SourceError
from tasks.ingest import contents
from tasks.ingest.contents import Member, Rules

MAX_ENTRIES = 1_000
"""The official archive has 9. Each entry costs memory even when it is passed over."""

MAX_OTHER_BYTES = 16 * 2**20
"""For what stands beside the images: headers, a readme, the class names."""

_CHUNK_BYTES = 2**20
_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError, ValueError, OverflowError)
"""What truncated and altered archives make the standard library raise; seen, or read in its source."""


def read(path: Path, rules: Rules, sha256: str) -> list[Member]:
    """All files of an archive that hold images, in the order of their names.

    Args:
        path: The archive.
        rules: Which files count.
        sha256: What the archive's digest was when it was chosen.

    Raises:
        SourceError: if it is damaged, too large, holds a file twice, or has changed since.
    """
    try:
        with path.open("rb") as file:
            raw = _Hashed(file)
            members = _read_stream(raw, rules, path.name)
            raw.drain()
    except _DAMAGE as error:
        raise SourceError(
            f"{path} is no complete tar.gz archive: {error or type(error).__name__} (it has {path.stat().st_size:,} "
            f"bytes; the official one {rules.official.archive.size_bytes:,}). "
            "Get it again; `--source cifar10` downloads and checks the official one."
        ) from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}. Check the file and its disk.") from error
    if raw.sha256 != sha256:
        raise SourceError(
            f"{path} has changed since the run began: SHA-256 {raw.sha256}, expected {sha256}. "
            "Start again when nothing writes to it any more."
        )
    return members


def _read_stream(raw: "_Hashed", rules: Rules, where: str) -> list[Member]:
    # `read` is all that both libraries call on a stream.
    with gzip.GzipFile(fileobj=cast(IO[bytes], raw), mode="rb") as unzipped:
        bounded = _Bounded(unzipped, rules.max_bytes + MAX_OTHER_BYTES, where)
        with tarfile.open(fileobj=cast(IO[bytes], bounded), mode="r|", bufsize=_CHUNK_BYTES) as tar:
            members = _members(tar, rules, where)
        while bounded.read(_CHUNK_BYTES):
            pass  # to the end, where gzip compares its checksum
    return members


def _members(tar: tarfile.TarFile, rules: Rules, where: str) -> list[Member]:
    members: dict[str, Member] = {}
    for name, size_bytes, file in _entries(tar, rules, where):
        if name in members:
            raise SourceError(f"{where} holds {name} twice; expected it once. Pack the archive anew.")
        rules.check_size(name, size_bytes, where)
        data = file.read(size_bytes)
        members[name] = contents.parse_member(name, data, hashlib.sha256(data).hexdigest(), where)
    return [members[name] for name in sorted(members)]


def _entries(tar: tarfile.TarFile, rules: Rules, where: str) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Base name, size and content of each entry that counts; links, devices and sparse files never do."""
    for number, entry in enumerate(tar):
        if number >= MAX_ENTRIES:
            raise SourceError(f"{where} holds more than {MAX_ENTRIES:,} entries. Pack only the .bin files.")
        name = PurePosixPath(entry.name).name
        if entry.isreg() and not entry.issparse() and rules.counts(name):
            file = tar.extractfile(entry)
            assert file is not None  # it is a regular file
            yield name, entry.size, file


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Hashed:
    """A file that is read forward, with the SHA-256 of what was read."""

    def __init__(self, file: _Readable) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        return data

    def drain(self) -> None:
        while self.read(_CHUNK_BYTES):
            pass


class _Bounded:
    """A stream that gives at most `limit` bytes and then refuses."""

    def __init__(self, file: _Readable, limit: int, where: str) -> None:
        self._file = file
        self._left = limit
        self._message = (
            f"{where} unpacks to more than {limit:,} bytes, which is all that the images it may hold need. "
            f"Pack only the .bin files; own images may be more with {contents.ALLOW}, up to "
            f"{contents.MAX_UNOFFICIAL_BYTES:,} bytes."
        )

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise SourceError(self._message)
        return data
