"""Objects of a bucket below a prefix, through whatever fsspec driver the URL's scheme names.

The only module that imports fsspec. Drivers raise whatever their client library does, so errors are sorted here once:

    TransientError        no network, no server, a server that is too busy: the same call may succeed later
    FileNotFoundError     the object is not there, or the bucket is not
    PermissionError       the server refuses this call
    OSError               it fails otherwise; the message is the server's
    ConfigurationError    anything else that the driver raises: no credentials, no such profile, an impossible endpoint

Credentials and endpoint are the driver's business: it takes them from its usual environment variables and files.
"""

import errno
import hashlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tasks.errors import ConfigurationError, PipelineError, TransientError

DRIVERS = {
    "s3": ("s3fs", "uv sync --extra s3"),
    "gs": ("gcsfs", "uv pip install gcsfs"),
    "az": ("adlfs", "uv pip install adlfs"),
}
"""For each scheme the package that is its driver, and how it is installed. Only s3 was tried."""

BLOCK_BYTES = 16 * 2**20

_NETWORK = frozenset(
    {
        "ConnectionError",  # also botocore's class of that name, which is no OSError
        "HTTPClientError",
        "IncompleteRead",
        "ResponseParserError",
        "ClientConnectionError",
        "ClientPayloadError",
        "ServiceRequestError",
        "ServiceResponseError",
        "TransportError",
    }
)
"""Names of classes of botocore, aiohttp, Azure's and Google's clients, which need not be installed."""

_BUSY = frozenset(
    {errno.EBUSY, errno.EREMOTEIO, errno.ETIMEDOUT, errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH}
)
"""s3fs gives the first for 503 and "slow down", the second for 500."""


@dataclass(frozen=True)
class Object:
    """One object, as a listing gives it.

    Attributes:
        modified: Seconds since the epoch, by the server's clock.
        version: Differs when the object was written anew, also with equal bytes.
    """

    size: int
    modified: float
    version: str


