"""The Parquet files of a scoring, each whole or not there: one row an image. Knows nothing of Keras.

Columns: `path`; `class`; `confidence`, the probability of that class; `probability_NAME`, one a class, float32;
`model_version`; `model_sha256`; `scored_at`; `error`. An image that cannot be read has an error, and neither class nor
probabilities.
"""

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from cnn_model.data import Images

Probabilities = npt.NDArray[np.float32]

KEY = b"scoring"
"""In the metadata of each part: which scoring it belongs to."""


class Row(NamedTuple):
    """An image and its name, or why there is none."""

    position: int
    name: str
    image: Images | None
    error: str | None = None


@dataclass(frozen=True)
class Scorer:
    """What scored.

    Attributes:
        class_names: Names of the labels, in their order.
        model_version: 0 where nobody says.
        key: Of the scoring.
    """

    class_names: tuple[str, ...]
    model_version: int
    model_sha256: str
    key: str


def part_name(number: int) -> str:
    """The file of a part, counted from 0."""
    return f"part-{number:05d}.parquet"


class PartWriter:
    """Collects rows, and writes them as soon as they fill a part.

    Args:
        folder: Where to; it exists.
        scorer: What stands in each part.
        images_per_part: Rows of each but the last.
        number: Of the first part that is written here, from 0.
    """

    def __init__(self, folder: Path, scorer: Scorer, images_per_part: int, number: int = 0) -> None:
        self._folder, self._scorer, self._size, self._number = folder, scorer, images_per_part, number
        self._rows: list[Row] = []
        self._probabilities: list[npt.NDArray[np.float32]] = []

    def add(self, rows: Sequence[Row], probabilities: Probabilities) -> None:
        """Rows, and in the same order the probabilities of those that have an image."""
        given = iter(probabilities)
        unknown = np.full(len(self._scorer.class_names), np.nan, np.float32)
        for row in rows:
            # The pixels are no longer needed.
            self._rows.append(row._replace(image=None))
            self._probabilities.append(unknown if row.image is None else next(given))
            if len(self._rows) == self._size:
                self._write()

    def close(self) -> None:
        """Write the last, shorter part."""
        if self._rows:
            self._write()

    def _write(self) -> None:
        path = self._folder / part_name(self._number)
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            with draft.open("wb") as file:
                # With checksums, so that whoever goes on after it sees damage in the middle of it.
                pq.write_table(self._table(), file, compression="zstd", write_page_checksum=True)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        self._number += 1
        self._rows, self._probabilities = [], []

    def _table(self) -> pa.Table:
        names, probabilities = self._scorer.class_names, np.stack(self._probabilities)
        unreadable = np.array([row.error is not None for row in self._rows])
        best = np.where(unreadable, 0, np.argmax(probabilities, axis=1))
        columns = {
            "path": pa.array([row.name for row in self._rows], pa.string()),
            "class": pa.array(np.array(names)[best], pa.string(), mask=unreadable),
            "confidence": pa.array(probabilities[np.arange(len(best)), best], mask=unreadable),
            **{
                f"probability_{name}": pa.array(probabilities[:, label], mask=unreadable)
                for label, name in enumerate(names)
            },
            "model_version": pa.array([self._scorer.model_version] * len(best), pa.int32()),
            "model_sha256": pa.array([self._scorer.model_sha256] * len(best), pa.string()),
            "scored_at": pa.array([datetime.now(UTC)] * len(best), pa.timestamp("us", "UTC")),
            "error": pa.array([row.error for row in self._rows], pa.string()),
        }
        return pa.table(columns).replace_schema_metadata({KEY: self._scorer.key})
