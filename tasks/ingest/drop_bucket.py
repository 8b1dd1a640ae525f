"""Drops on object storage. The only module that knows that a drop may be nothing but names with a common beginning.

An object appears whole or not at all, but there is no rename: a drop is moved aside object by object. No object is
deleted before a copy of it was read back and found equal, and what is at work is always to be seen in the bucket:

    _quarantine/NAME without reason.json    copies that were begun; the drop itself is whole and counts
    _moving/NAME.json                       all is copied: the drop is no drop any more, whatever is left of it
    neither, and NAME gone                  done

So a run that is killed before the note has moved nothing: the drop is found and judged again, and the copies go on in
the same place. After the note, whoever has the next turn brings the move to its end before anything is looked at.
"""

import errno
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from tasks.errors import ConfigurationError, StoreError
from tasks.ingest import object_turn
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
from tasks.objects import Object, Objects

logger = logging.getLogger(__name__)

MOVING = "_moving"
TURNS = "_turns"

NUM_WORKERS = 16
"""Requests at the same time; each waits for the network most of the time."""

T = TypeVar("T")
R = TypeVar("R")


class Move(BaseModel):
    """The note of a move whose copies are complete.

    Attributes:
        name: Of the drop.
        target: The folder where the copies lie.
        versions: Of each object that was copied, by its name in the drop: only that version may be deleted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    target: str
    versions: dict[str, str]


class DropBucket:
    """Drops below a prefix of a bucket: a `DropPlace`, whose methods are described there.

    Args:
        address: A URL such as s3://bucket/prefix.

    Raises:
        ConfigurationError: if it names no bucket, or its driver is not installed.
    """

    def __init__(self, address: str) -> None:
        self._objects = Objects(address)

    @property
    def address(self) -> str:
        """The URL, without a slash at its end."""
        return self._objects.url

    @contextmanager
    def turn(self, waiting: Callable[[str], None]) -> Iterator[None]:
        """By objects that only one can create; moves that were broken off are brought to their end first."""
        with self._found(), self._written():
            turn = object_turn.enter(self._objects, TURNS, waiting)
        with turn:
            with self._found(), self._written():
                for name in self._moves():
                    logger.warning(
                        "A run ended while it moved the drop %s to %s; the move is ended now.", name, QUARANTINE
                    )
                    self._finish(Move.model_validate_json(self._objects.read(f"{MOVING}/{name}.json")))
            yield

    def entries(self) -> list[str]:
        """A bucket without one object below the prefix is an empty place: nobody can tell a mistake from it."""
        with self._found():
            try:
                names = self._objects.folders_and_objects()
            except FileNotFoundError:
                raise
            except OSError as error:
                raise ConfigurationError(
                    f"--ingest.drops, {self.address}, cannot be read: {_words(error)}. Give the right to list it."
                ) from error
        drops = [name for name in names if not name.startswith((".", "_"))]
        if not drops:
            logger.warning("No drop lies in %s; a prefix that is misspelt looks the same.", self.address)
        return drops

    def listing(self, name: str) -> Listing:
        """Names are those of objects; what stands for a folder is none."""
        if name in self._moving:
            raise DropUnreadableError(f"it is on its way to {QUARANTINE}; the next run ends that")
        with self._read("it"):
            objects = self._objects.below(name)
        if not objects:
            raise DropUnreadableError("it is no folder; put it into a folder of its own")
        sizes: dict[str, int] = {}
        unfinished: str | None = None
        newest = 0.0
        for inside, found in objects.items():
            parts = [] if inside == "" else inside.removesuffix("/").split("/")
            if inside not in (RECEIPT, REASON):
                newest = max(newest, found.modified)
            if any(part.startswith(".") for part in parts):
                continue
            if not is_plain(inside):
                raise DropUnreadableError(f"it holds {inside!a}, a name that is no plain text; rename the object")
            if "" in parts or not self._objects.reaches(f"{name}/{inside}") or (_is_folder(inside) and found.size):
                raise DropUnreadableError(f"it holds {inside!r}, a name that no file can have; rename the object")
            if inside.lower().endswith(UNFINISHED):
                unfinished = inside
            elif inside not in OURS and not _is_folder(inside):
                sizes[inside] = found.size
        return Listing(sizes, MARKER in objects, unfinished, time.time() - newest)

    def read(self, name: str, file: str) -> bytes:
        """In one request."""
        with self._read(file):
            return self._objects.read(f"{name}/{file}")

    def digests(self, name: str, files: Iterable[str]) -> dict[str, str]:
        """Several files at the same time."""

        def digest(file: str) -> str:
            with self._read(file):
                return self._objects.sha256(f"{name}/{file}")

        names = list(files)
        return dict(zip(names, _each(digest, names), strict=True))

    def receipt(self, name: str) -> bytes | None:
        """In one request."""
        with self._read(f"its {RECEIPT}"):
            try:
                return self._objects.read(f"{name}/{RECEIPT}")
            except FileNotFoundError:
                return None

    def place(self, name: str) -> str:
        """Its URL."""
        return f"{self.address}/{name}"

    def write(self, name: str, file: str, text: str) -> None:
        """One object, which appears as a whole."""
        with self._written():
            self._require(name)
            self._objects.write(f"{name}/{file}", text.encode())

    def quarantine(self, name: str) -> str:
        """Copies, each read back, then a note, then deletions."""
        with self._written():
            objects = self._require(name)
            content = [inside for inside in objects if not _is_folder(inside) and inside != REASON]
            target = self._target(name, content)
            _each(lambda inside: self._copy(name, target, inside), content)
            versions = {inside: found.version for inside, found in objects.items() if not _is_folder(inside)}
            move = Move(name=name, target=target, versions=versions)
            self._objects.write(f"{MOVING}/{name}.json", (move.model_dump_json(indent=1) + "\n").encode())
            self._finish(move)
        return f"{self.address}/{target}"

    @cached_property
    def _moving(self) -> tuple[str, ...]:
        """The drops whose move was broken off after the copies."""
        with self._read("it"):
            return self._moves()

    def _moves(self) -> tuple[str, ...]:
        return tuple(name.removesuffix(".json") for name in self._objects.below(MOVING))

    def _require(self, name: str) -> dict[str, Object]:
        objects = self._objects.below(name)
        if all(_is_folder(inside) for inside in objects):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.place(name))
        return objects

    def _target(self, name: str, content: Iterable[str]) -> str:
        """A folder that is free, or where a run that was killed began to copy this very drop."""
        number = 1
        while True:
            target = f"{QUARANTINE}/{name}" + ("" if number == 1 else f".{number}")
            there = self._objects.below(target)
            if not there or self._are_begun(name, target, content, there):
                return target
            number += 1

    def _are_begun(self, name: str, target: str, content: Iterable[str], there: Iterable[str]) -> bool:
        """Whether what is there are copies of this drop; a reason among them says that they are all of another."""

        def is_equal(inside: str) -> bool:
            return self._objects.sha256(f"{name}/{inside}") == self._objects.sha256(f"{target}/{inside}")

        return set(there) <= set(content) and all(_each(is_equal, there))

    def _copy(self, name: str, target: str, inside: str) -> None:
        """Copy one object, and read it back."""
        self._objects.copy(f"{name}/{inside}", f"{target}/{inside}")
        if self._objects.sha256(f"{target}/{inside}") != self._objects.sha256(f"{name}/{inside}"):
            raise StoreError(
                f"The copy {self.address}/{target}/{inside} differs from {self.place(name)}/{inside}. Nothing was "
                "deleted; run again when nothing writes to the drop."
            )

    def _finish(self, move: Move) -> None:
        """Delete what was copied. The reason goes last: with it in its place the quarantined drop is complete."""
        left = self._objects.below(move.name)
        if REASON in left:
            self._copy(move.name, move.target, REASON)
        there = self._objects.below(move.target)

        def delete(inside: str) -> None:
            self._objects.delete(f"{move.name}/{inside}")

        # What somebody wrote anew in the meantime, or took out of the quarantine, is theirs.
        done = [
            inside
            for inside, found in left.items()
            if found.version == move.versions.get(inside) and inside in there and there[inside].size == found.size
        ]
        _each(delete, done)
        _each(delete, [inside for inside, found in left.items() if _is_folder(inside) and not found.size])
        self._objects.delete(f"{MOVING}/{move.name}.json")

    @contextmanager
    def _found(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"--ingest.drops is {self.address!r}, and there is no such bucket; make it, or name another."
            ) from error

    @contextmanager
    def _read(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DropUnreadableError(f"{what} cannot be read: {_words(error)}. Check its rights.") from error

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreError(
                f"Cannot write to the drops folder {self.address}: {_words(error)}. "
                "Give the right to list, read, write and delete there."
            ) from error


def _is_folder(inside: str) -> bool:
    """Whether an object only stands for a folder: the drop's own, or one within it."""
    return inside == "" or inside.endswith("/")


def _words(error: OSError) -> str:
    return " ".join((error.strerror or str(error) or type(error).__name__).split()).rstrip(".")


def _each(action: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """The action's results, several at a time; of the failures the first, and nothing new is begun after it."""
    pool = ThreadPoolExecutor(NUM_WORKERS)
    try:
        return list(pool.map(action, items))
    finally:
        pool.shutdown(cancel_futures=True)
