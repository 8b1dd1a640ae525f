"""Where the store keeps the bundle of a model version, and whether it is there and whole."""

import logging
from pathlib import Path

from cnn_model import bundle
from cnn_model.failures import ModelFailure
from cnn_model.manifest import MODEL
from tasks import store
from tasks.values.bundle import WrittenBundle
from tasks.values.registration import Registration

logger = logging.getLogger(__name__)


def folder_of(registration: Registration) -> Path:
    """Where the version's bundle stands or is to stand."""
    return store.current().folder("bundles", registration.model_name) / f"version-{registration.version:06d}"


def archive_of(registration: Registration) -> Path:
    """Where the archive of it does."""
    folder = folder_of(registration)
    return folder.with_name(folder.name + bundle.ARCHIVE_SUFFIX)


def find_intact(registration: Registration, model_sha256: str) -> WrittenBundle | None:
    """The version's bundle; None where folder or archive is missing, damaged or of another model.

    Args:
        registration: The version.
        model_sha256: Of its `model.keras`.
    """
    folder, archive = folder_of(registration), archive_of(registration)
    if not folder.exists() and not archive.exists():
        return None
    try:
        manifest, digest = bundle.check(folder)
        bundle.check(archive, digest)
    except ModelFailure as error:
        logger.warning("%s. It is made anew.", error)
        return None
    if manifest.files[MODEL].sha256 != model_sha256:
        logger.warning("%s is the bundle of another model. It is made anew.", folder)
        return None
    return WrittenBundle(folder=str(folder), archive=str(archive), digest=digest)
