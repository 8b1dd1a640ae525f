"""The store on object storage: what is published or shared goes to a bucket, and a local folder is its cache.

    BUCKET/artifacts/ab/ab12.../manifest.json    an artifact; the manifest is sent last, and makes it one
    BUCKET/results, runs, decisions, datasets, checkpoints, bundles, predictions    see `tasks.shared_prefix`

An object appears whole or not at all. What was sent may be lost or damaged there: what is fetched is verified, and a
loss is the same typed error as in a local store. A network that is lost is never taken for a loss. Of shared files
nothing that is only here is taken for what is there. An intact copy of an artifact is used for a day without asking the
bucket; what is published, and what a promotion is about to name, is asked for there and sent where it is lost.
"""

import errno
import hashlib
import json
import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import ConfigurationError, StoreError, TransientError
from tasks.inventory import FolderInventory, Kind
from tasks.objects import Objects
from tasks.shared_folder import SharedFolder
from tasks.shared_prefix import SharedPrefix
from tasks.store import (
    CHECKPOINTS,
    LEFT_MAX_AGE_SECONDS,
    MANIFEST,
    USE_NOTED_SECONDS,
    File,
    Reference,
    Store,
    signature_of,
    verify,
)

logger = logging.getLogger(__name__)

PROBE_SECONDS = 20.0
"""How long the bucket may take at the flow's door to write an object of a few bytes."""

COPY_MAX_AGE_SECONDS = 14 * 24 * 3600
"""What was not used for longer goes from the cache. A step may take seven days, and notes what it works with."""

PRUNED_AFTER_SECONDS = 14 * 24 * 3600
"""What was used since is never pruned (`tasks.retention`)."""

PRUNING_SECONDS = 1.0
"""A pruning deletes a manifest sooner after it has looked at it, and waits longer before it deletes the rest."""

COPIES: tuple[Kind, ...] = ("artifacts", "bundles", "runs", "predictions")
"""What of the cache is brought from the bucket, or was sent there."""


