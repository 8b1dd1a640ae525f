"""Files that appear whole or not at all, and stay."""

import os
import uuid
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path`: a reader finds the whole file, the one before it, or none. On disk when this returns.

    Raises:
        OSError: if it cannot be written; FileNotFoundError if its folder is not there. What was there stays.
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        draft.write_text(text, encoding="utf-8")
        flush(draft)
        os.replace(draft, path)
        flush(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """See that a file's bytes, or a folder's names, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
