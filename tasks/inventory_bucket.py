"""What lies in a store on object storage: the same names as in a folder, below a prefix.

There is no rename: what says that the rest is whole goes first. So a removal that is broken off leaves objects that
nobody takes for an artifact, a run or a bundle; they are listed as one again, and go with the next pruning.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

from cnn_model.bundle import ARCHIVE_SUFFIX
from tasks.errors import StoreError
from tasks.inventory import MAX_TEXT_BYTES, Item, Kind
from tasks.objects import Object, Objects
from tasks.report.summary import SUMMARY
from tasks.store import CHECKPOINTS, MANIFEST

FOLDERS: dict[str, tuple[Kind, int]] = {
    "results": ("results", 1),
    "artifacts": ("artifacts", 2),
    "bundles": ("bundles", 2),
    "runs": ("runs", 1),
    "predictions": ("predictions", 2),
    "datasets": ("datasets", 1),
    "staging": ("leftovers", 1),
    CHECKPOINTS: ("leftovers", 1),
}
"""By folder the kind of what lies there, and how many parts of an object's name say which item it belongs to."""

SETTLE_SECONDS = 2.0
"""Between the removal of an artifact's manifest and that of its files. Who noted a use just before looks again sooner
(`tasks.remote_store`), and has begun to send it anew by then."""

FIRST = (MANIFEST, SUMMARY)
"""Files that say that what lies beside them is whole."""


class BucketInventory:
    """The `Inventory` of a store in a bucket; its methods are described there.

    Args:
        objects: Of the store.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._listed: dict[tuple[Kind, str], dict[str, Object]] = {}

    @property
    def place(self) -> str:
        """Its URL."""
        return self._objects.url

    def items(self) -> list[Item]:
        """One listing for each folder; what it gave is what `texts` and `remove` go by."""
        self._listed = {}
        with self._explained("list"):
            for folder, (kind, num_parts) in FOLDERS.items():
                for inside, listed in self._objects.below(folder).items():
                    name = _item_name(folder, kind, inside.split("/")[:num_parts])
                    self._listed.setdefault((kind, name), {})[f"{folder}/{inside}"] = listed
        return [
            Item(kind, name, sum(listed.size for listed in objects.values()), _used_at(objects))
            for (kind, name), objects in self._listed.items()
        ]

    def texts(self, item: Item, only: str | None = None) -> Iterator[tuple[str, bytes]]:
        """In one request an object."""
        for name, listed in self._listed[item.kind, item.name].items():
            file = name.rpartition("/")[2]
            wanted = only in (None, file) and (item.kind == "results" or file.endswith((".json", ".html")))
            if item.kind == "artifacts":
                wanted = wanted and file != MANIFEST and listed.size <= MAX_TEXT_BYTES
            with suppress(FileNotFoundError), self._explained("read"):  # removed meanwhile
                if wanted:
                    yield file, self._objects.read(name)

    def models(self) -> list[str]:
        """Sorted."""
        with self._explained("list"):
            return sorted({name.partition("/")[0] for name in self._objects.below("decisions")})

    def remove(self, item: Item, unused_since: float) -> bool:
        """First what says that it is whole; then the rest, if nobody has written to it in between. A single object is
        not looked at again.
        """
        names = set(self._listed[item.kind, item.name])
        folders = {folder for name in names if (folder := _folder_of(name)) is not None}
        with self._explained("remove from"):
            for are_first in (True, False):
                # Asked anew each time, directly before something is deleted.
                now = {
                    f"{folder}/{name}": listed
                    for folder in folders
                    for name, listed in self._objects.below(folder).items()
                }
                if now and _used_at(now) > unused_since:
                    return False
                for name in sorted({*names, *now}):
                    if (name.rpartition("/")[2] in FIRST) == are_first:
                        self._objects.delete(name)
                        if item.kind == "artifacts" and are_first:
                            time.sleep(SETTLE_SECONDS)
        return True

    def turn(self, waiting: Callable[[str], None]) -> AbstractContextManager[None]:
        """None: two that remove the same do no harm, since an object that is gone is no error."""
        return nullcontext()

    def tidy(self) -> None:
        """There is nothing to clear: what was broken off is an item."""

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreError(
                f"Cannot {what} the store {self.place}: {error.strerror or error}. Give the right to list, read and "
                "delete there; what was removed before is whole, and the next time goes on."
            ) from error


def _item_name(folder: str, kind: Kind, parts: list[str]) -> str:
    match kind:
        case "artifacts":
            return parts[-1]
        case "leftovers":
            return f"{folder}/{parts[0]}"
        case "bundles":
            return "/".join(parts).removesuffix(ARCHIVE_SUFFIX)
        case _:
            return "/".join(parts)


def _folder_of(name: str) -> str | None:
    """The folder of an item that an object lies in; None where it lies in none, as a result or a bundle's archive."""
    parts = name.split("/")
    depth = 1 + FOLDERS[parts[0]][1]
    return "/".join(parts[:depth]) if len(parts) > depth else None


def _used_at(objects: dict[str, Object]) -> float:
    """As of a folder: an artifact's manifest says when it was last used."""
    manifests = [listed.modified for name, listed in objects.items() if name.rpartition("/")[2] == MANIFEST]
    return max(manifests or [listed.modified for listed in objects.values()])
