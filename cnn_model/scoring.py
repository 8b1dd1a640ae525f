"""Scores any number of images with a final model, into Parquet parts, each whole or not there.

Memory is that of one batch and one part, however many images there are. A scoring goes on after its last whole part.
"""

import hashlib
import heapq
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cnn_model import backends, image_files
from cnn_model.data import IMAGE_SHAPE, Images
from cnn_model.decoding import decode
from cnn_model.devices import Wanted, select
from cnn_model.events import Event
from cnn_model.failures import BadDataError, BadRequestError
from cnn_model.image_files import ImageFile, UnreadableFileError
from cnn_model.inference import load
from cnn_model.parts import PartWriter, Probabilities, Row, Scorer
from cnn_model.results import ScoringResult

SAMPLE_IMAGES, SAMPLE_CLASSES, SAMPLE_NAMES = "images.npy", "classes.npy", "names.json"
MAX_THREADS = 8
FILES_AHEAD = 16
"""Read at most before the first of them is decoded."""

PROGRESS_SECONDS = 1.0


@dataclass(frozen=True)
class Request:
    """What is to be scored, and how.

    Attributes:
        model_file: A final model as training writes it.
        model_sha256: Its SHA-256; None where nobody says.
        model_version: Stands in each row; 0 where nobody says.
        images: A folder, an archive or Parquet files; see `cnn_model.image_files`.
        output: A folder that exists, for the parts.
        class_names: Names of the labels, in their order.
        images_per_part: Rows of each part but the last.
        batch_size: Images scored at once.
        num_done_parts: Parts of the same images that are whole and stay.
        key: Stands in each part: which scoring it belongs to.
        sample: A folder that exists, for images that are kept for comparisons; None where nobody wants any.
        sample_size: How many are kept.
    """

    model_file: Path
    images: Path
    output: Path
    class_names: Sequence[str]
    images_per_part: int = 5_000
    batch_size: int = 500
    num_done_parts: int = 0
    model_sha256: str | None = None
    model_version: int = 0
    key: str = ""
    sample: Path | None = None
    sample_size: int = 0


def run(request: Request, wanted: Wanted, emit: Callable[[Event], None]) -> ScoringResult:
    """Score all images that are not scored yet.

    Writes `part-NNNNN.parquet` and, where a sample is asked for, `images.npy` (shape (num_sampled, 32, 32, 3),
    dtype=uint8), `classes.npy` (shape (num_sampled,), dtype=uint8), what the model takes them for, and `names.json`.

    Raises:
        BadDataError: if the images cannot be read at all. Single ones that cannot are rows with an error.
        BadRequestError: if the model cannot be loaded, is another one, or tells another number of classes.
        NoDeviceError: if the wanted device is not there.
    """
    device = select(wanted)
    emit({"event": "device", "device": device.name, "kind": device.kind})
    sha256 = _checked_sha256(request)
    model = load(request.model_file)
    if model.output_shape[-1] != len(request.class_names):
        raise BadRequestError(
            f"{request.model_file} tells {model.output_shape[-1]} classes; {len(request.class_names)} names came; "
            "give one name a class"
        )
    predict = _Predictor(model, request.batch_size)
    sample, pace = _Sample(request.sample_size if request.sample else 0), _Pace(emit)
    scorer = Scorer(tuple(request.class_names), request.model_version, sha256, request.key)
    parts = PartWriter(request.output, scorer, request.images_per_part, request.num_done_parts)
    first = request.num_done_parts * request.images_per_part

    def wanted_file(position: int, name: str) -> bool:
        if position >= first:
            pace.begin()
            return True
        pace.at(position)
        return sample.wants(position, name)

    with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
        for batch in _batches(image_files.read(request.images, wanted_file), request.batch_size, pool):
            for row in batch:
                if row.image is not None:
                    sample.add(row.position, row.name, row.image)
            new = [row for row in batch if row.position >= first]
            if new:
                parts.add(new, predict([row.image for row in new if row.image is not None]))
                pace.num_scored += len(new)
                pace.at(new[-1].position + 1)
    parts.close()
    seconds = pace.seconds
    if request.sample is not None and (kept := sample.kept()):
        _write_sample(request.sample, kept, predict)
    return ScoringResult(num_scored=pace.num_scored, seconds=seconds, device=device.name)


