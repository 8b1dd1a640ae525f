"""Says which machine and which libraries figures come from."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

UNAVAILABLE = 3
"""Exit code of a measurement whose library or device is missing."""


def describe() -> dict[str, Any]:
    """Processor, cores and Python, and all of it in a sentence."""
    processor, cores, python = _processor(), os.cpu_count(), platform.python_version()
    summary = f"{cores} cores of {processor}, Python {python}"
    return {"processor": processor, "cores": cores, "python": python, "summary": summary}


def installed(*names: str) -> dict[str, str]:
    """The versions of libraries; those that are not installed are left out. Loads none of them."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
