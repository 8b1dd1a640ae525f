"""What lies in a store, with its size and the time of its last use, and how it is taken away.

Beside `tasks.store` the only module that sees the layout. It knows nothing of what may go: `tasks.retention` decides.
Nothing is ever half there: a file goes by one deletion, a folder by one rename into `staging`, and what a killed
process leaves in there is cleared by the next one.
"""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from cnn_model.bundle import ARCHIVE_SUFFIX
from tasks import locks
from tasks.errors import StoreError
from tasks.store import CHECKPOINTS, MANIFEST, Store

Kind = Literal["results", "artifacts", "bundles", "runs", "predictions", "datasets", "downloads", "leftovers"]
"""`leftovers` are of processes that were killed: staging, checkpoints, downloads that were broken off."""

PRUNED = "pruned-"
"""What stands before the name of a folder in staging that is on its way out."""

MAX_TEXT_BYTES = 2**20
"""A larger JSON file of an artifact is data; the records that name other artifacts have some hundred bytes."""


@dataclass(frozen=True)
class Item:
    """One thing that is kept or removed as a whole.

    Attributes:
        name: Within its kind: an artifact's digest, a run's id, `MODEL/version-000001` of a bundle.
        size_bytes: Sum of its files.
        used_at: When it was last changed, or an artifact last fetched; seconds since the epoch.
    """

    kind: Kind
    name: str
    size_bytes: int
    used_at: float


class Inventory(Protocol):
    """What `tasks.retention` asks of a store, wherever it lies."""

    @property
    def place(self) -> str:
        """As people may be told."""

    def items(self) -> list[Item]:
        """All that lies there but the ledger, decisions, locks and databases.

        Raises:
            StoreError: if the store cannot be read.
        """

    def texts(self, item: Item, only: str | None = None) -> Iterator[tuple[str, bytes]]:
        """Names and contents of its files that may name artifacts; of that one alone, where a name is given.

        Raises:
            StoreError: if the store cannot be read.
        """

    def models(self) -> list[str]:
        """The registered models that decisions were made about, sorted.

        Raises:
            StoreError: if the store cannot be read.
        """

    def remove(self, item: Item, unused_since: float) -> bool:
        """Take an item away; whether it went. One that was used after `unused_since` stays.

        Raises:
            StoreError: if the store cannot be written.
        """

    def turn(self, waiting: Callable[[str], None]) -> AbstractContextManager[None]:
        """Wait until nobody else removes anything, then be the one who does.

        Args:
            waiting: Told once who is waited for, where somebody is.
        """

    def tidy(self) -> None:
        """Finish what a killed process began to remove; within a `turn`."""


