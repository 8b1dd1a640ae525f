"""How long a download waits, and how fast a host must be."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Timings:
    """How patient a download is.

    Attributes:
        attempts: Attempts on one host in a row that bring nothing new; then the next host has its turn.
        first_delay_seconds: The delay after the first of them. Each further one doubles, with up to half as jitter.
        slow_window_seconds: How long a host's rate is watched before it is judged.
        slow_bytes_per_second: Below this a host is left while another remains. At 300 kB/s the archive takes 9.5
            minutes; the official host has given 50 to 90 kB/s since June 2026 (pytorch/vision#9536).
        stalled_bytes_per_second: Below this even the last host is left: the archive would take two days.
        report_seconds: The least time between two reports of progress.
    """

    attempts: int = 3
    first_delay_seconds: float = 1.0
    slow_window_seconds: float = 30.0
    slow_bytes_per_second: float = 300_000.0
    stalled_bytes_per_second: float = 1_000.0
    report_seconds: float = 0.25


DEFAULT_TIMINGS = Timings()


class Meter:
    """Judges a host's rate, window by window. Cuts and delays within a window count too.

    Args:
        window_seconds: How long a window is.
        least_rate: Bytes a second that a host must give over a window.
    """

    def __init__(self, window_seconds: float, least_rate: float) -> None:
        self._window_seconds = window_seconds
        self._least_rate = least_rate
        self._start = time.monotonic()
        self._num_bytes = 0
        self._last_rate: float | None = None

    @property
    def rate(self) -> float:
        """Bytes a second over the last window, or so far where none is over."""
        if self._last_rate is not None:
            return self._last_rate
        return self._num_bytes / max(time.monotonic() - self._start, 1e-3)

    def add(self, num_bytes: int) -> None:
        """Count what came."""
        self._num_bytes += num_bytes

    def too_slow(self) -> str | None:
        """Close the window if it is over; a sentence if the host was slower than it must be, else None."""
        seconds = time.monotonic() - self._start
        if seconds < self._window_seconds:
            return None
        self._last_rate = self._num_bytes / seconds
        self._start, self._num_bytes = time.monotonic(), 0
        if self._last_rate >= self._least_rate:
            return None
        return (
            f"too slow: {self._last_rate / 1000:,.0f} kB/s over {seconds:,.0f} s, "
            f"expected {self._least_rate / 1000:,.0f}"
        )
