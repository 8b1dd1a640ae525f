"""Labels that reviewers put right: which images, by their pixels, and what they show.

The file is `label_issues.csv` of a report with its last column filled in, or any CSV table with those two columns.
"""

import csv
import io
import logging
import re
import shutil
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tasks import store
from tasks.errors import ConfigurationError, SourceError
from tasks.ingest import classes
from tasks.ingest.config import IngestConfig
from tasks.values.dataset import RawDataset
from tasks.values.pixels import pixel_sha256

logger = logging.getLogger(__name__)

IMAGE, LABEL = "image_sha256", "correct_label"

_SHA256 = re.compile("[0-9a-f]{64}")


class Corrections(BaseModel):
    """What the reviewers said. Equal corrections are equal, in whatever order and file they stand.

    Attributes:
        labels: The class of each image as it was written, by its `pixel_sha256`, and in the order of these.
        location: The file. Not serialised, so in no cache key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: dict[str, str] = {}
    location: str | None = Field(None, exclude=True)


def read(config: IngestConfig) -> Corrections:
    """Read the table that the section names; nothing where it names none. Lines without a class are passed over.

    Raises:
        ConfigurationError: if there is no such file.
        SourceError: if it is not such a table, or says two things of one image.
    """
    if config.corrections is None:
        return Corrections()
    path = Path(config.corrections)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is no text in UTF-8: {error}. Save it as CSV in UTF-8.") from error
    except OSError as error:
        raise ConfigurationError(
            f"The corrections {path} cannot be read ({error.strerror}); expected a CSV file."
        ) from error
    lines = csv.DictReader(io.StringIO(text, newline=""))
    missing = {IMAGE, LABEL} - set(lines.fieldnames or ())
    if missing:
        raise SourceError(
            f"{path} has the columns {', '.join(lines.fieldnames or ()) or 'none'}; expected {IMAGE} and {LABEL}. "
            "Take label_issues.csv of a report and fill in its last column."
        )
    labels: dict[str, str] = {}
    for line in lines:
        image, label = (line[IMAGE] or "").strip().lower(), (line[LABEL] or "").strip()
        if not label:
            continue
        where = f"line {lines.line_num} of {path}"
        if not _SHA256.fullmatch(image):
            raise SourceError(f"{IMAGE} in {where} is {image!r}; expected 64 hexadecimal digits. Mend that line.")
        if labels.setdefault(image, label) != label:
            raise SourceError(f"{where} says {label!r} of an image that is {labels[image]!r} before. Keep one of them.")
    return Corrections(labels=dict(sorted(labels.items())), location=str(path))


def apply(dataset: RawDataset, corrections: Corrections) -> RawDataset:
    """The dataset with the right labels for training; the published test labels stay, so that figures stay comparable.

    Raises:
        SourceError: if a class is none.
        StoreError: if the store cannot be written.
    """
    if not corrections.labels:
        return dataset
    right = {image: _label(called, dataset, corrections) for image, called in corrections.labels.items()}
    folder = store.current().fetch(dataset.artifact)
    found = {split: _digests(folder / f"{split}_images.npy") for split in ("train", "test")}
    labels = np.load(folder / "train_labels.npy", allow_pickle=False)
    corrected = labels.copy()
    for place, image in enumerate(found["train"]):
        corrected[place] = right.get(image, labels[place])
    num_changed = int((corrected != labels).sum())
    num_test = len(right.keys() & set(found["test"]))
    num_unknown = len(right.keys() - set(found["train"]) - set(found["test"]))
    logger.info(
        "Corrections: %d training labels changed; test labels stay as published, also %d of these.",
        num_changed,
        num_test,
    )
    if num_unknown:
        logger.warning("%d corrections are of images that the base does not have; they change nothing.", num_unknown)
    if not num_changed:
        return dataset
    opened = store.current()
    with opened.staging() as staging:
        for name in ("train_images", "test_images", "test_labels"):
            shutil.copyfile(folder / f"{name}.npy", staging / f"{name}.npy")
        np.save(staging / "train_labels.npy", corrected)
        return dataset.model_copy(update={"artifact": opened.publish(staging), "num_corrected_labels": num_changed})


def _label(called: str, dataset: RawDataset, corrections: Corrections) -> int:
    label = classes.find(called, dataset.class_names)
    if label is None:
        raise SourceError(
            f"{corrections.location} says {called!r}, which is no class; expected {classes.named(dataset.class_names)}."
        )
    return label


def _digests(images_file: Path) -> list[str]:
    images = np.load(images_file, mmap_mode="r", allow_pickle=False)
    return [pixel_sha256(image) for image in images]