def _write_sample(folder: Path, kept: Sequence[tuple[str, Images]], predict: "_Predictor") -> None:
    images = [image for _, image in kept]
    batches = [images[start : start + predict.batch_size] for start in range(0, len(images), predict.batch_size)]
    classes = np.concatenate([predict(batch).argmax(axis=1) for batch in batches])
    np.save(folder / SAMPLE_IMAGES, np.stack(images))
    np.save(folder / SAMPLE_CLASSES, classes.astype(np.uint8))
    (folder / SAMPLE_NAMES).write_text(json.dumps([name for name, _ in kept]) + "\n")


def _checked_sha256(request: Request) -> str:
    try:
        with request.model_file.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadRequestError(f"{request.model_file} cannot be read ({error.strerror}); name a model.keras") from error
    if request.model_sha256 not in (None, sha256):
        raise BadRequestError(
            f"{request.model_file} has SHA-256 {sha256}; expected {request.model_sha256}; it is damaged or another "
            "model, and was not loaded"
        )
    return sha256


def _batches(files: Iterator[ImageFile], size: int, pool: ThreadPoolExecutor) -> Iterator[list[Row]]:
    """Decoded images in their order, a batch at a time."""
    rows = _in_order(files, pool)
    while batch := [*islice(rows, size)]:
        yield batch


def _in_order(files: Iterator[ImageFile], pool: ThreadPoolExecutor) -> Iterator[Row]:
    """Decoded images. A file may have any size up to a limit, so only a few are read before they are decoded."""
    ahead: deque[Future[Row]] = deque()
    damage: BadDataError | None = None
    while True:
        try:
            file = next(files, None)
        except BadDataError as error:  # what was read before counts
            damage, file = error, None
        if file is None:
            break
        ahead.append(pool.submit(_decoded, file))
        if len(ahead) == FILES_AHEAD:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()
    if damage is not None:
        raise damage


def _decoded(file: ImageFile) -> Row:
    try:
        data = file.read()
    except UnreadableFileError as error:
        return Row(file.position, file.name, None, str(error))
    try:
        return Row(file.position, file.name, decode(data))
    except BadDataError as error:
        return Row(file.position, file.name, None, str(error))


class _Predictor:
    """The model as a function of up to `batch_size` images, compiled for that size alone."""

    def __init__(self, model: Any, batch_size: int) -> None:
        self._infer = backends.current().compile_inference(model)
        self.batch_size = batch_size
        self._batch = np.zeros((batch_size, *IMAGE_SHAPE), np.uint8)

    def __call__(self, images: Sequence[Images]) -> Probabilities:
        """Shape (num_images, num_classes)."""
        # What is left over from the batch before is scored as well and not looked at.
        for place, image in enumerate(images):
            self._batch[place] = image
        given: Probabilities = self._infer(self._batch)[: len(images)]
        return given


class _Sample:
    """The images with the lowest digests: the same ones however often the scoring was interrupted.

    A digest is of name and position, as rows of a Parquet file may share a name.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: list[tuple[int, int, str, Images]] = []

    def wants(self, position: int, name: str) -> bool:
        """Whether that image would be kept, as far as is known now."""
        return len(self._kept) < self._size or (self._size > 0 and _rank(position, name) > self._kept[0][0])

    def add(self, position: int, name: str, image: Images) -> None:
        """Keep it, if it is to be kept."""
        if self.wants(position, name):
            push = heapq.heappush if len(self._kept) < self._size else heapq.heappushpop
            push(self._kept, (_rank(position, name), -position, name, image))

    def kept(self) -> list[tuple[str, Images]]:
        """The images with their names, the lowest digest first."""
        return [(name, image) for _, _, name, image in sorted(self._kept, key=lambda kept: (-kept[0], -kept[1]))]


def _rank(position: int, name: str) -> int:
    """The lower the digest, the higher."""
    return -int.from_bytes(hashlib.sha256(f"{name}\0{position}".encode()).digest()[:8])


class _Pace:
    """Counts images, and says at most every second how many there are."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._start: float | None = None
        self._last = time.monotonic()
        self.num_scored = 0

    def begin(self) -> None:
        """The first image that is not scored yet is about to be read; those that are passed over take no time."""
        if self._start is None:
            self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since then; 0 before."""
        return 0.0 if self._start is None else time.monotonic() - self._start

    def at(self, position: int) -> None:
        """So many images are done or passed over."""
        now = time.monotonic()
        if now - self._last >= PROGRESS_SECONDS:
            self._last = now
            pace = self.num_scored / seconds if (seconds := self.seconds) else 0.0
            self._emit({"event": "scored", "images": position, "images_per_second": pace})
