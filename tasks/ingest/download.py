"""Downloads the pinned archive from the first host of a list that gives it, whole and verified.

Bytes are kept over cut connections, failed hosts and killed processes: each attempt asks for what is still missing,
from whichever host, and the digest of the whole decides in the end. A file under its final name is always complete.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import httpx

from tasks import locks
from tasks.errors import SourceError, SourceUnreachableError
from tasks.ingest.official import PinnedArchive
from tasks.ingest.pace import DEFAULT_TIMINGS, Timings
from tasks.ingest.transfer import (
    Host,
    HostFailedError,
    HostSlowError,
    HostTroubledError,
    PartialFile,
    host_of,
    sha256_of,
)

logger = logging.getLogger(__name__)


def fetch(
    urls: Sequence[str],
    pinned: PinnedArchive,
    downloads: Path,
    locks_folder: Path,
    *,
    idle_timeout_seconds: float,
    timings: Timings = DEFAULT_TIMINGS,
) -> Path:
    """The archive in `downloads`, downloaded unless it is there already.

    Args:
        urls: Where it may be had, tried in this order.
        pinned: What it must be.
        downloads: Folder that it goes to.
        locks_folder: Folder of the lock that lets one process at a time download.
        idle_timeout_seconds: A host that sends nothing for so long has failed.
        timings: How patient the download is otherwise.

    Raises:
        SourceUnreachableError: if no host gave it; names each with its cause.
    """
    target = downloads / pinned.file_name
    with locks.turn(locks_folder, "download", _say_who_downloads):
        if target.exists():
            if sha256_of(target) == pinned.archive.sha256:
                return target
            logger.warning("%s was altered after its download; it is discarded and downloaded again.", target)
            target.unlink()
        part = target.with_name(target.name + ".part")
        with httpx.Client(
            timeout=httpx.Timeout(idle_timeout_seconds),
            follow_redirects=True,
            # Left to itself a server may say that a .tar.gz is a .tar in gzip encoding, and mean other bytes.
            headers={"Accept-Encoding": "identity"},
        ) as client:
            _from_any_host(client, urls, PartialFile(part, pinned), timings)
        os.replace(part, target)
    return target


def _say_who_downloads(holder: str) -> None:
    logger.warning("Waiting for the download of %s to end.", holder)


def _from_any_host(client: httpx.Client, urls: Sequence[str], partial: PartialFile, timings: Timings) -> None:
    """Each host in its turn; then those again that were merely slow, with more patience."""
    causes: dict[str, str] = {}
    may_pass = False
    slow: list[str] = []
    for number, url in enumerate(urls, start=1):
        try:
            Host(client, url, partial, timings, leave_if_slow=number < len(urls)).give()
            return
        except HostFailedError as error:
            logger.warning("%s: %s; %s bytes are kept.", host_of(url), error, f"{partial.size:,}")
            causes[url] = str(error)
            may_pass = may_pass or isinstance(error, HostTroubledError)
            if isinstance(error, HostSlowError):
                slow.append(url)
    for url in slow:
        try:
            Host(client, url, partial, timings, leave_if_slow=False).give()
            return
        except HostFailedError as error:
            causes[url] = f"{causes[url]}, then: {error}"
    # Wrong bytes and missing files are the same when asked for again: only trouble on the way is worth another try.
    raise (SourceUnreachableError if may_pass else SourceError)(
        f"No host gave {partial.pinned.file_name} ({partial.pinned.archive.size_bytes:,} bytes, SHA-256 "
        f"{partial.pinned.archive.sha256}):\n"
        + ";\n".join(f"  {host_of(url)}: {cause}" for url, cause in causes.items())
        + f".\n{partial.size:,} bytes are kept for the next attempt. Check the network, name another host with "
        "--ingest.urls, or give a local copy with --source PATH."
    )
