"""The bundle of a registered model in the store: whole, or not at all."""

import dataclasses
import json
import logging
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnn_model import bundle, golden
from cnn_model.manifest import MODEL, Manifest
from tasks import machine, store
from tasks.bundle.place import archive_of, find_intact, folder_of
from tasks.bundle.writing import DIGEST_TAG, HandedOver, write
from tasks.errors import RegistryError
from tasks.export import golden_images
from tasks.machine import Machine
from tasks.registry import Registry
from tasks.store import Store
from tests.bundles import IMAGES
from tests.unit.bundle.handed_over import SENTENCE, make


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, HandedOver]:
    """A store with a registered model, made once: its database takes seconds."""
    root = tmp_path_factory.mktemp("filled") / "store"
    with machine.use(Machine(store=root)):
        return root, make(store.current())


@pytest.fixture
def handed(filled: tuple[Path, HandedOver], opened_store: Store) -> HandedOver:
    shutil.copytree(filled[0], opened_store.root)
    return filled[1]


def found(handed: HandedOver):
    return find_intact(handed.registration, handed.model.result.model_sha256)


def card(handed: HandedOver) -> str:
    return (folder_of(handed.registration) / "MODEL_CARD.md").read_text()


def test_the_bundle_has_what_the_store_has(handed: HandedOver, opened_store: Store) -> None:
    assert found(handed) is None
    written = write(handed)
    folder = opened_store.root / "bundles" / "practice-cnn" / "version-000001"
    assert (written.folder, written.archive) == (str(folder), f"{folder}.tar.gz")
    manifest, digest = bundle.check(folder)
    assert bundle.check(Path(written.archive)) == (manifest, digest)
    assert written.digest == digest
    assert found(handed) == written
    np.testing.assert_array_equal(
        np.load(folder / "golden" / "images.npy"),
        np.resize(IMAGES, (40, 32, 32, 3))[golden.choose((np.arange(40) % 10).astype(np.uint8))],
    )
    assert manifest.files[MODEL].sha256 == handed.model.result.model_sha256
    assert (manifest.practice, manifest.ids["code_version"], manifest.ids["flow_run_id"]) == (True, "abc", "the-run")
    assert manifest.ids["dataset_digest"] == handed.dataset.digest
    version = Registry().find_version("practice-cnn", handed.model.result.model_sha256)
    assert version is not None
    assert version.tags[DIGEST_TAG] == digest
    assert not list((opened_store.root / "staging").iterdir())


def test_the_same_bundle_is_the_same_bytes(handed: HandedOver) -> None:
    first = write(handed)
    content = Path(first.archive).read_bytes()
    assert write(handed) == first
    assert Path(first.archive).read_bytes() == content


def test_a_bundle_that_is_made_later_tells_of_the_verdict_that_was_reached_before(handed: HandedOver) -> None:
    first = write(handed)
    later = handed.registration.model_copy(update={"verdict": "unchanged", "sentence": "Unchanged."})
    assert write(dataclasses.replace(handed, registration=later)) == first
    assert f"**Promoted** when it was registered.\n\n> {SENTENCE}" in card(handed)


def test_a_refused_model_says_why(handed: HandedOver) -> None:
    refused = handed.registration.model_copy(update={"verdict": "refused", "sentence": "Not promoted: -0.2 points."})
    write(dataclasses.replace(handed, registration=refused))
    assert "**Not promoted** when it was registered.\n\n> Not promoted: -0.2 points." in card(handed)


def test_the_card_has_figures_with_intervals_and_by_class(handed: HandedOver) -> None:
    write(handed)
    text = card(handed)
    assert "PRACTICE IMAGES. DO NOT SERVE THIS MODEL" in text
    assert "| accuracy | 60.00 % | 44.60 to 73.65 % |" in text
    assert "30 test images without near-duplicate in train | 50.00 % |" in text
    assert "| airplane | 4 | 100.00 % | 51.01 to 100.00 % | 20.00 % | 33.33 % |" in text
    assert "| truck | 4 | 0.00 % | 0.00 to 48.99 % |" in text
    assert f"digest `{handed.dataset.digest}`" in text
    assert "Recipe `fast`, seed 1, 1 epoch, 10 parameters, start cold" in text


