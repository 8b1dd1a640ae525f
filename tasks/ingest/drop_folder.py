"""Where drops lie: which there are, their files, and moving one aside. The only module that knows that it is a folder.

    FOLDER/2026-11-20-berlin/             a drop
    FOLDER/2026-11-20-berlin/_SUCCESS     says that it is complete
    FOLDER/2026-11-20-berlin/receipt.json says that it was taken; written by the pipeline, as a whole or not at all
    FOLDER/_quarantine/NAME/reason.json   a drop that was moved aside, and why

For a folder on object storage this class is what has to be written anew: a listing, reading and writing one object,
and a move, which there is a copy of each object before the first is deleted.
"""

import errno
import hashlib
import os
import re
import stat
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tasks.errors import ConfigurationError

MARKER = "_SUCCESS"
RECEIPT = "receipt.json"
REASON = "reason.json"
QUARANTINE = "_quarantine"

OURS = frozenset({MARKER, RECEIPT, REASON})
"""Files at the top of a drop that are no content of it."""

UNFINISHED = (".tmp", ".part")


class DropUnreadableError(Exception):
    """A drop that cannot be listed or read now; the message says why. It waits."""


@dataclass(frozen=True)
class Listing:
    """The files of one drop.

    Attributes:
        sizes: Bytes of each file that counts, by its name within the drop, sorted.
        marked: Whether the marker is there.
        unfinished: A file that somebody is still writing, by its name; None where there is none.
        age_seconds: Since the last change of anything in it.
    """

    sizes: dict[str, int]
    marked: bool
    unfinished: str | None
    age_seconds: float

    @property
    def sha256(self) -> str:
        """Of names and sizes. It tells that a drop was altered, never what it holds."""
        lines = "".join(f"{name}\0{size}\n" for name, size in self.sizes.items())
        return hashlib.sha256(lines.encode()).hexdigest()


class DropFolder:
    """A drops folder.

    Args:
        address: A path or a file:// URL.

    Raises:
        ConfigurationError: if it is another kind of URL, or no folder.
    """

    def __init__(self, address: str) -> None:
        self.root = _path_of(address)
        if not self.root.is_dir():
            raise ConfigurationError(f"--ingest.drops is {address!r}, which is no folder; make it, or name another.")

    def entries(self) -> list[str]:
        """Whatever lies in it and may be a drop, sorted; names that begin with a dot or an underscore never are."""
        try:
            return sorted(name for name in os.listdir(self.root) if not name.startswith((".", "_")))
        except OSError as error:
            raise ConfigurationError(f"--ingest.drops, {self.root}, cannot be read: {error.strerror}.") from error

    def listing(self, name: str) -> Listing:
        """The files of a drop.

        Raises:
            DropUnreadableError: if it is no folder, or holds a link or something else that is no plain file.
        """
        sizes: dict[str, int] = {}
        unfinished: str | None = None
        marked, newest = False, 0.0
        try:
            if not stat.S_ISDIR((self.root / name).lstat().st_mode):
                raise DropUnreadableError("it is no folder; put it into a folder of its own")
            for inside, status in self._listed(name):
                if inside not in (RECEIPT, REASON):
                    newest = max(newest, status.st_mtime)
                if stat.S_ISDIR(status.st_mode) or inside in OURS:
                    marked = marked or inside == MARKER
                elif inside.lower().endswith(UNFINISHED):
                    unfinished = inside
                else:
                    sizes[inside] = status.st_size
        except OSError as error:
            raise DropUnreadableError(f"it cannot be read: {error.strerror}. Check its rights.") from error
        return Listing(dict(sorted(sizes.items())), marked, unfinished, time.time() - newest)

    def read(self, name: str, file: str) -> bytes:
        """The bytes of one file.

        Raises:
            DropUnreadableError: if it cannot be read.
        """
        try:
            return (self.root / name / file).read_bytes()
        except OSError as error:
            raise DropUnreadableError(f"{file} cannot be read: {error.strerror}. Check its rights.") from error

    def sha256(self, name: str, file: str) -> str:
        """The digest of one file, which need not fit into memory.

        Raises:
            DropUnreadableError: if it cannot be read.
        """
        try:
            with (self.root / name / file).open("rb") as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise DropUnreadableError(f"{file} cannot be read: {error.strerror}. Check its rights.") from error

    def receipt(self, name: str) -> bytes | None:
        """A drop's receipt, None where it has none.

        Raises:
            DropUnreadableError: if it cannot be read.
        """
        try:
            return (self.root / name / RECEIPT).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DropUnreadableError(f"its {RECEIPT} cannot be read: {error.strerror}. Check its rights.") from error

    def place(self, name: str) -> str:
        """Where a drop lies, as people and programs find it."""
        return str(self.root / name)

    def write(self, name: str, file: str, text: str) -> None:
        """Write a file of ours into a drop: whole or not at all, and on disk when this returns."""
        target = self.root / name / file
        draft = target.with_name(f".{file}.{uuid.uuid4().hex}.tmp")
        try:
            with draft.open("w", encoding="utf-8") as opened:
                opened.write(text)
                opened.flush()
                os.fsync(opened.fileno())
            os.replace(draft, target)
            _flush(target.parent)
        finally:
            draft.unlink(missing_ok=True)

    def quarantine(self, name: str) -> str:
        """Move a drop aside, in one step, under its name or the next free one; where it lies now."""
        place = self.root / QUARANTINE
        place.mkdir(exist_ok=True)
        number = 1
        while True:
            target = place / (name if number == 1 else f"{name}.{number}")
            try:
                # Also a folder that is empty counts as taken: a rename would replace it.
                if not target.exists():
                    os.rename(self.root / name, target)
                    _flush(place)
                    _flush(self.root)
                    return str(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            number += 1

    def _listed(self, name: str) -> Iterator[tuple[str, os.stat_result]]:
        """All that is visible in a drop, folders included, itself first, under the name "."; nothing is followed.

        Raises:
            DropUnreadableError: if it holds what is neither folder nor plain file.
        """
        top = self.root / name
        yield ".", top.lstat()
        todo = [top]
        while todo:
            with os.scandir(todo.pop()) as scanned:
                entries = list(scanned)
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if not is_plain(entry.name):
                    raise DropUnreadableError(f"it holds {entry.name!a}, a name that is no plain text; rename the file")
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    todo.append(Path(entry.path))
                elif not stat.S_ISREG(status.st_mode):
                    raise DropUnreadableError(f"it holds {entry.name}, a link or a device; put the file itself there")
                yield Path(entry.path).relative_to(top).as_posix(), status


def is_plain(name: str) -> bool:
    """Whether a name is printable text; others can stand in no report, and those that are no UTF-8 in no JSON."""
    return name.isprintable()


def _path_of(address: str) -> Path:
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", address)
    if scheme is None:
        return Path(address).expanduser().absolute()
    if scheme[1].lower() != "file":
        raise ConfigurationError(f"--ingest.drops is {address!r}; expected a path or a file:// URL of a local folder.")
    return Path(unquote(urlsplit(address).path)).absolute()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