class RemoteStore(Store):
    """A store in a bucket.

    Args:
        url: Such as s3://bucket/prefix. Nothing is asked over the network yet.
        cache: The local folder for all buckets' copies; this one's has its name in it.

    Raises:
        ConfigurationError: if the URL names no bucket, or its driver is not installed.

    Attributes:
        objects: The bucket's, for who lists and removes (`tasks.inventory_bucket`); all others go through this class.
    """

    is_remote = True

    def __init__(self, url: str, cache: Path) -> None:
        self.objects = Objects(url)
        self.url = self.objects.url
        # Of one bucket alone: what another has, or a local store, is neither taken for this one's nor overwritten.
        super().__init__(cache / self.url.replace("://", "/"))
        self._damaged_there: set[str] = set()

    def place(self, *names: str) -> str:
        """See `Store`."""
        return "/".join((self.url, *names))

    def exists(self) -> bool:
        """See `Store`; of the bucket.

        Raises:
            StoreError: if there is no such bucket.
            TransientError: if it cannot be reached.
        """
        with self.explained_there("read"):
            return bool(self.objects.folders_and_objects())

    def shared(self, *names: str) -> SharedFolder:
        """See `Store`."""
        return SharedPrefix(self, names)

    def check_writable(self) -> None:
        """See `Store`; of the bucket as well, which has seconds to answer. Old copies are cleared from the cache.

        Raises:
            StoreError: if there is no such bucket, or it or the cache cannot be written.
            ConfigurationError: if credentials are missing.
            TransientError: if the bucket cannot be reached.
        """
        super().check_writable()
        with self.explained_there("write to"):
            self.objects.probe(f"staging/probe-{uuid.uuid4().hex}", PROBE_SECONDS)
            for folder in ("staging", CHECKPOINTS):
                for name, found in self.objects.below(folder).items():
                    if time.time() - found.modified > LEFT_MAX_AGE_SECONDS:
                        self.objects.delete(f"{folder}/{name}")
        self._clear_copies()

    def _clear_copies(self) -> None:
        inventory, unused_since = FolderInventory(self), time.time() - COPY_MAX_AGE_SECONDS
        for item in inventory.items():
            if item.kind in COPIES and item.used_at < unused_since:
                inventory.remove(item, unused_since)

    def publish(self, folder: Path) -> Reference:
        """See `Store`. What is there already, by names and sizes and the manifest's digest, is not sent again,
        but for an old manifest: by its time there it is known when the artifact was last used.

        A file whose bytes were altered there at equal size is found by whoever fetches it next: there the step that
        made it runs again, and what it publishes is sent whole.

        Raises:
            StoreError: if the cache or the bucket cannot be written.
            TransientError: if the network is lost.
        """
        reference = super().publish(folder)
        if not self._is_use_noted_there(reference):
            self._send(reference)
        return reference

    def fetch(self, reference: Reference) -> Path:
        """See `Store`; downloaded where the cache has no intact copy.

        Raises:
            StoreError: if it is missing or damaged there; says which file and how.
            TransientError: if the network is lost.
        """
        try:
            return super().fetch(reference)
        except StoreError as error:
            if self._path(reference.digest).exists():
                logger.warning("%s It is fetched anew from %s.", error, self.url)
        with self.staging() as folder:
            self._download(reference, folder)
            self._install(folder, reference)
        self._tell_of_use(reference)
        return super().fetch(reference)

    def ensure_kept(self, reference: Reference) -> None:
        """See `Store`; asks the bucket, and sends it what it has no more."""
        self.fetch(reference)
        if not self._is_use_noted_there(reference):
            self._send(reference)

    def _note_use(self, reference: Reference) -> None:
        if self._tell_of_use(reference):
            super()._note_use(reference)

    def _tell_of_use(self, reference: Reference) -> bool:
        """Let the bucket know that what is here is in use; whether it does.

        Raises:
            StoreError: if the bucket has it no more, and what is here is damaged.
        """
        try:
            if not self._is_use_noted_there(reference):
                # It was pruned, since nobody used it. Now somebody does, and what they make of it may name it for good.
                folder = self._path(reference.digest)
                verify(folder, json.loads((folder / MANIFEST).read_bytes())["files"], reference)
                self._send(reference)
        except (TransientError, ConfigurationError) as error:
            logger.warning("%s Until then it is not known there that %s is in use.", error, reference.digest[:12])
            return False
        return True

    def _is_use_noted_there(self, reference: Reference) -> bool:
        """Whether the artifact is whole in the bucket, with a young manifest; an old one is written again."""
        if reference.digest in self._damaged_there:
            return False
        used_at = self._used_there_at(reference)
        if used_at is not None and time.time() - used_at > USE_NOTED_SECONDS:
            manifest = self._path(reference.digest) / MANIFEST
            with self.explained_there("write to"):
                self.objects.upload({f"{_artifact(reference.digest)}/{MANIFEST}": manifest})
            # It may have been pruned in between, by who saw the old manifest and deletes the new one.
            if time.time() - used_at > PRUNED_AFTER_SECONDS:
                time.sleep(PRUNING_SECONDS)
            used_at = self._used_there_at(reference)
        return used_at is not None

    def _used_there_at(self, reference: Reference) -> float | None:
        """When the manifest was written last; None where the artifact is not there as it is here, by names and sizes
        and the manifest's digest."""
        text = self._manifest(reference)
        if text is None or hashlib.sha256(text).hexdigest() != reference.digest:
            return None
        with self.explained_there("read"):
            there = self.objects.below(_artifact(reference.digest))
        here = self._files(reference)
        if {file: found.size for file, found in there.items()} != {
            file: path.stat().st_size for file, path in here.items()
        }:
            return None
        return there[MANIFEST].modified

    def _send(self, reference: Reference) -> None:
        name, files = _artifact(reference.digest), self._files(reference)
        manifest = {f"{name}/{MANIFEST}": files.pop(MANIFEST)}
        with self.explained_there("write to"):
            self.objects.upload({f"{name}/{file}": path for file, path in files.items()})
            self.objects.upload(manifest)
        self._damaged_there.discard(reference.digest)

    def _files(self, reference: Reference) -> dict[str, Path]:
        folder = self._path(reference.digest)
        return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}

    def _download(self, reference: Reference, folder: Path) -> None:
        name = _artifact(reference.digest)
        text = self._manifest(reference)
        if text is None:
            raise StoreError(f"The artifact {reference.digest[:12]} is missing from {self.url}.")
        try:
            if hashlib.sha256(text).hexdigest() != reference.digest:
                raise StoreError(f"The artifact {reference.digest[:12]} in {self.url} is damaged: its manifest.")
            files: list[File] = json.loads(text)["files"]
            with self.explained_there("read"):
                try:
                    self.objects.download({f"{name}/{file['name']}": folder / file["name"] for file in files})
                except FileNotFoundError as error:
                    raise StoreError(
                        f"The artifact {reference.digest[:12]} in {self.url} is damaged: a file is missing."
                    ) from error
            verify(folder, files, reference)
        except StoreError:
            self._damaged_there.add(reference.digest)
            raise
        (folder / MANIFEST).write_bytes(text)
        self._verified[reference.digest] = tuple(signature_of(folder / file["name"]) for file in files)

    def _manifest(self, reference: Reference) -> bytes | None:
        name = f"{_artifact(reference.digest)}/{MANIFEST}"
        with self.explained_there("read"):
            return self.objects.read_those_there([name]).get(name)

    @contextmanager
    def explained_there(self, what: str) -> Iterator[None]:
        """Say what is the matter with a bucket that refuses. A failure of the cache's own disk is told as it is.

        Only what is not there counts as lost, by a StoreError: for want of a right or of a server no step runs again.
        """
        try:
            yield
        except OSError as error:
            path = error.filename
            if error.errno in (errno.ENOSPC, errno.EDQUOT) or (path and Path(path).is_relative_to(self.root)):
                raise
            text = str(error.strerror or error).rstrip(".") or type(error).__name__
            if isinstance(error, PermissionError):
                raise ConfigurationError(
                    f"Cannot {what} the store {self.url}: {text}. Give these credentials the rights to list, read, "
                    "write and delete objects there, or set others."
                ) from error
            if isinstance(error, FileNotFoundError):
                raise StoreError(
                    f"Cannot {what} the store {self.url}: {text}. Expected a bucket that is there; check "
                    "RETRAINING_STORE or --store, and the endpoint."
                ) from error
            raise TransientError(
                f"Cannot {what} the store {self.url}: the server fails ({text}). See to it, or run again later."
            ) from error


def _artifact(digest: str) -> str:
    return f"artifacts/{digest[:2]}/{digest}"