def test_the_card_of_real_images_has_no_warning(opened_store: Store) -> None:
    real = make(opened_store, "cifar10")
    write(real)
    assert "PRACTICE" not in card(real)
    assert "published test images" in card(real)
    assert not Manifest.model_validate_json((folder_of(real.registration) / "manifest.json").read_bytes()).practice


@pytest.mark.parametrize("damage", ["byte", "file", "folder", "archive", "other archive"])
def test_a_damaged_bundle_is_found_and_made_anew(
    handed: HandedOver, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    written = write(handed)
    folder, archive = Path(written.folder), Path(written.archive)
    if damage == "byte":
        (folder / "model.onnx").write_bytes(b"grapH")
    elif damage == "file":
        (folder / "MODEL_CARD.md").unlink()
    elif damage == "folder":
        folder.rename(folder.with_name("elsewhere"))
    elif damage == "archive":
        archive.write_bytes(archive.read_bytes()[:-1])
    else:
        write(dataclasses.replace(handed, splits=handed.splits.model_copy(update={"test_digest": "1" * 64})))
        other = archive.read_bytes()
        write(handed)
        archive.write_bytes(other)
    with caplog.at_level(logging.WARNING):
        assert found(handed) is None
    assert "It is made anew" in caplog.text
    assert write(handed) == written
    assert found(handed) == written


def test_the_bundle_of_another_model_is_none(handed: HandedOver) -> None:
    write(handed)
    assert find_intact(handed.registration, "ab" * 32) is None


def test_a_version_that_the_registry_does_not_have_has_no_bundle(handed: HandedOver) -> None:
    other = handed.registration.model_copy(update={"version": 2})
    with pytest.raises(RegistryError, match="MLflow has no version 2 of practice-cnn with this model"):
        write(dataclasses.replace(handed, registration=other))
    assert not folder_of(other).exists()


KILLED = """
import json, os, signal, sys
from pathlib import Path
from tasks import machine
from tasks.bundle import writing
from tasks.machine import Machine
from tasks.values.bundle import Exported
from tasks.values.dataset import RawDataset
from tasks.values.evaluation import Evaluation
from tasks.values.model import TrainedModel
from tasks.values.registration import Registration
from tasks.values.splits import Splits

def end(*_):
    os.kill(os.getpid(), signal.SIGKILL)

module, name = {"pack": (writing.bundle, "pack"), "seal": (writing.bundle, "seal"), "replace": (writing.os, "replace")}[
    sys.argv[2]
]
types = (RawDataset, Splits, TrainedModel, Evaluation, Registration, Exported)
with machine.use(Machine(store=Path(sys.argv[1]))):
    values = json.loads(Path(sys.argv[3]).read_text())
    handed = writing.HandedOver(*(kind.model_validate(value) for kind, value in zip(types, values)))
    setattr(module, name, end)
    writing.write(handed)
"""


@pytest.mark.parametrize("at", ["seal", "pack", "replace"])
def test_a_run_that_is_killed_while_writing_leaves_no_half_bundle(handed: HandedOver, at: str, tmp_path: Path) -> None:
    values = [getattr(handed, field.name).model_dump(mode="json") for field in dataclasses.fields(handed)]
    (tmp_path / "values.json").write_text(json.dumps(values))
    root = store.current().root
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(root), at, str(tmp_path / "values.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    # The folder appears whole, and without its archive it does not count as the bundle.
    assert folder_of(handed.registration).exists() == (at == "replace")
    if at == "replace":
        bundle.check(folder_of(handed.registration))
    assert not archive_of(handed.registration).exists()
    assert found(handed) is None
    assert write(handed) == found(handed)


def test_golden_images_hang_on_the_test_images_alone(handed: HandedOver) -> None:
    other = handed.splits.model_copy(update={"num_images": {**handed.splits.num_images, "train": 1}})
    assert golden_images.publish(handed.splits) == golden_images.publish(other) == handed.exported.golden
