"""Labelled images for testing only: one folder, read as a drop is, in which nothing is written or moved."""

import logging
from collections.abc import Sequence
from pathlib import Path

from tasks.errors import ConfigurationError, SourceError
from tasks.ingest import drops
from tasks.ingest.config import IngestConfig
from tasks.ingest.drop_address import place_at
from tasks.ingest.drop_folder import DropFolder, local_folder
from tasks.ingest.drop_place import DropUnreadableError
from tasks.ingest.drops import FoundDrop
from tasks.ingest.sources import Source
from tasks.values.drops import Drop

logger = logging.getLogger(__name__)

OPTION = "--ingest.extra-test"


def check(config: IngestConfig) -> None:
    """See that the section names a folder, if any, and one that no run moves away as a drop.

    Raises:
        ConfigurationError: if it does not.
    """
    if config.extra_test is not None:
        _folder(config.extra_test, config.drops)


def find(source: Source, config: IngestConfig) -> FoundDrop | None:
    """Look at the folder; None where there is none, or the run is on practice images by default.

    Raises:
        ConfigurationError: if it is no folder, or one of drops.
        SourceError: if it cannot be read, or holds a link.
    """
    if config.extra_test is None:
        return None
    path = _folder(config.extra_test, config.drops)
    if source.fallback_reason is not None:
        logger.warning(
            "The extra test images in %s are not scored: this run is on practice images only by default.", path
        )
        return None
    folder = DropFolder(str(path.parent))
    try:
        return drops.by_content(folder, path.name, folder.listing(path.name))
    except DropUnreadableError as error:
        raise SourceError(f"The extra test images in {path} cannot be used: {error}") from error


def read(found: FoundDrop | None, config: IngestConfig, class_names: Sequence[str]) -> Drop | None:
    """The images, in the store; what is wrong with them is for validate to say.

    Raises:
        SourceError: if the folder has changed since it was found.
        StoreError: if the store cannot be written.
    """
    if found is None or config.extra_test is None:
        return None
    path = _folder(config.extra_test, config.drops)
    try:
        return drops.read_one(DropFolder(str(path.parent)), found, class_names)
    except DropUnreadableError as error:
        raise SourceError(
            f"The extra test images in {path} have changed since the run began: {error}. "
            "Start again when nothing writes there."
        ) from error


def _folder(address: str, drops_address: str | None) -> Path:
    path = local_folder(address, OPTION).resolve()
    if drops_address is None:
        return path
    place_of_drops = place_at(drops_address)
    if not isinstance(place_of_drops, DropFolder):
        return path
    place = place_of_drops.root.resolve()
    inside = path.relative_to(place).parts if path.is_relative_to(place) else None
    # Names with an underscore are no drops; anything else there would be one, and bad, and moved aside.
    if place.is_relative_to(path) or (inside is not None and not inside[0].startswith((".", "_"))):
        raise ConfigurationError(
            f"{OPTION} is {address!r}, where drops lie ({drops_address!r}); expected a folder of its own. Move it "
            "away, or give it a name that begins with an underscore."
        )
    return path
