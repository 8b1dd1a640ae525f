"""Reads the files of one drop: CIFAR-10 records, folders named by class, or a table of paths and labels.

Knows nothing of where drops lie: it is given names and a way to read one. Names are relative, with forward slashes.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from cnn_model.decoding import SUFFIXES, decode
from cnn_model.failures import BadDataError
from tasks.errors import SourceError
from tasks.ingest import classes, records
from tasks.ingest.records import IMAGE_SIZE, NUM_CHANNELS, RECORD_BYTES
from tasks.values.drops import Unreadable

FORMAT = 1
"""Raise it when the same files give other images than before; a test notices. Drops that were taken are read anew."""

TABLES = (".csv", ".parquet")
COLUMNS = ("path", "label")

MAX_IMAGES = 500_000
"""In one drop; 1.5 GB of memory."""

Read = Callable[[str], bytes]
"""Gives the bytes of a file of the drop."""


class DropError(Exception):
    """A drop that cannot be read as a whole; the message says what came, what was expected and what to do."""


@dataclass
class Contents:
    """What the files of a drop hold.

    Attributes:
        images: Arrays of shape (n, 32, 32, 3), dtype=uint8, to be joined.
        labels: One an image, 0 to 9.
        names: Where each image came from, such as "cat/0001.png" or "batch.bin#17".
        unreadable: Files or rows that gave none.
        ignored: Files that belong to no format.
    """

    images: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def add(self, name: str, image: npt.NDArray[np.uint8], label: int) -> None:
        """One image more."""
        if len(self.labels) >= MAX_IMAGES:
            raise DropError(f"It holds more than {MAX_IMAGES:,} images. Make several drops of it.")
        self.images.append(image[np.newaxis])
        self.labels.append(label)
        self.names.append(name)

    def arrays(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Images of shape (num_images, 32, 32, 3) and labels of shape (num_images,), both uint8."""
        empty = np.empty((0, IMAGE_SIZE, IMAGE_SIZE, NUM_CHANNELS), np.uint8)
        return np.concatenate([empty, *self.images]), np.array(self.labels, np.uint8)


def read(files: Sequence[str], read_file: Read, class_names: Sequence[str]) -> Contents:
    """All images of a drop.

    Args:
        files: The names of its files, sorted.
        read_file: Gives the bytes of one.
        class_names: Names of the labels 0 to 9, as folders and tables may call them.

    Raises:
        DropError: if it is in no format or in two, a label is none, or a path leads out of it.
    """
    tables = [name for name in files if _suffix(name) in TABLES and "/" not in name]
    batches = [name for name in files if _suffix(name) == ".bin"]
    pictures = [name for name in files if _suffix(name) in SUFFIXES]
    if len(tables) > 1:
        raise DropError(f"It has {len(tables)} tables: {', '.join(tables)}. Expected one; make several drops of it.")
    if batches and (tables or pictures):
        raise DropError(
            f"It mixes formats: {batches[0]} holds records, {(tables or pictures)[0]} does not. Make a drop of each."
        )
    contents = Contents(ignored=[name for name in files if name not in {*tables, *batches, *pictures}])
    if tables:
        _read_rows(contents, _rows(tables[0], read_file(tables[0])), set(files), read_file, class_names)
        used = set(contents.names) | {item.name for item in contents.unreadable}
        contents.unreadable += [
            Unreadable(name=name, reason="not in the table") for name in pictures if name not in used
        ]
    elif batches:
        _read_batches(contents, batches, read_file)
    else:
        _read_folders(contents, pictures, read_file, class_names)
    if not contents.labels and not contents.unreadable:
        raise DropError(
            "It holds no image. Expected .bin files of CIFAR-10 records, folders named by class with PNG or JPEG "
            f"files, or one table ({' or '.join(TABLES)}) with the columns {' and '.join(COLUMNS)}."
        )
    return contents