class Objects:
    """The objects below a prefix; their names are relative to it, with forward slashes.

    Args:
        url: Such as s3://bucket/prefix. Nothing is asked over the network yet.

    Raises:
        ConfigurationError: if it names no bucket, or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        scheme, _, path = url.partition("://")
        self._scheme, self._root = scheme.lower(), path.strip("/")
        if not self._root or "//" in self._root:
            raise ConfigurationError(
                f"The URL {url!r} names no bucket or an empty folder; expected {scheme}://bucket/a."
            )
        package, command = DRIVERS[self._scheme]
        if importlib.util.find_spec(package) is None:
            raise ConfigurationError(f"The URL {url!r} needs the package {package}: {command}.")
        self.url = f"{self._scheme}://{self._root}"

    def folders_and_objects(self) -> list[str]:
        """The first parts of all names, sorted.

        Raises:
            FileNotFoundError: if there is no such bucket. A prefix with nothing below it is empty.
        """
        with self._asked():
            try:
                found = self._driver.ls(self._root, detail=False)
            except FileNotFoundError:
                found = self._driver.find(self._root)  # which fails without a bucket alone
        return sorted({(self._inside(path, "") or "").partition("/")[0] for path in found} - {""})

    def below(self, folder: str) -> dict[str, Object]:
        """All objects below a folder, by their names within it, sorted.

        A name that is empty or ends in a slash is that of an object which some programs make for a folder.
        """
        with self._asked():
            found = self._driver.find(f"{self._root}/{folder}", detail=True)
        objects = {
            inside: _object(information)
            for path, information in found.items()
            if information["type"] != "directory" and (inside := self._inside(path, folder + "/")) is not None
        }
        return dict(sorted(objects.items()))

    def reaches(self, name: str) -> bool:
        """Whether the driver takes the name for what it is: some read a version's number out of it."""
        with self._asked():
            path = f"{self._root}/{name}"
            return bool(self._driver.split_path(path)[1] == path.partition("/")[2])

    def read(self, name: str) -> bytes:
        """The bytes of one object."""
        with self._asked():
            return bytes(self._driver.cat_file(f"{self._root}/{name}"))

    def read_all(self, names: Sequence[str]) -> dict[str, bytes]:
        """The bytes of objects by their names, asked for at once."""
        with self._asked():
            # The driver gives bytes alone where it is asked for one path alone.
            found = self._driver.cat([f"{self._root}/{name}" for name in names]) if names else {}
        if isinstance(found, bytes):
            return {names[0]: found}
        return {name: bytes(found[f"{self._root}/{name}"]) for name in names}

    def read_those_there(self, names: Sequence[str]) -> dict[str, bytes]:
        """The bytes of objects by their names, asked for at once, without those that are not there."""
        with self._asked():
            paths = {f"{self._root}/{name}": name for name in names}
            # The driver gives bytes alone where it is asked for one path alone.
            found = self._driver.cat(list(paths), on_error="return") if paths else {}
            if not isinstance(found, dict):
                found = dict.fromkeys(paths, found)
            for content in found.values():
                if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                    raise content
        return {paths[path]: bytes(content) for path, content in found.items() if isinstance(content, bytes)}

    def download(self, files: Mapping[str, Path]) -> None:
        """Write objects into local files, several at once; their folders are made."""
        with self._asked():
            if files:
                self._driver.get([f"{self._root}/{name}" for name in files], [str(path) for path in files.values()])

    def upload(self, files: Mapping[str, Path]) -> None:
        """Write local files as objects, several at once: each whole or not at all, whatever was there."""
        with self._asked():
            if files:
                self._driver.put([str(path) for path in files.values()], [f"{self._root}/{name}" for name in files])

    def probe(self, name: str, seconds: float) -> None:
        """Write and delete an object, to see that this can be done.

        Args:
            name: Of the object, which nothing else has.
            seconds: How long the server may take for each of the two.

        Raises:
            TransientError: if it takes longer, or cannot be reached.
        """
        with self._asked():
            self._driver.pipe_file(f"{self._root}/{name}", b"probe", timeout=seconds)
            self._driver.rm_file(f"{self._root}/{name}")

    def sha256(self, name: str) -> str:
        """The digest of one object, which need not fit into memory."""
        with self._asked(), self._driver.open(f"{self._root}/{name}", "rb", block_size=BLOCK_BYTES) as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()

    def write(self, name: str, data: bytes) -> None:
        """Write an object: whole or not at all, whatever was there."""
        with self._asked():
            self._driver.pipe_file(f"{self._root}/{name}", data)

    def create(self, name: str, data: bytes) -> None:
        """Write an object where none is.

        Raises:
            OSError: if one is; a FileExistsError where the server says so plainly.
        """
        with self._asked():
            self._driver.pipe_file(f"{self._root}/{name}", data, mode="create")

    def copy(self, name: str, target: str) -> None:
        """Copy an object within the bucket, by the server."""
        with self._asked():
            self._driver.cp_file(f"{self._root}/{name}", f"{self._root}/{target}")

    def delete(self, name: str) -> None:
        """Delete an object; one that is gone is no error."""
        with self._asked():
            try:
                self._driver.rm_file(f"{self._root}/{name}")
            except FileNotFoundError:
                return

    def _inside(self, path: str, folder: str) -> str | None:
        """The name within a folder; None for what is not below it."""
        prefix = f"{self._root}/{folder}"
        return path.removeprefix(prefix) if path.startswith(prefix) else None

    @cached_property
    def _driver(self) -> Any:
        import fsspec  # who has everything on disks need not wait for it

        # Neither from a cache nor with one: others write there as well, and the environment may have changed.
        return fsspec.filesystem(self._scheme, skip_instance_cache=True, use_listings_cache=False)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            sorted_ = self._sorted(error)
            if sorted_ is error:
                raise
            raise sorted_ from error

    def _sorted(self, error: Exception) -> Exception:
        names = {kind.__name__ for kind in type(error).__mro__}
        text = f"{type(error).__name__}: {str(error).rstrip('.')}"
        if isinstance(error, PipelineError):
            return error
        if names & _NETWORK or isinstance(error, TimeoutError) or getattr(error, "errno", None) in _BUSY:
            return TransientError(f"{self.url} cannot be reached ({text}). See to the network, or run again later.")
        if isinstance(error, OSError):
            return error
        if isinstance(error, ValueError) or type(error).__module__ != "builtins":
            return ConfigurationError(
                f"{self.url} cannot be asked ({text}). Credentials and endpoint come from the environment variables "
                "of the driver; docs/drops.md lists them."
            )
        return error


def _object(information: dict[str, Any]) -> Object:
    # The keys of s3fs, gcsfs and adlfs.
    modified = next(information[key] for key in ("LastModified", "mtime", "last_modified") if key in information)
    tag = information.get("ETag") or information.get("etag") or ""
    return Object(information["size"], modified.timestamp(), f"{modified.isoformat()} {tag} {information['size']}")
