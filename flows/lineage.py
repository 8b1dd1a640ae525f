"""Which code runs."""

import os
import subprocess
from functools import cache
from pathlib import Path

VARIABLE = "RETRAINING_CODE_VERSION"
"""Set in an image, which has no checkout to ask."""


def code_version() -> str:
    """The commit of the image, or of the checkout with "-dirty" where tracked files differ from it; else "unknown"."""
    return os.environ.get(VARIABLE, "").strip() or _of_the_checkout()


@cache
def _of_the_checkout() -> str:
    """Asked for once a process, as soon as it begins: it goes on with the code that it has imported."""
    root = Path(__file__).parents[1]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"
