"""Reads a folder of `.bin` files, and says what its identity is."""

import hashlib
from pathlib import Path

from tasks.errors import SourceError
from tasks.ingest import contents
from tasks.ingest.contents import Member, Rules

SUBFOLDER = "cifar-10-batches-bin"
"""Where the official archive, unpacked, puts its files."""


def digest(folder: Path) -> str:
    """SHA-256 over the names and SHA-256 of its `.bin` files: the same files have the same one, wherever they lie.

    Raises:
        SourceError: if it has none, or one cannot be read.
    """
    return _combined({path.name: _file_sha256(path) for path in _files(folder)})


def read(folder: Path, rules: Rules, sha256: str) -> list[Member]:
    """All files of a folder that hold images, in the order of their names; each is read once.

    Args:
        folder: The folder, or the one above `cifar-10-batches-bin`.
        rules: Which files count.
        sha256: What `digest` gave when the folder was chosen.

    Raises:
        SourceError: if a file cannot be read, is of a wrong size or format, or has changed since.
    """
    members: list[Member] = []
    digests: dict[str, str] = {}
    left = rules.max_bytes
    for path in _files(folder):
        if not rules.counts(path.name):
            digests[path.name] = _file_sha256(path)
            continue
        rules.check_size(path.name, path.stat().st_size, str(folder))
        left -= path.stat().st_size
        if left < 0:
            raise SourceError(f"{folder} holds more than {rules.max_bytes:,} bytes of images. Give fewer images.")
        data = _read_bytes(path)
        digests[path.name] = hashlib.sha256(data).hexdigest()
        members.append(contents.parse_member(path.name, data, digests[path.name], str(folder)))
    if _combined(digests) != sha256:
        raise SourceError(
            f"{folder} has changed since the run began: digest {_combined(digests)}, expected {sha256}. "
            "Start again when nothing writes to it any more."
        )
    return members


def _files(folder: Path) -> list[Path]:
    """Its visible `.bin` files, or those of the official subfolder where it has none itself."""
    for place in (folder, folder / SUBFOLDER):
        try:
            found = sorted(path for path in place.glob("[!.]*.bin") if path.is_file())
        except OSError as error:
            raise _unreadable(place, error) from error
        if found:
            return found
    raise SourceError(
        f"{folder} holds no .bin file, nor does a folder {SUBFOLDER} in it; expected data_batch_1.bin to "
        "data_batch_5.bin and test_batch.bin. Name the folder that holds them."
    )


def _combined(digests: dict[str, str]) -> str:
    lines = "".join(f"{name}\0{sha256}\n" for name, sha256 in sorted(digests.items()))
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()


def _file_sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> SourceError:
    return SourceError(f"{path} cannot be read: {error.strerror or error}. Check the file and its rights.")
