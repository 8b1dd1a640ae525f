"""Where the store keeps the bundle of a model version, and whether it is there and whole."""

import logging
from pathlib import Path

from cnn_model import bundle
from cnn_model.failures import ModelFailure
from cnn_model.manifest import MODEL
from tasks import store
from tasks.shared_folder import SharedFolder
from tasks.values.bundle import WrittenBundle
from tasks.values.registration import Registration

logger = logging.getLogger(__name__)


def folder_of(registration: Registration) -> Path:
    """Where the version's bundle stands or is to stand."""
    return shared_with(registration).path / _name(registration)


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
    folder, archive, shared = folder_of(registration), archive_of(registration), shared_with(registration)
    if not folder.exists() and not shared.names(archive.name):
        return None
    shared.bring(_name(registration))
    try:
        manifest, digest = bundle.check(folder)
        bundle.check(archive, digest)
    except ModelFailure as error:
        logger.warning("%s. It is made anew.", error)
        return None
    if manifest.files[MODEL].sha256 != model_sha256:
        logger.warning("%s is the bundle of another model. It is made anew.", folder)
        return None
    return written(registration, digest)


def send(registration: Registration) -> None:
    """Have the bundle where whoever has the store finds it; the archive last."""
    shared = shared_with(registration)
    shared.send(f"{_name(registration)}/")
    shared.send(archive_of(registration).name)


def written(registration: Registration, digest: str) -> WrittenBundle:
    """The bundle as people are told of it."""
    shared = shared_with(registration)
    archive = archive_of(registration).name
    return WrittenBundle(folder=shared.place(_name(registration)), archive=shared.place(archive), digest=digest)


def shared_with(registration: Registration) -> SharedFolder:
    """The bundles of the same model."""
    return store.current().shared("bundles", registration.model_name)


def _name(registration: Registration) -> str:
    return f"version-{registration.version:06d}"
