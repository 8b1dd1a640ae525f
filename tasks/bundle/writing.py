"""Writes the bundle of a registered model: the folder, then the archive, each whole or not at all."""

import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from cnn_model import bundle
from cnn_model.golden import TOLERANCE
from cnn_model.manifest import (
    GOLDEN_IMAGES,
    GOLDEN_PROBABILITIES,
    MODEL,
    MODEL_CARD,
    ONNX,
    SAVED_MODEL,
    Description,
)
from tasks import store
from tasks.bundle import model_card
from tasks.bundle.place import archive_of, folder_of, send, written
from tasks.errors import RegistryError
from tasks.files import flush
from tasks.registry import Registry, Version
from tasks.values.bundle import Exported, WrittenBundle
from tasks.values.dataset import RawDataset
from tasks.values.evaluation import Evaluation
from tasks.values.model import TrainedModel
from tasks.values.registration import Registration
from tasks.values.splits import Splits

DIGEST_TAG = "bundle_digest"


@dataclass(frozen=True)
class HandedOver:
    """A registered model and everything that its bundle tells of it."""

    dataset: RawDataset
    splits: Splits
    model: TrainedModel
    evaluation: Evaluation
    registration: Registration
    exported: Exported


def write(handed: HandedOver) -> WrittenBundle:
    """Write the bundle in place of one that may be there, and tell the registry its digest.

    Raises:
        RegistryError: if the registry does not have the version.
        RegistryUnreachableError: if the registry's server does not answer.
        StoreError: if an artifact is missing or damaged, or the store cannot be written.
    """
    registration, registry, opened = handed.registration, Registry(), store.current()
    found = registry.find_version(registration.model_name, handed.model.result.model_sha256)
    if found is None or found.number != registration.version:
        raise RegistryError(
            f"MLflow has no version {registration.version} of {registration.model_name} with this model. Bring the "
            "registry back from a backup."
        )
    folder, archive = folder_of(registration), archive_of(registration)
    name = f"bundle-{registration.model_name}-{registration.version}.lock"
    with FileLock(opened.folder("locks") / name), opened.staging() as staging:
        draft = staging / "bundle"
        _gather(draft, handed)
        card = model_card.render(handed.dataset, handed.splits, handed.model, handed.evaluation, registration, found)
        (draft / MODEL_CARD).write_text(card, encoding="utf-8")
        digest = bundle.seal(draft, _description(handed, found))
        packed = staging / archive.name
        bundle.pack(draft, packed)
        for path in (*draft.rglob("*"), draft, packed):
            flush(path)
        if folder.exists():
            os.rename(folder, staging / f"replaced-{uuid.uuid4().hex}")
        os.rename(draft, folder)
        os.replace(packed, archive)
        flush(folder.parent)
        send(registration)
    registry.tag_version(registration.model_name, registration.version, {DIGEST_TAG: digest})
    return written(registration, digest)


def _gather(draft: Path, handed: HandedOver) -> None:
    """Copy what the store has into a new folder; empty folders of the SavedModel stay behind."""
    fetch = store.current().fetch
    model, exported = fetch(handed.model.artifact), fetch(handed.exported.artifact)
    files = {
        MODEL: model / "model.keras",
        GOLDEN_IMAGES: fetch(handed.exported.golden) / "images.npy",
        GOLDEN_PROBABILITIES: exported / "probabilities.npy",
        ONNX: exported / ONNX,
    }
    for path in (exported / SAVED_MODEL).rglob("*"):
        if path.is_file():
            files[path.relative_to(exported).as_posix()] = path
    for name, source in files.items():
        (draft / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, draft / name)


def _description(handed: HandedOver, found: Version) -> Description:
    registration, training = handed.registration, handed.model.result
    return Description(
        model_name=registration.model_name,
        model_version=registration.version,
        practice=handed.dataset.name == "synthetic",
        class_names=handed.splits.class_names,
        ids={
            "dataset": handed.dataset.name,
            "dataset_digest": handed.dataset.digest,
            "splits_digest": handed.splits.artifact.digest,
            "test_digest": handed.splits.test_digest,
            "recipe": training.recipe,
            "seed": str(training.seed),
            "start": found.tags["start"],
            "code_version": found.tags["code_version"],
            "flow_run_id": found.tags["flow_run_id"],
            "mlflow_run_id": found.run_id,
        },
        tolerance=TOLERANCE,
        exports=handed.exported.result,
        versions=training.versions,
    )
