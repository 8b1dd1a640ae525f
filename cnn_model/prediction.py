"""Predicts the classes of image files with the model of a bundle. Loads Keras with the first batch and not before."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from cnn_model.bundle import Bundle
from cnn_model.data import IMAGE_SHAPE, Images
from cnn_model.decoding import MAX_FILE_BYTES, SUFFIXES, decode
from cnn_model.failures import BadDataError, UsageError

if TYPE_CHECKING:
    from cnn_model.verification import VerifiedModel

BATCH_SIZE = 500


@dataclass(frozen=True)
class Prediction:
    """What the model gives for one file.

    Attributes:
        probabilities: By class, the most probable first; empty where the file is no image.
        resized_from: Width and height of a picture of another size than 32 by 32.
        problem: Why there is no prediction; empty where there is one.
    """

    path: str
    probabilities: dict[str, float]
    resized_from: tuple[int, int] | None = None
    problem: str = ""


def find_images(places: Sequence[Path]) -> list[Path]:
    """The files to predict: those that are named, and the pictures in folders that are named, by their endings.

    Raises:
        UsageError: if there is none.
    """
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            found.extend(path for path in sorted(place.rglob("*")) if path.suffix.lower() in SUFFIXES)
        else:
            found.append(place)
    if not found:
        raise UsageError(f"{', '.join(map(str, places))} holds no picture; expected PNG or JPEG files; name some")
    return found


def predictions(files: Sequence[Path], bundle: Bundle, verified: "VerifiedModel") -> Iterator[Prediction]:
    """Predict in batches that fit in memory, in the order of the files; files that are no image are told of."""
    for start in range(0, len(files), BATCH_SIZE):
        yield from _batch(files[start : start + BATCH_SIZE], bundle, verified)


def _batch(files: Sequence[Path], bundle: Bundle, verified: "VerifiedModel") -> Iterator[Prediction]:
    from cnn_model.inference import predict

    decoded = [_decode(file) for file in files]
    images = [image for image, _ in decoded if not isinstance(image, str)]
    rows: Iterator[Any] = iter(predict(verified.model, np.stack(images)) if images else ())
    names = bundle.manifest.class_names
    for file, (image, size) in zip(files, decoded, strict=True):
        if isinstance(image, str):
            yield Prediction(str(file), {}, problem=image)
            continue
        row = next(rows)
        order = np.argsort(-row, kind="stable")
        yield Prediction(
            str(file),
            {names[place]: float(row[place]) for place in order},
            resized_from=None if size == IMAGE_SHAPE[:2] else size,
        )


def _decode(file: Path) -> tuple[Images | str, tuple[int, int]]:
    """The image, or why there is none; and the size of the picture."""
    try:
        if not file.is_file():
            raise BadDataError("no such file" if not file.exists() else "no file")
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
        image = decode(data)
    except BadDataError as error:
        return str(error), (0, 0)
    except OSError as error:
        return f"cannot be read: {error.strerror}", (0, 0)
    with Image.open(io.BytesIO(data)) as header:
        return image, header.size
