"""Writing the report's files: a reader finds the whole file, the one before it, or none."""

import os
import uuid
from pathlib import Path


def write_atomically(path: Path, text: str) -> str:
    """Write `text` to `path`, making its folder if missing, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return str(path)