def _read_batches(contents: Contents, batches: Sequence[str], read_file: Read) -> None:
    for name in batches:
        data = read_file(name)
        if len(contents.labels) + len(data) // RECORD_BYTES > MAX_IMAGES:
            raise DropError(f"It holds more than {MAX_IMAGES:,} images. Make several drops of it.")
        try:
            images, labels = records.parse(data, name)
        except SourceError as error:
            raise DropError(str(error)) from error
        contents.images.append(images)
        contents.labels += labels.tolist()
        contents.names += [f"{name}#{number}" for number in range(len(labels))]


def _read_folders(contents: Contents, pictures: Sequence[str], read_file: Read, class_names: Sequence[str]) -> None:
    for name in pictures:
        *folders, _ = name.split("/")
        if not folders:
            raise DropError(
                f"{name} lies in no folder. Put each image into a folder named by its class: "
                f"{', '.join(class_names)}, or 0 to 9."
            )
        label = _label(folders[0], class_names, f"The folder {folders[0]!r}")
        _read_picture(contents, name, label, read_file)


def _read_rows(
    contents: Contents,
    rows: Iterator[tuple[str, str]],
    files: set[str],
    read_file: Read,
    class_names: Sequence[str],
) -> None:
    for path, called in rows:
        name = _inside(path)
        label = _label(called, class_names, f"The label of {path}")
        if name not in files:
            contents.unreadable.append(Unreadable(name=path, reason="named by the table and not there"))
        elif _suffix(name) not in SUFFIXES:
            contents.unreadable.append(Unreadable(name=path, reason="not named as a picture"))
        else:
            _read_picture(contents, name, label, read_file)


def _read_picture(contents: Contents, name: str, label: int, read_file: Read) -> None:
    try:
        image = decode(read_file(name))
    except BadDataError as error:
        contents.unreadable.append(Unreadable(name=name, reason=str(error)))
        return
    contents.add(name, image, label)


def _rows(name: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Path and label of each row.

    Raises:
        DropError: if the table cannot be read or lacks a column.
    """
    header, rows = _parquet(name, data) if _suffix(name) == ".parquet" else _csv(name, data)
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise DropError(
            f"{name} lacks the column {' and '.join(missing)}; it has {', '.join(header) or 'none'}. "
            f"Name the columns {' and '.join(COLUMNS)}."
        )
    path, label = (header.index(column) for column in COLUMNS)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise DropError(f"Row {number} of {name} has {len(row)} values; expected {len(header)}. Mend the table.")
        yield row[path], row[label]


def _csv(name: str, data: bytes) -> tuple[list[str], Iterator[list[str]]]:
    try:
        lines = [line for line in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DropError(f"{name} is no CSV table in UTF-8: {error}. Save it anew.") from error
    header = [column.strip().lower() for column in lines[0]] if lines else []
    return header, iter(lines[1:])


def _parquet(name: str, data: bytes) -> tuple[list[str], Iterator[list[str]]]:
    import pandas as pd  # a quarter of a second

    try:
        table = pd.read_parquet(io.BytesIO(data), engine="pyarrow")
    except (OSError, ValueError) as error:
        raise DropError(f"{name} is no Parquet table: {error}. Save it anew.") from error
    rows = zip(*(table[column].astype(str) for column in table), strict=True)
    return [str(column).lower() for column in table], ([*row] for row in rows)


def _label(called: str, class_names: Sequence[str], what: str) -> int:
    """A class by its name, however it is written, or by its number."""
    label = classes.find(called, class_names)
    if label is None:
        raise DropError(f"{what} is {called!r}, which is no class; expected {classes.named(class_names)}.")
    return label


def _inside(path: str) -> str:
    """A path of a table as the name of a file of the drop.

    Raises:
        DropError: if it is absolute or leads out of the drop.
    """
    parts = PurePosixPath(path.strip()).parts
    if not parts or parts[0] == "/" or ".." in parts or "\\" in path or ":" in parts[0]:
        raise DropError(
            f"The table names {path!r}; expected paths within the drop, with forward slashes and without '..'."
        )
    return "/".join(parts)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
