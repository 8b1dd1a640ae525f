"""One host's turn at a download: asks for what is missing, and judges what comes. Knows of no other host."""

import hashlib
import logging
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tasks import progress
from tasks.ingest.official import PinnedArchive
from tasks.ingest.pace import Meter, Timings

logger = logging.getLogger(__name__)


class HostFailedError(Exception):
    """This host is of no use; another may be."""


class HostTroubledError(HostFailedError):
    """The host, or the way to it, is in trouble that may pass."""


class HostSlowError(HostTroubledError):
    """This host is too slow to wait for while another remains."""


class _AttemptFailedError(Exception):
    """The attempt failed; the same host may do better the next time."""


@dataclass
class PartialFile:
    """What there is of a download so far.

    Attributes:
        part: Where its bytes are kept.
        pinned: What it must become.
        givers: The hosts that its bytes came from.
    """

    part: Path
    pinned: PinnedArchive
    givers: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """What an earlier run left takes part, unless it cannot be the beginning of the archive."""
        if self.size > self.pinned.archive.size_bytes:
            self.discard()
        if self.size:
            self.givers.add("an earlier run")

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self.part.stat().st_size if self.part.exists() else 0

    @property
    def complete(self) -> bool:
        """Whether it has its full size; its digest is another question."""
        return self.size == self.pinned.archive.size_bytes

    def discard(self) -> None:
        """Begin from nothing."""
        self.part.unlink(missing_ok=True)
        self.givers.clear()


def host_of(url: str) -> str:
    """The host that a URL names, with its port; never a password that stands in the URL."""
    try:
        return httpx.URL(url).netloc.decode() or url
    except httpx.InvalidURL:
        return url


