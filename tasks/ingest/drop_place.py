"""Where drops lie, whatever kind of place that is: what is asked of it, and what its files are called.

    PLACE/2026-11-20-berlin/              a drop
    PLACE/2026-11-20-berlin/_SUCCESS      says that it is complete
    PLACE/2026-11-20-berlin/receipt.json  says that it was taken; written by the pipeline, as a whole or not at all
    PLACE/_quarantine/NAME/reason.json    a drop that was moved aside, and why

`drop_folder` is a local folder, `drop_bucket` one on object storage; `drop_address` chooses between them.
"""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

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


class DropPlace(Protocol):
    """Where drops lie. What cannot be reached for now, and may be later, raises a `TransientError` everywhere."""

    @property
    def address(self) -> str:
        """As people write it; `drop_address.place_at` gives the same place for it."""

    def turn(self, waiting: Callable[[str], None]) -> AbstractContextManager[None]:
        """Wait until no other run is at work here, then be the one that is.

        Args:
            waiting: Told once who is waited for, where somebody is.
        """

    def entries(self) -> list[str]:
        """Whatever lies in it and may be a drop, sorted; names that begin with a dot or an underscore never are.

        Raises:
            ConfigurationError: if the place is none, or cannot be read.
        """

    def listing(self, name: str) -> Listing:
        """The files of a drop.

        Raises:
            DropUnreadableError: if it is no folder, or holds what is no plain file.
        """

    def read(self, name: str, file: str) -> bytes:
        """The bytes of one file.

        Raises:
            DropUnreadableError: if it cannot be read.
        """

    def digests(self, name: str, files: Iterable[str]) -> dict[str, str]:
        """The SHA-256 of each file, by its name. A file need not fit into memory.

        Raises:
            DropUnreadableError: if one cannot be read.
        """

    def receipt(self, name: str) -> bytes | None:
        """A drop's receipt, None where it has none.

        Raises:
            DropUnreadableError: if it cannot be read.
        """

    def place(self, name: str) -> str:
        """Where a drop lies, as people and programs find it."""

    def write(self, name: str, file: str, text: str) -> None:
        """Write a file of ours into a drop: whole or not at all, and kept when this returns.

        Raises:
            FileNotFoundError: if the drop is gone.
            OSError, StoreError: if it cannot be written.
        """

    def quarantine(self, name: str) -> str:
        """Move a drop aside, under its name or the next free one; where it lies now.

        Raises:
            FileNotFoundError: if the drop is gone.
            OSError, StoreError: if it cannot be moved.
        """


def is_plain(name: str) -> bool:
    """Whether a name is printable text; others can stand in no report, and those that are no UTF-8 in no JSON."""
    return name.isprintable()
