"""The folder of one scoring: whose it is, which parts are whole, what stands in them.

`claim.json` says whose it is and comes first, `score.json` says that all is there and comes last.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from cnn_model.parts import KEY, part_name
from tasks.errors import ConfigurationError, StoreError
from tasks.files import write_atomically
from tasks.values.drops import MAX_NAMED
from tasks.values.scoring import Figures, Part, ScoringSummary, UnreadableImage

CLAIM = "claim.json"
SUMMARY = "score.json"
NUM_BINS = 10


def claim(folder: Path, key: str, what: str) -> None:
    """Make a folder that of one scoring; one that is that already stays as it is.

    Args:
        folder: Made if missing.
        key: Of the scoring.
        what: The scoring in words, for whoever finds the folder taken.

    Raises:
        ConfigurationError: if it holds another scoring, or anything else.
        StoreError: if it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = _claim_of(folder)
        if held is None and any(folder.iterdir()):
            raise ConfigurationError(
                f"{folder} holds files that are no scoring; expected an empty folder. Name another."
            )
        if held is None:
            write_atomically(folder / CLAIM, json.dumps({"key": key, "scoring": what}, indent=1) + "\n")
        elif held.get("key") != key:
            raise ConfigurationError(
                f"{folder} belongs to another scoring: {held.get('scoring')}. This one is {what}. Images, model, code, "
                "libraries and images_per_part must be the same to go on there. Name another folder."
            )
    except OSError as error:
        raise StoreError(f"Cannot write to {folder}: {error.strerror}. Name another folder with --output.") from error


def count_whole(folder: Path, key: str, images_per_part: int) -> int:
    """How many parts, from the first on without a gap, are full and of this scoring; after them it goes on."""
    number = 0
    while _is_whole(folder / part_name(number), key, images_per_part):
        number += 1
    return number


def verified(folder: Path, key: str) -> tuple[Part, ...]:
    """All parts.

    Raises:
        StoreError: if one is damaged, or of another scoring.
    """
    found = []
    for number, path in enumerate(sorted(folder.glob("part-*.parquet"))):
        num_rows = _num_rows(path, key)
        if path.name != part_name(number) or num_rows is None:
            raise StoreError(
                f"{path} is damaged or of another scoring; expected {part_name(number)} of this one. Remove it and "
                "run again."
            )
        with path.open("rb") as file:
            found.append(
                Part(name=path.name, num_rows=num_rows, sha256=hashlib.file_digest(file, "sha256").hexdigest())
            )
    return tuple(found)


def finished(folder: Path, key: str) -> ScoringSummary | None:
    """What became of the scoring that has ended in this folder; None where it has not, or its parts are damaged."""
    try:
        summary = ScoringSummary.model_validate_json((folder / SUMMARY).read_bytes())
        if summary.scoring.key == key and summary.scoring.parts == verified(folder, key):
            return summary.model_copy(update={"outcome": "unchanged"})
    except (OSError, ValidationError, StoreError):
        return None
    return None


def figures(folder: Path, parts: Sequence[Part], class_names: Sequence[str]) -> Figures:
    """Counts and means over all parts, one after another."""
    classes: Counter[str] = Counter()
    histogram = np.zeros(NUM_BINS, np.int64)
    total, num_unreadable = 0.0, 0
    unreadable: list[UnreadableImage] = []
    for part in parts:
        table = pq.read_table(folder / part.name, columns=["path", "class", "confidence", "error"])
        readable = table.filter(table["error"].is_null())
        classes.update(readable["class"].to_pylist())
        confidence = readable["confidence"].to_numpy()
        histogram += np.histogram(confidence, NUM_BINS, (0, 1))[0]
        total += float(confidence.sum(dtype=np.float64))
        others: pa.Table = table.filter(table["error"].is_valid())
        num_unreadable += others.num_rows
        for row in others.slice(0, MAX_NAMED - len(unreadable)).to_pylist():
            unreadable.append(UnreadableImage(name=row["path"], reason=row["error"]))
    num_images = sum(part.num_rows for part in parts)
    num_readable = num_images - num_unreadable
    return Figures(
        num_images=num_images,
        num_unreadable=num_unreadable,
        unreadable=tuple(unreadable),
        classes={name: classes[name] for name in class_names},
        mean_confidence=total / num_readable if num_readable else None,
        confidence_histogram=tuple(histogram.tolist()),
    )


def _claim_of(folder: Path) -> dict[str, str] | None:
    try:
        held = json.loads((folder / CLAIM).read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        held = None
    return held if isinstance(held, dict) else {"scoring": f"one whose {CLAIM} cannot be read"}


def _is_whole(path: Path, key: str, images_per_part: int) -> bool:
    return _num_rows(path, key) == images_per_part


def _num_rows(path: Path, key: str) -> int | None:
    """None where the file is missing, damaged or of another scoring. Reads all of it: the footer alone may be whole."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if (file.metadata.metadata or {}).get(KEY) != key.encode():
                return None
            return int(sum(batch.num_rows for batch in file.iter_batches()))
    except (OSError, pa.ArrowException):
        return None
