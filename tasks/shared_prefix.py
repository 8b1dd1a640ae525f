"""A shared folder of a store on object storage: small files are read and written there, and of larger ones the folder
here is a copy that is brought, sent or followed.
"""

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tasks.errors import PipelineError
from tasks.objects import Object
from tasks.shared_folder import SharedFolder
from tasks.store import signature_of

if TYPE_CHECKING:
    from tasks.remote_store import RemoteStore

logger = logging.getLogger(__name__)

FOLLOW_SECONDS = 1.0
"""Between two looks at a folder that is followed."""

LAST_ROUND_SECONDS = 30.0
"""How long a run that ends waits until what it leaves is sent."""


class SharedPrefix(SharedFolder):
    """A shared folder of a store in a bucket.

    Args:
        store: The store.
        names: Of the folder, within the store.
    """

    def __init__(self, store: "RemoteStore", names: Sequence[str]) -> None:
        super().__init__(store.folder(*names))
        self._store, self._objects, self._folder = store, store.objects, "/".join(names)
        self._equal: dict[str, tuple[int, int, int]] = {}
        """What is known to be the same here and there: size, time and inode of the file here."""

    def place(self, *names: str) -> str:
        """See `SharedFolder`."""
        return self._store.place(self._folder, *names)

    def names(self, pattern: str) -> dict[str, float]:
        """See `SharedFolder`."""
        wanted = PurePosixPath(pattern)
        return {
            name: found.modified
            for name, found in self._there().items()
            if len(PurePosixPath(name).parts) == len(wanted.parts) and PurePosixPath(name).match(pattern)
        }

    def read(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """See `SharedFolder`."""
        with self._store.explained_there("read"):
            found = self._objects.read_those_there([self._name(name) for name in names])
        return {name: found[self._name(name)] for name in names if self._name(name) in found}

    def write(self, name: str, text: str) -> None:
        """See `SharedFolder`."""
        with self._store.explained_there("write to"):
            self._objects.write(self._name(name), text.encode())

    def bring(self, prefix: str = "") -> None:
        """See `SharedFolder`."""
        wanted = [name for name in self._there() if name.startswith(prefix)]
        with self._store.staging() as staging, self._store.explained_there("read"):
            for name in wanted:
                try:
                    self._objects.download({self._name(name): staging / name})
                except FileNotFoundError:  # removed meanwhile
                    continue
                (self.path / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(staging / name, self.path / name)
                self._equal[name] = signature_of(self.path / name)

    def send(self, prefix: str = "") -> None:
        """See `SharedFolder`."""
        self._send(name for name in self._here() if name.startswith(prefix))

    def _send(self, names: Iterable[str]) -> None:
        changed = {name: signature_of(self.path / name) for name in names}
        changed = {name: signature for name, signature in changed.items() if self._equal.get(name) != signature}
        with self._store.explained_there("write to"):
            self._objects.upload({self._name(name): self.path / name for name in changed})
        self._equal |= changed

    @contextmanager
    def followed(self, last: str) -> Iterator[None]:
        """See `SharedFolder`. Where the block fails, what it has left is sent as well."""
        over, wanted = threading.Event(), threading.Event()
        follower = threading.Thread(target=self._follow, args=(last, over, wanted), daemon=True)
        follower.start()
        try:
            yield
        except BaseException:
            wanted.set()
            raise
        finally:
            over.set()
            follower.join(LAST_ROUND_SECONDS)

    def _follow(self, last: str, over: threading.Event, wanted: threading.Event) -> None:
        done, lost = dict(self._equal), False
        while True:
            ended = over.wait(FOLLOW_SECONDS)
            if ended and not wanted.is_set():
                return
            try:
                # With their signatures: a name may be written anew, as a torn checkpoint is.
                here = {name: signature_of(self.path / name) for name in self._here()}
                if here != done:
                    for is_last in (False, True):
                        self._send(name for name in here if name.endswith(last) == is_last)
                    gone = done.keys() - here.keys()
                    self.remove(sorted(gone, key=lambda name: not name.endswith(last)))
                done, lost = here, False
            except FileNotFoundError:  # removed here meanwhile; the next round sees it
                pass
            except PipelineError as error:
                if not lost:
                    logger.warning("%s Until then %s stays on this machine.", error, self._folder)
                lost = True
            if ended:
                return

    def remove(self, names: Iterable[str]) -> None:
        """See `SharedFolder`."""
        with self._store.explained_there("write to"):
            for name in names:
                self._objects.delete(self._name(name))
                self._equal.pop(name, None)

    def _here(self) -> set[str]:
        """What is in the folder here, without drafts."""
        return {
            path.relative_to(self.path).as_posix()
            for path in self.path.rglob("*")
            if path.is_file() and not path.name.startswith(".") and path.suffix not in (".draft", ".tmp")
        }

    def _there(self) -> dict[str, Object]:
        """What is below it, without names that would lead out of a folder."""
        with self._store.explained_there("read"):
            found = self._objects.below(self._folder)
        return {name: one for name, one in found.items() if not {"", ".", ".."} & set(name.split("/"))}

    def _name(self, name: str) -> str:
        return f"{self._folder}/{name}"