class FolderInventory:
    """The `Inventory` of a store in a local folder."""

    def __init__(self, opened: Store) -> None:
        self._store, self._root = opened, opened.root

    @property
    def place(self) -> str:
        """The store's folder."""
        return str(self._root)

    def items(self) -> list[Item]:
        """See `Inventory`."""
        with self._explained("read"):
            return [item for item in self._found() if item is not None]

    def _found(self) -> list[Item | None]:
        return [
            *(self._item("results", path) for path in self._in("results") if path.is_file()),
            *(self._item("artifacts", path) for group in self._in("artifacts") for path in self._in(group)),
            *(self._item("runs", path) for path in self._in("runs")),
            *(self._item("predictions", path, 2) for model in self._in("predictions") for path in self._in(model)),
            *(self._item("datasets", path) for path in self._in("datasets")),
            *(self._item("downloads", path) for path in self._in("downloads") if path.suffix != ".part"),
            *(self._item("leftovers", path, 2) for path in self._in("downloads") if path.suffix == ".part"),
            *(self._item("leftovers", path, 2) for path in self._in("staging")),
            *(self._item("leftovers", path, 2) for path in self._in(CHECKPOINTS)),
            *self._bundles(),
        ]

    def texts(self, item: Item, only: str | None = None) -> Iterator[tuple[str, bytes]]:
        """See `Inventory`. Of an artifact the small JSON files, of all else also reports."""
        with self._explained("read"):
            for file in sorted(file for path in self._paths(item) for file in _files(path)):
                if only in (None, file.name) and (item.kind == "results" or file.suffix in (".json", ".html")):
                    with suppress(FileNotFoundError):  # removed meanwhile
                        if item.kind != "artifacts" or _is_small_text(file):
                            yield file.name, file.read_bytes()

    def models(self) -> list[str]:
        """See `Inventory`."""
        with self._explained("read"):
            return sorted(path.name for path in self._in("decisions"))

    def remove(self, item: Item, unused_since: float) -> bool:
        """See `Inventory`."""
        with self._explained("remove from"):
            # What is no longer there has gone.
            return all(self._remove(path, unused_since) for path in self._paths(item))

    def turn(self, waiting: Callable[[str], None]) -> AbstractContextManager[None]:
        """By a lock of the kernel's, which goes with its holder."""
        return locks.turn(self._store.folder("locks"), "prune", waiting)

    def tidy(self) -> None:
        """See `Inventory`."""
        with self._explained("remove from"):
            for left in self._in("staging"):
                if left.name.startswith(PRUNED):
                    _clear(left)

    def _remove(self, path: Path, unused_since: float) -> bool:
        used_at = _used_at(path)
        if used_at is None:
            return True
        if used_at > unused_since:
            return False
        if path.is_file():
            path.unlink(missing_ok=True)
            return True
        aside = self._store.folder("staging") / f"{PRUNED}{uuid.uuid4().hex}"
        try:
            os.rename(path, aside)
        except FileNotFoundError:  # another process was first
            return True
        used_at = _used_at(aside)
        if used_at is not None and used_at > unused_since:
            # Somebody fetched it in between. Where the same content was published anew that one stays.
            with suppress(OSError):
                os.rename(aside, path)
                return False
        _clear(aside)
        return True

    def _in(self, folder: str | Path) -> list[Path]:
        """What lies in a folder and is not hidden, sorted; a file, or what is gone, has nothing in it."""
        with suppress(FileNotFoundError, NotADirectoryError):
            return sorted(inside for inside in (self._root / folder).iterdir() if inside.name[0] != ".")
        return []

    def _paths(self, item: Item) -> list[Path]:
        match item.kind:
            case "artifacts":
                return [self._root / item.kind / item.name[:2] / item.name]
            case "bundles":
                folder = self._root / item.kind / item.name
                return [folder, folder.with_name(folder.name + ARCHIVE_SUFFIX)]
            case "leftovers":
                return [self._root / item.name]
            case _:
                return [self._root / item.kind / item.name]

    def _item(self, kind: Kind, path: Path, num_parts: int = 1) -> Item | None:
        """None where it has gone meanwhile; `num_parts` of the path are its name."""
        used_at = _used_at(path)
        return None if used_at is None else Item(kind, "/".join(path.parts[-num_parts:]), _size(path), used_at)

    def _bundles(self) -> Iterator[Item]:
        for model in self._in("bundles"):
            names = {path.name.removesuffix(ARCHIVE_SUFFIX) for path in self._in(model)}
            for name in sorted(names):
                folder = model / name
                both = [folder, folder.with_name(name + ARCHIVE_SUFFIX)]
                times = [time for time in map(_used_at, both) if time is not None]
                if times:
                    yield Item("bundles", f"{model.name}/{name}", sum(map(_size, both)), max(times))

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"Cannot {doing} the store {self.place}: {error.strerror} ({error.filename}). Give the right to read "
                "and write there; whatever is in the store is whole, and the next time goes on."
            ) from error


def _files(path: Path) -> Iterator[Path]:
    """The path if it is a file, else all files below it. `Path.rglob` fails where a folder goes meanwhile.

    Raises:
        OSError: if a folder cannot be read; what is in it may name what must be kept.
    """
    if path.is_file():
        yield path
    for folder, _, names in os.walk(path, onerror=_require_gone):
        yield from (Path(folder, name) for name in names)


def _require_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _size(path: Path) -> int:
    total = 0
    for file in _files(path):
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def _used_at(path: Path) -> float | None:
    """None of what is not there. An artifact's manifest says when it was last fetched."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return (path / MANIFEST).stat().st_mtime
    times = []
    for part in [*_files(path), path]:
        with suppress(FileNotFoundError):
            times.append(part.stat().st_mtime)
    return max(times, default=None)


def _is_small_text(file: Path) -> bool:
    return file.name != MANIFEST and file.stat().st_size <= MAX_TEXT_BYTES


def _clear(path: Path) -> None:
    # A run that clears old staging may be at it as well.
    with suppress(FileNotFoundError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
