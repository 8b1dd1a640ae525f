"""The artifact store: folders of files, named by what they hold.

`publish` moves a finished folder in, `fetch` gives a verified one back. An artifact's name is the SHA-256 of its
manifest, which lists each file with size and SHA-256; so equal content has one name, and a name proves its content.
A folder appears whole or not at all, its manifest written last. No other module sees the store's layout. What is no
artifact and is shared as well goes through `Store.shared`.

The store is a local folder, or is on object storage (`tasks.remote_store`), with a local folder as its cache.

This module knows nothing of what an artifact means, and takes part in cache keys by `policies.FORMAT`, not by source.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self, TypedDict

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks import machine
from tasks.errors import StoreError
from tasks.files import flush
from tasks.shared_folder import SharedFolder

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
CHECKPOINTS = "checkpoints"
"""The folder of what an unfinished training goes on from, a folder for each."""

LEFT_MAX_AGE_SECONDS = 14 * 24 * 3600
"""What is older in staging and checkpoints was left by a process that was killed: no step may take longer than seven
days."""

USE_NOTED_SECONDS = 24 * 3600
"""How exactly it is known when an artifact was last used: `fetch` notes it once a day at most."""

MIN_FREE_BYTES = 200 * 2**20
"""Less than this is no room for one run; the real images take 600 MB."""


class File(TypedDict):
    """A line of the manifest."""

    name: str
    sha256: str
    size_bytes: int


class Reference(BaseModel):
    """The name of an artifact. Where a store is open, a reference to a missing or damaged artifact does not validate.

    Prefect reads a cached result by validating it, and treats one that does not validate as a miss: that is how a
    damaged artifact leads to a recompute instead of a crash or a silent use.

    Attributes:
        digest: SHA-256 of the artifact's manifest, 64 hexadecimal digits.
        size_bytes: Sum of the sizes of its files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str = Field(pattern="^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)

    @model_validator(mode="after")
    def _intact(self) -> Self:
        if machine.current() is not None:
            try:
                current().fetch(self)
            except StoreError as error:
                logger.warning("%s It is not used; the step that made it runs again.", error)
                raise ValueError(str(error)) from error
        return self


class Store:
    """A store under one local folder.

    Args:
        root: The folder; made when something is first written.
    """

    is_remote = False
    """Whether it is on object storage."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._verified: dict[str, tuple[object, ...]] = {}

    def place(self, *names: str) -> str:
        """The address of what has that name in the store: a path, or a URL."""
        return str(self.root.joinpath(*names))

    def exists(self) -> bool:
        """Whether anything was ever written to it."""
        return self.root.is_dir()

    def shared(self, *names: str) -> SharedFolder:
        """A folder for what is no artifact, and that whoever has the store sees (`results`, `runs`, `decisions`).

        Raises:
            StoreError: if the folder on this machine cannot be made.
        """
        return SharedFolder(self.folder(*names))

    def folder(self, *names: str) -> Path:
        """A folder for what this machine alone has (`downloads`, `locks`, `staging`), made if missing.

        Raises:
            StoreError: if it cannot be made.
        """
        path = self.root.joinpath(*names)
        with self._explained("make a folder in", everything=True):
            path.mkdir(parents=True, exist_ok=True)
        return path

    def check_writable(self) -> None:
        """Write and remove a small file, and clear what killed processes left long ago in staging and checkpoints.

        Raises:
            StoreError: if the store cannot be written.
        """
        staging = self.folder("staging")
        with self._explained("write to", everything=True):
            probe = staging / f"probe-{uuid.uuid4().hex}"
            probe.write_bytes(b"probe")
            probe.unlink()
            if shutil.disk_usage(self.root).free < MIN_FREE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            for left in (*staging.iterdir(), *self.folder(CHECKPOINTS).iterdir()):
                _remove_if_old(left)

    def check_free(self, size_bytes: int) -> None:
        """See that the store's disk has so much room.

        Raises:
            StoreError: if it has less.
        """
        free = shutil.disk_usage(self.folder()).free
        if free < size_bytes:
            raise StoreError(
                f"The disk of the store {self.root} has {free / 2**20:,.0f} MiB free; a run takes up to "
                f"{size_bytes / 2**20:,.0f} MiB. Free some space or choose another store with --store."
            )

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """An empty folder on the store's own disk, removed at the end of the block; `publish` takes it before that.

        Raises:
            StoreError: if the disk is full or not writable, also from within the block.
        """
        path = self.folder("staging") / uuid.uuid4().hex
        try:
            with self._explained("write to"):
                path.mkdir()
                yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def publish(self, folder: Path) -> Reference:
        """Move a finished folder into the store.

        Args:
            folder: A folder of plain files that `staging` gave.

        Returns:
            The artifact's name. Content that is already there, intact, is kept; a damaged copy is replaced.

        Raises:
            StoreError: if the disk is full or not writable.
        """
        with self._explained("write to"):
            files = [_describe(folder, path) for path in sorted(folder.rglob("*")) if path.is_file()]
            text = json.dumps({"files": files}, indent=1, sort_keys=True).encode()
            reference = Reference.model_construct(
                digest=hashlib.sha256(text).hexdigest(), size_bytes=sum(file["size_bytes"] for file in files)
            )
            for file in files:
                flush(folder / file["name"])
            (folder / MANIFEST).write_bytes(text)
            flush(folder / MANIFEST)
            self._install(folder, reference)
        return reference

    def fetch(self, reference: Reference) -> Path:
        """A local folder with the artifact's files, each verified against its digest.

        A file is read again only if its size, time or inode has changed since this process verified it. The use is
        noted as the manifest's time of change: what a run works with is never taken for old.

        Raises:
            StoreError: if the artifact is missing or damaged; says which file and how.
        """
        folder = self._path(reference.digest)
        try:
            text = (folder / MANIFEST).read_bytes()
        except OSError as error:
            raise StoreError(f"The artifact {reference.digest[:12]} is missing from {self.root}.") from error
        if hashlib.sha256(text).hexdigest() != reference.digest:
            raise StoreError(f"The artifact {reference.digest[:12]} is damaged: its manifest was altered.")
        files: list[File] = json.loads(text)["files"]
        try:
            if not self._is_use_noted(reference):
                self._note_use(reference)
            signature = tuple(signature_of(folder / file["name"]) for file in files)
            if self._verified.get(reference.digest) != signature:
                verify(folder, files, reference)
                self._verified[reference.digest] = signature
        except OSError as error:
            raise StoreError(f"The artifact {reference.digest[:12]} cannot be read: {error}.") from error
        return folder

    def ensure_kept(self, reference: Reference) -> None:
        """See that the store has the artifact, intact, before something names it for good.

        Raises:
            StoreError: if it is missing or damaged.
            TransientError: if the network is lost.
        """
        self.fetch(reference)

    def find(self, digest: str) -> Reference:
        """The artifact of that name, verified: for who kept the digest alone.

        Raises:
            StoreError: if it is missing or damaged.
        """
        folder = self.fetch(Reference.model_construct(digest=digest, size_bytes=0))
        files: list[File] = json.loads((folder / MANIFEST).read_bytes())["files"]
        return Reference(digest=digest, size_bytes=sum(file["size_bytes"] for file in files))

    def _is_use_noted(self, reference: Reference) -> bool:
        return time.time() - (self._path(reference.digest) / MANIFEST).stat().st_mtime <= USE_NOTED_SECONDS

    def _note_use(self, reference: Reference) -> None:
        # Who may only read the store reads it all the same.
        with suppress(OSError):
            os.utime(self._path(reference.digest) / MANIFEST)

    def _path(self, digest: str) -> Path:
        return self.root / "artifacts" / digest[:2] / digest

    def _install(self, folder: Path, reference: Reference) -> None:
        target = self._path(reference.digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            try:
                Store.fetch(self, reference)
                return
            except StoreError:
                os.replace(target, self.folder("staging") / f"damaged-{uuid.uuid4().hex}")
        try:
            os.rename(folder, target)
        except OSError as error:
            # Another process published the same content in between: its copy is as good as ours.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        flush(target.parent)

    @contextmanager
    def _explained(self, what: str, *, everything: bool = False) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreError(
                    f"Cannot {what} the store {self.root}: the disk is full ({_free(self.root)} free; "
                    f"a run takes {MIN_FREE_BYTES // 2**20} MiB and more). "
                    "Free some space or choose another store with --store."
                ) from error
            path = error.filename
            if everything or (path is not None and Path(path).is_relative_to(self.root)):
                raise StoreError(
                    f"Cannot {what} the store {self.root}: {error.strerror} ({path}). "
                    "Make that a folder with the right to write, or choose another store with --store."
                ) from error
            raise


def current() -> Store:
    """The store of the current machine settings.

    Raises:
        LookupError: outside a run, where no machine is set.
    """
    settings = machine.current()
    if settings is None:
        raise LookupError("no machine settings: call within `machine.use(...)`")
    root = settings.store.absolute()
    if (root, settings.bucket) not in _opened:
        _opened[root, settings.bucket] = _open(root, settings.bucket)
    return _opened[root, settings.bucket]


_opened: dict[tuple[Path, str | None], Store] = {}


def _open(root: Path, bucket: str | None) -> Store:
    if bucket is None:
        return Store(root)
    from tasks.remote_store import RemoteStore  # which builds upon this module

    return RemoteStore(bucket, root)


def _describe(folder: Path, path: Path) -> File:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.relative_to(folder).as_posix(), "sha256": digest, "size_bytes": path.stat().st_size}


def verify(folder: Path, files: list[File], reference: Reference) -> None:
    """See that files are what an artifact's manifest says.

    Raises:
        StoreError: if one is not; says which and how.
    """
    for file in files:
        found = _describe(folder, folder / file["name"])
        if found != file:
            raise StoreError(
                f"The artifact {reference.digest[:12]} is damaged: {file['name']} has SHA-256 {found['sha256']} "
                f"and {found['size_bytes']} bytes; expected {file['sha256']} and {file['size_bytes']}."
            )


def signature_of(path: Path) -> tuple[int, int, int]:
    """What changes when a file does: size, time, inode."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _remove_if_old(left: Path) -> None:
    # Another process may be removing it at the same moment.
    with suppress(FileNotFoundError):
        if time.time() - left.stat().st_mtime > LEFT_MAX_AGE_SECONDS:
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def _free(root: Path) -> str:
    existing = next(path for path in (root, *root.parents) if path.exists())
    return f"{shutil.disk_usage(existing).free / 2**20:,.0f} MiB"
