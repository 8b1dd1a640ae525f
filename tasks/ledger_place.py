"""Where a ledger's files stand, a folder or a bucket: listed, read, and created where none is. No other module tells
the one from the other.

A file appears whole and only if its name is free. On a disk a draft is linked under its name; on object storage the
server is asked to write only where nothing is (`If-None-Match`), and it is tried that it does as it is asked.
"""

import logging
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from tasks.addresses import local_path, require_no_credentials, scheme_of
from tasks.errors import ConfigurationError, RegistryError, TransientError
from tasks.files import flush
from tasks.objects import DRIVERS, Objects

logger = logging.getLogger(__name__)

EXPECTED = f"a path, or a URL of object storage: {', '.join(f'{name}://bucket/prefix' for name in DRIVERS)}"

DRAFT_MAX_AGE_SECONDS = 3600
"""An older draft is of a process that was killed: writing one takes milliseconds."""

PROBE = ".conditional-writes"
PROBE_CONTENT = b"A server that writes this object again although it is there cannot keep a ledger.\n"


class LedgerPlace(Protocol):
    """A folder of small files that are written once.

    Attributes:
        url: As a person may be told.
    """

    url: str

    def names(self) -> list[str]:
        """The names of all files, sorted; none where the folder is not there."""
        ...

    def read(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """The bytes of files that are there."""
        ...

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that is not there.

        Returns:
            Whether this call wrote it; False where another process has written one of that name.

        Raises:
            TransientError: if the network is lost; whether the file was written is then said in the message.
        """
        ...

    def tidy(self) -> None:
        """Clear what a killed process left behind."""
        ...


class LedgerFolder:
    """A folder on a disk.

    Args:
        folder: Made when something is first written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = str(folder)

    def names(self) -> list[str]:
        """See `LedgerPlace`."""
        with _explained(self.url, "read"):
            return sorted(os.listdir(self._folder)) if self._folder.is_dir() else []

    def read(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """See `LedgerPlace`."""
        with _explained(self.url, "read"):
            return {name: (self._folder / name).read_bytes() for name in names}

    def create(self, name: str, content: bytes) -> bool:
        """See `LedgerPlace`."""
        draft = self._folder / f".{uuid.uuid4().hex}.draft"
        with _explained(self.url, "written"):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                draft.write_bytes(content)
                flush(draft)
                # A link fails where the name is taken, and shows the whole content at once: exclusive and atomic.
                os.link(draft, self._folder / name)
            except FileExistsError:
                return False
            finally:
                draft.unlink(missing_ok=True)
            flush(self._folder)
        return True

    def tidy(self) -> None:
        """See `LedgerPlace`."""
        with _explained(self.url, "written"):
            for draft in self._folder.glob(".*.draft"):
                # Its own process may clear it meanwhile.
                with suppress(FileNotFoundError):
                    if time.time() - draft.stat().st_mtime > DRAFT_MAX_AGE_SECONDS:
                        draft.unlink()


class LedgerBucket:
    """A prefix of a bucket.

    Args:
        objects: Of the bucket.
        folder: Below them.
    """

    def __init__(self, objects: Objects, folder: str) -> None:
        self._objects, self._folder = objects, folder
        self.url = f"{objects.url}/{folder}"

    def names(self) -> list[str]:
        """See `LedgerPlace`."""
        with _explained(self.url, "read"):
            return [name for name in self._objects.below(self._folder) if "/" not in name]

    def read(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """See `LedgerPlace`."""
        with _explained(self.url, "read"):
            found = self._objects.read_all([self._name(name) for name in names])
            return {name: found[self._name(name)] for name in names}

    def create(self, name: str, content: bytes) -> bool:
        """See `LedgerPlace`. An answer that is lost is no refusal: what is there is read back and compared."""
        with _explained(self.url, "written"):
            self._require_conditional_writes()
            try:
                self._objects.create(self._name(name), content)
            except PermissionError:
                raise
            except (OSError, TransientError) as error:
                return self._is_there(name, content, error)
        return True

    def tidy(self) -> None:
        """See `LedgerPlace`. An object appears whole or not at all: there is nothing to clear."""

    def _is_there(self, name: str, content: bytes, error: Exception) -> bool:
        try:
            return self._objects.read(self._name(name)) == content
        except FileNotFoundError:
            raise error from None
        except TransientError as lost:
            raise TransientError(
                f"{self.url} was lost while {name} was written ({error}). Whether it was is not known: look with "
                "`python -m flows.promotion history` once the network is back."
            ) from lost

    def _require_conditional_writes(self) -> None:
        for _ in range(2):
            try:
                self._objects.create(self._name(PROBE), PROBE_CONTENT)
            except PermissionError:
                raise
            except OSError:
                self._objects.read(self._name(PROBE))  # refused because it is there, in whatever words
                return
        raise ConfigurationError(
            f"{self.url} writes an object although one is there, so two promotions at once could both win. Expected "
            "object storage that honours If-None-Match; keep the ledger elsewhere with RETRAINING_LEDGER."
        )

    def _name(self, name: str) -> str:
        return f"{self._folder}/{name}"


def check(address: str) -> None:
    """See that an address is one where a ledger may stand, without asking over a network.

    Raises:
        ConfigurationError: if it is not, or needs a driver that is not installed.
    """
    require_no_credentials(address, "RETRAINING_LEDGER")
    place_below(address, "ledger")


def place_below(address: str, folder: str) -> LedgerPlace:
    """The place of that name below an address.

    Args:
        address: A path, a file:// URL, or a URL of object storage. Nothing is asked over the network yet.
        folder: One name.

    Raises:
        ConfigurationError: if it is another kind of URL, one without a bucket, or its driver is not installed.
    """
    if scheme_of(address) in DRIVERS:
        return LedgerBucket(Objects(address), folder)
    return LedgerFolder(local_path(address, "RETRAINING_LEDGER", EXPECTED) / folder)


def folders_below(address: str) -> list[str]:
    """The names of the places below an address, sorted.

    Raises:
        RegistryError: if it cannot be read.
    """
    with _explained(address, "read"):
        if scheme_of(address) in DRIVERS:
            return Objects(address).folders_and_objects()
        root = local_path(address, "RETRAINING_LEDGER", EXPECTED)
        return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


@contextmanager
def _explained(url: str, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        cause = str(error.strerror or error).rstrip(".")
        raise RegistryError(
            f"The ledger {url} cannot be {what}: {cause}{where}. Mend the rights or the "
            "address, which is that of RETRAINING_LEDGER or a folder of the store."
        ) from error
