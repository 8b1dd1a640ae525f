"""How much memory this process has used."""

import resource
import sys
from pathlib import Path


def peak_bytes() -> int:
    """The largest resident memory of this process so far.

    Linux's own high-water mark where there is one: what `getrusage` says starts with that of the process that started
    this one.
    """
    try:
        return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