class Host:
    """One host's turn at a download.

    Args:
        client: Carries the idle timeout.
        url: The archive's address there.
        partial: What it adds to.
        timings: How patient to be.
        leave_if_slow: Whether another host remains.
    """

    def __init__(
        self, client: httpx.Client, url: str, partial: PartialFile, timings: Timings, *, leave_if_slow: bool
    ) -> None:
        self._client = client
        self._url = url
        self._partial = partial
        self._timings = timings
        self._meter = Meter(
            timings.slow_window_seconds,
            timings.slow_bytes_per_second if leave_if_slow else timings.stalled_bytes_per_second,
        )
        self._etag: str | None = None
        self._furthest = partial.size
        self._begun_anew = False
        self._reported = 0.0

    def give(self) -> None:
        """Complete the download.

        Raises:
            HostFailedError: if this host cannot.
        """
        failures = 0
        while not self._verified():
            try:
                self._attempt()
            except _AttemptFailedError as error:
                # A host that starts anew each time and never gets further makes no progress.
                failures = 0 if self._partial.size > self._furthest else failures + 1
                self._furthest = max(self._furthest, self._partial.size)
                if failures >= self._timings.attempts:
                    raise HostTroubledError(f"{error} ({failures} attempts in a row)") from error
                delay = self._timings.first_delay_seconds * 2 ** max(0, failures - 1) * random.uniform(1, 1.5)
                logger.info("%s: %s; next attempt in %.1f s.", host_of(self._url), error, delay)
                time.sleep(delay)
                self._check_pace()

    def _verified(self) -> bool:
        """Whether the download is complete and right. What is complete and wrong is discarded."""
        if not self._partial.complete:
            return False
        found = sha256_of(self._partial.part)
        if found == self._partial.pinned.archive.sha256:
            return True
        ours_alone = self._partial.givers == {self._url}
        self._partial.discard()
        cause = f"gave a file with SHA-256 {found}, expected {self._partial.pinned.archive.sha256}"
        if ours_alone:
            raise HostFailedError(cause)
        # The wrong bytes may have come from elsewhere: this host has a turn of its own, from the start.
        self._begin_anew(cause)
        logger.warning(
            "The file, begun by another host or run, has a wrong digest: begun anew at %s.", host_of(self._url)
        )
        return False

    def _begin_anew(self, cause: str) -> None:
        """Discard what there is. Once a turn: a host that needs it again would be asked for ever."""
        self._partial.discard()
        if self._begun_anew:
            raise HostFailedError(cause)
        self._begun_anew = True
        self._furthest = 0

    def _attempt(self) -> None:
        with _explained(), self._client.stream("GET", self._url, headers=self._range_headers()) as response:
            start = self._start_of(response)
            self._etag = response.headers.get("ETag")
            with self._partial.part.open("ab") as file:
                file.truncate(start)
                if start == 0:
                    self._partial.givers.clear()
                for chunk in response.iter_raw():
                    start += len(chunk)
                    if start > self._partial.pinned.archive.size_bytes:
                        file.truncate(0)
                        raise HostFailedError(
                            f"sends more than the {self._partial.pinned.archive.size_bytes:,} bytes of the archive"
                        )
                    file.write(chunk)
                    self._partial.givers.add(self._url)
                    self._count(len(chunk), start)
                file.flush()
                os.fsync(file.fileno())
        if not self._partial.complete:
            raise _AttemptFailedError(f"ended after {start:,} bytes")

    def _range_headers(self) -> dict[str, str]:
        if not self._partial.size:
            return {}
        headers = {"Range": f"bytes={self._partial.size}-"}
        # Only a strong validator may stand in If-Range (RFC 9110, 13.1.5); without one the digest decides alone.
        if self._etag is not None and not self._etag.startswith("W/"):
            headers["If-Range"] = self._etag
        return headers

    def _start_of(self, response: httpx.Response) -> int:
        """Where in the file the response's bytes belong.

        Raises:
            _AttemptFailedError: if the server has a passing trouble, or the partial file does not suit it.
            HostFailedError: if it does not have the archive.
        """
        status = f"{response.status_code} {response.reason_phrase}".strip()
        if response.status_code == 416:
            self._begin_anew(status)
            raise _AttemptFailedError(f"{status}; the download is begun anew")
        if response.status_code in (408, 425, 429) or response.status_code >= 500:
            raise _AttemptFailedError(status)
        if response.status_code not in (200, 206):
            raise HostFailedError(status)
        start, total = placed(response)
        expected = self._partial.pinned.archive.size_bytes
        if total not in (None, expected):
            raise HostFailedError(f"offers {total:,} bytes, expected {expected:,}")
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise HostFailedError("answers with a web page instead of the archive")
        if start not in (0, self._partial.size):
            raise HostFailedError(f"sends from byte {start:,} on, asked for {self._partial.size:,}")
        return start

    def _count(self, num_bytes: int, done: int) -> None:
        self._meter.add(num_bytes)
        self._check_pace()
        now = time.monotonic()
        if now - self._reported >= self._timings.report_seconds:
            self._reported = now
            total = self._partial.pinned.archive.size_bytes
            note = f"{self._meter.rate / 1000:,.0f} kB/s from {host_of(self._url)}"
            progress.report(progress.Progress(done=done, total=total, unit="bytes", note=note))

    def _check_pace(self) -> None:
        too_slow = self._meter.too_slow()
        if too_slow is not None:
            raise HostSlowError(too_slow)


def placed(response: httpx.Response) -> tuple[int, int | None]:
    """The offset of a response's first byte, and the size of the whole where the server says it."""
    if response.status_code == 206:
        span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        first = span.partition("-")[0]
        return int(first) if first.isdecimal() else -1, int(total) if total.isdecimal() else None
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


@contextmanager
def _explained() -> Iterator[None]:
    """Give httpx's errors the two meanings that matter here."""
    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects) as error:
        raise HostFailedError(_cause(error)) from error
    except httpx.HTTPError as error:
        raise _AttemptFailedError(_cause(error)) from error


def _cause(error: Exception) -> str:
    """An error in one line; time-outs have no text of their own."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


def sha256_of(path: Path) -> str:
    """The digest of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
