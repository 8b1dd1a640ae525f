"""Files that other processes write to while a test reads them."""

import os
from contextlib import suppress
from pathlib import Path


def files_with(folder: Path, text: str) -> list[str]:
    """The names of all files below a folder that hold a text; those that go meanwhile do not count."""
    found = []
    for inside, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                if text.encode() in Path(inside, name).read_bytes():
                    found.append(name)
    return found
