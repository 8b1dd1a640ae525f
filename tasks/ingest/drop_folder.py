"""Drops in a local folder. The only module that knows that it is one."""

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from tasks import locks
from tasks.addresses import local_path
from tasks.errors import ConfigurationError
from tasks.files import flush, write_atomically
from tasks.ingest.drop_place import (
    MARKER,
    OURS,
    QUARANTINE,
    REASON,
    RECEIPT,
    UNFINISHED,
    DropUnreadableError,
    Listing,
    is_plain,
)


class DropFolder:
    """A drops folder: a `DropPlace`, whose methods are described there.

    Args:
        address: A path or a file:// URL.

    Raises:
        ConfigurationError: if it is no folder.
    """

    def __init__(self, address: str) -> None:
        self.root = local_folder(address, "--ingest.drops")

    @property
    def address(self) -> str:
        """The folder's absolute path."""
        return str(self.root)

    def turn(self, waiting: Callable[[str], None]) -> AbstractContextManager[None]:
        """By a lock of the kernel's, which goes with its holder."""
        return locks.turn(self.root, ".drops", waiting)

    def entries(self) -> list[str]:
        """Files, too: `listing` says what they are."""
        try:
            return sorted(name for name in os.listdir(self.root) if not name.startswith((".", "_")))
        except OSError as error:
            raise ConfigurationError(f"--ingest.drops, {self.root}, cannot be read: {error.strerror}.") from error

    def listing(self, name: str) -> Listing:
        """A link is no plain file, either."""
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
        """At once."""
        try:
            return (self.root / name / file).read_bytes()
        except OSError as error:
            raise DropUnreadableError(f"{file} cannot be read: {error.strerror}. Check its rights.") from error

    def digests(self, name: str, files: Iterable[str]) -> dict[str, str]:
        """One file after the other."""
        return {file: self._sha256(name, file) for file in files}

    def receipt(self, name: str) -> bytes | None:
        """None also for what is no folder."""
        try:
            return (self.root / name / RECEIPT).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DropUnreadableError(f"its {RECEIPT} cannot be read: {error.strerror}. Check its rights.") from error

    def place(self, name: str) -> str:
        """Its path."""
        return str(self.root / name)

    def write(self, name: str, file: str, text: str) -> None:
        """A draft, then a rename; on disk when this returns."""
        write_atomically(self.root / name / file, text)

    def quarantine(self, name: str) -> str:
        """By one rename."""
        place = self.root / QUARANTINE
        place.mkdir(exist_ok=True)
        number = 1
        while True:
            target = place / (name if number == 1 else f"{name}.{number}")
            try:
                # Also a folder that is empty counts as taken: a rename would replace it.
                if not target.exists():
                    os.rename(self.root / name, target)
                    flush(place)
                    flush(self.root)
                    return str(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            number += 1

    def _sha256(self, name: str, file: str) -> str:
        try:
            with (self.root / name / file).open("rb") as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise DropUnreadableError(f"{file} cannot be read: {error.strerror}. Check its rights.") from error

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


def local_folder(address: str, option: str) -> Path:
    """The folder that an option names by a path or a file:// URL.

    Raises:
        ConfigurationError: if it is another kind of URL, or no folder.
    """
    path = local_path(address, option, "a path or a file:// URL of a local folder")
    if not path.is_dir():
        raise ConfigurationError(f"{option} is {address!r}, which is no folder; make it, or name another.")
    return path
