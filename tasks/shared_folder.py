"""Files of the store that are no artifacts and that whoever has the store must see: results of steps, decisions,
reports, checkpoints, bundles, the log of scorings.

A shared folder is a folder on this machine, which steps and people work in. Where the store itself is a local folder
that is all there is to it. Where it is on object storage (`tasks.remote_store`) there is the truth: small files are
read and written there, and of larger ones the folder here is a copy that is brought and sent.
"""

import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tasks.files import write_atomically


class SharedFolder:
    """One in a local store.

    Args:
        path: The folder here; it is there.

    Attributes:
        path: The folder here.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def place(self, *names: str) -> str:
        """Where a file in it is, for people: a path, or a URL."""
        return str(self.path.joinpath(*names))

    def names(self, pattern: str) -> dict[str, float]:
        """The names of all files that fit, sorted, and when each was written.

        Args:
            pattern: A name with `*` in it for any letters but a slash: `*.json`, `*/summary.json`.

        Returns:
            Seconds since the epoch by name; names are relative, with forward slashes.
        """
        found = {}
        for path in sorted(self.path.glob(pattern)):
            with suppress(FileNotFoundError):  # removed meanwhile
                status = path.stat()
                if stat.S_ISREG(status.st_mode):
                    found[path.relative_to(self.path).as_posix()] = status.st_mtime
        return found

    def read(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """The bytes of files by name, without those that are not there."""
        found = {}
        for name in names:
            try:
                found[name] = (self.path / name).read_bytes()
            except FileNotFoundError:
                continue
        return found

    def write(self, name: str, text: str) -> None:
        """Write one file, whole or not at all, whatever was there."""
        write_atomically(self.path / name, text)

    def bring(self, prefix: str = "") -> None:
        """Have the files here that are there; what is only here stays.

        Args:
            prefix: Of their names; none means all.
        """

    def send(self, prefix: str = "") -> None:
        """Have the files there that are here, each whole or not at all; what is only there stays. One that was brought
        or sent as it is is not sent again, and drafts never are.

        Args:
            prefix: Of their names; none means all.
        """

    @contextmanager
    def followed(self, last: str) -> Iterator[None]:
        """While the block runs, have there what is written here a moment after it is, and no more what is removed here.

        A network that is lost meanwhile is said in the log, and made up for later.

        Args:
            last: Ending of the files that say that others are whole: sent after them, and removed before.
        """
        yield

    def remove(self, names: Iterable[str]) -> None:
        """Remove files there; what is here, whoever works here removes."""
