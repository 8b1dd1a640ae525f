"""What one scoring is: which images, by which model, into which folder; and the key that all its parts share."""

import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from cnn_model import image_files
from cnn_model.failures import BadDataError
from tasks import policies, store
from tasks.errors import ConfigurationError, SourceError
from tasks.score.config import ScoreConfig
from tasks.shared_folder import SharedFolder
from tasks.values.scoring import ScoredImages, ScoredModel

PREDICTIONS = "predictions"
"""The folder of the prediction log: one folder a scoring, by model."""

LIBRARIES = ("tensorflow", "keras", "numpy", "pillow", "pyarrow")
"""Whose versions may change what a part holds."""


class Plan(BaseModel):
    """A scoring before it runs.

    Attributes:
        key: SHA-256 of all that decides what stands in the parts, but for rounding: batch size and device may differ.
        folder: For the parts on this machine, absolute.
        output: Where people find them: the folder, or the URL of what the store has of it.
        num_images: None where only reading them would say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    folder: Path
    output: str
    images: ScoredImages
    num_images: int | None
    model: ScoredModel
    class_names: tuple[str, ...]

    def __str__(self) -> str:
        """For people who find a folder taken."""
        return f"{self.images.place} by {self.model.name} version {self.model.version}"


def locate(images: str) -> Path:
    """The absolute path that a person means.

    Raises:
        ConfigurationError: if nothing lies there.
    """
    try:
        place = Path(images).expanduser().absolute()
        if images.strip() and place.exists():
            return place
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigurationError(f"{images!r} is no path: {error}. Expected {image_files.EXPECTED}.") from error
    raise ConfigurationError(f"{images!r} is not there; expected {image_files.EXPECTED}. Check the name.")


def make(
    images: str, folder: str | None, model: ScoredModel, class_names: tuple[str, ...], config: ScoreConfig
) -> Plan:
    """Plan a scoring.

    Args:
        images: Path of a folder, an archive or Parquet files.
        folder: Where the parts go; None for that of the prediction log.
        model: With what.
        class_names: Names of its classes, in the order of the labels.
        config: How.

    Raises:
        ConfigurationError: if nothing lies at the path, or the parts would lie among the images.
        SourceError: if what lies there holds no image, or cannot be read.
    """
    place = locate(images)
    output = None if folder is None else Path(os.path.abspath(Path(folder).expanduser()))
    _require_apart(place, output or store.current().root / PREDICTIONS)
    found = look_at(place)
    num_images, scored = found
    parts = {
        "images": scored.digest,
        "model": [model.name, model.version, model.model_sha256],
        "class_names": class_names,
        "images_per_part": config.images_per_part,
        "source": policies.source_digest(("cnn_model.scoring", *policies.BACKENDS)),
        "versions": {name: version(name) for name in LIBRARIES},
    }
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    logged = output in (None, store.current().root.joinpath(*_names(model, key)))
    target = log_folder(model, key) if output is None or logged else SharedFolder(output)
    return Plan(
        key=key,
        folder=target.path,
        output=target.place(),
        images=scored,
        num_images=num_images,
        model=model,
        class_names=class_names,
    )


def parts_folder(plan: Plan) -> SharedFolder:
    """The folder of the parts; one that a person named is on this machine alone."""
    in_log = plan.output == store.current().place(*_names(plan.model, plan.key))
    return log_folder(plan.model, plan.key) if in_log else SharedFolder(plan.folder)


def _require_apart(place: Path, output: Path) -> None:
    """See that the parts do not change what is scored. Hidden folders among the images are not looked at."""
    images, target = place.resolve(), output.resolve()
    if not images.is_dir() or not target.is_relative_to(images):
        return
    if not any(name.startswith(".") for name in target.relative_to(images).parts):
        raise ConfigurationError(
            f"The parts would go to {output}, among the images in {place}; expected a folder elsewhere. Name one with "
            "--output."
        )


def look_at(place: Path) -> tuple[int | None, ScoredImages]:
    """How many images lie at a place, and what they are known by.

    Raises:
        SourceError: if there is none, or they cannot be read.
    """
    try:
        listing = image_files.describe(place)
    except BadDataError as error:
        raise SourceError(f"{error}.") from error
    return listing.num_images, ScoredImages(place=str(place), kind=listing.kind, digest=listing.digest)


def log_folder(model: ScoredModel, key: str, output: str | None = None) -> SharedFolder:
    """The place of one scoring in the prediction log.

    One whose parts lie elsewhere has a place of its own beside that of the same scoring with its parts in the log.

    Args:
        model: Of the scoring.
        key: Of the scoring.
        output: Of its plan; None for that of the log.
    """
    own = _names(model, key)
    if output in (None, store.current().place(*own)):
        return store.current().shared(*own)
    elsewhere = hashlib.sha256(str(output).encode()).hexdigest()[:8]
    return store.current().shared(*own[:-1], f"{own[-1]}-{elsewhere}")


def _names(model: ScoredModel, key: str) -> tuple[str, str, str]:
    return PREDICTIONS, model.name, key[:16]
