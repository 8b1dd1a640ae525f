"""Finds out, at the flow's door, which data a run is about: what a person asked for becomes a `Source`."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field

from tasks import store
from tasks.addresses import local_path
from tasks.errors import ConfigurationError, SourceError
from tasks.ingest import folder, known, transfer
from tasks.ingest.config import IngestConfig
from tasks.ingest.official import CIFAR10, PinnedArchive

VARIABLE = "CIFAR10_SOURCE"

PROBE_SECONDS = 5.0

ACCEPTED = (
    "cifar10 (download the official archive), synthetic (practice images), auto, "
    "or the path or file:// URL of a .tar.gz archive or a folder of .bin files"
)

SourceKind = Literal["official", "local", "synthetic"]


class Source(BaseModel):
    """Which data a run is about. Equal data of one name have an equal serialised form, wherever they lie.

    Attributes:
        kind: Where the images come from.
        digest: SHA-256 that stands for the bytes: of the archive, pinned or local, or over a folder's files; None for
            practice images, which the section `ingest` describes.
        slug: Short name of local data, from that of their file or folder: unofficial images are named by it.
        location: Where local data lie. Not serialised, so in no cache key.
        fallback_reason: Why `auto` took practice images, in a sentence; None where it did not. Not serialised either.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: SourceKind
    digest: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    slug: str | None = Field(None, pattern="^[a-z0-9-]+$")
    location: str | None = Field(None, exclude=True)
    fallback_reason: str | None = Field(None, exclude=True)


def resolve(
    source: str, config: IngestConfig, environ: Mapping[str, str], *, pinned: PinnedArchive = CIFAR10
) -> Source:
    """What the data source that a person asked for stands for.

    Args:
        source: `cifar10`, `synthetic`, `auto`, or a path or file:// URL of an archive or a folder.
        config: Names the hosts that `auto` looks for.
        environ: `auto` reads `CIFAR10_SOURCE` there.
        pinned: The official archive.

    Raises:
        ConfigurationError: if it is none of these, or the path does not exist.
        SourceError: if a folder holds no image file, or a file cannot be read.
    """
    if source == "auto":
        return _automatic(config, environ, pinned)
    if source == "cifar10":
        return Source(kind="official", digest=pinned.archive.sha256)
    if source == "synthetic":
        return Source(kind="synthetic")
    return _local(local_path(source, "The source", ACCEPTED))


def check(source: str, environ: Mapping[str, str]) -> None:
    """See, before anything starts, that what a person asked for can be a source. Reads no image and asks no host.

    Raises:
        ConfigurationError: if it is none of what `resolve` takes, or the path does not exist.
    """
    named = environ.get(VARIABLE)
    if source == "auto" and named:
        if named == "auto":
            raise ConfigurationError(f"{VARIABLE} is 'auto', which would ask itself; expected another source.")
        try:
            check(named, {})
        except ConfigurationError as error:
            raise ConfigurationError(f"{VARIABLE}: {error}") from error
    elif source not in ("auto", "cifar10", "synthetic"):
        path = local_path(source, "The source", ACCEPTED)
        if not (path.is_dir() or path.is_file()):
            raise _unusable(path)


def _automatic(config: IngestConfig, environ: Mapping[str, str], pinned: PinnedArchive) -> Source:
    named = environ.get(VARIABLE)
    if named:
        if named == "auto":
            raise ConfigurationError(f"{VARIABLE} is 'auto', which would ask itself; expected another source.")
        try:
            return resolve(named, config, environ, pinned=pinned)
        except (ConfigurationError, SourceError) as error:
            raise type(error)(f"{VARIABLE}: {error}") from error
    if known.recall() is not None or (store.current().folder("downloads") / pinned.file_name).exists():
        return Source(kind="official", digest=pinned.archive.sha256)
    causes: list[str] = []
    for url in config.urls:
        cause = _probe(url, pinned)
        if cause is None:
            return Source(kind="official", digest=pinned.archive.sha256)
        causes.append(f"{transfer.host_of(url)} ({cause})")
    return Source(
        kind="synthetic",
        fallback_reason=f"{VARIABLE} is not set, the store does not hold CIFAR-10, and no host can be reached: "
        f"{', '.join(causes)}.",
    )


def _probe(url: str, pinned: PinnedArchive) -> str | None:
    """Why a host does not offer the archive; None if it does. Asks for a single byte."""
    headers = {"Range": "bytes=0-0", "Accept-Encoding": "identity"}
    try:
        with httpx.stream("GET", url, headers=headers, timeout=PROBE_SECONDS, follow_redirects=True) as response:
            if response.status_code not in (200, 206):
                return f"{response.status_code} {response.reason_phrase}".strip()
            total = transfer.placed(response)[1]
            # A network that wants a login answers everything with a page of its own.
            return None if total in (None, pinned.archive.size_bytes) else f"offers {total:,} bytes"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return type(error).__name__


def _local(path: Path) -> Source:
    try:
        if path.is_dir():
            return Source(kind="local", digest=folder.digest(path), slug=_slug(path), location=str(path))
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            return Source(kind="local", digest=digest, slug=_slug(path), location=str(path))
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read: {error.strerror or error}. Check the file and its rights."
        ) from error
    raise _unusable(path)


def _unusable(path: Path) -> ConfigurationError:
    found = "is neither a file nor a folder" if path.exists() else "does not exist"
    return ConfigurationError(f"The source {str(path)!r} {found}; expected {ACCEPTED}.")


def _slug(path: Path) -> str:
    name = re.sub(r"\.(tar\.gz|tgz|tar|gz)$", "", path.name.lower())
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-") or "data"
