"""Bundles as tests need them: of any files, or of a tiny model that works."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnn_model import architectures, bundle, golden
from cnn_model.class_names import CLASS_NAMES
from cnn_model.inference import assemble, predict
from cnn_model.manifest import MODEL, REQUIRED, Description, ExportCheck, ExportResult
from cnn_model.recipe import Architecture, Recipe

IMAGES = np.random.default_rng(0).integers(0, 256, (golden.NUM_IMAGES, 32, 32, 3), dtype=np.uint8)
CHECKED = ExportResult(
    saved_model=ExportCheck(tolerance=1e-5, largest_difference=0),
    onnx=ExportCheck(tolerance=1e-5, largest_difference=1e-8),
    onnx_opset=15,
    versions={"onnx": "1.23.2"},
)


def describe(**changes: Any) -> Description:
    values: dict[str, Any] = {
        "model_name": "practice-cnn",
        "model_version": 3,
        "practice": True,
        "class_names": CLASS_NAMES,
        "ids": {"dataset_digest": "ab" * 32},
        "tolerance": golden.TOLERANCE,
        "exports": CHECKED,
        "versions": {"keras": keras.__version__},
    }
    return Description.model_validate({**values, **changes})


def make_files(folder: Path) -> Path:
    """Every file of a bundle but its manifest, with some content."""
    for name in (*REQUIRED, "saved_model/variables/variables.index"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(f"content of {name}".encode())
    return folder


def tiny_model(views: str = "mirrored-and-shifted") -> keras.Model:
    """All that a final model may hold: whitening, flips, padding, views, averages, temperature."""
    keras.utils.set_random_seed(0)
    architecture = Architecture(name="whitened", widths=(4, 8), whitening_stride=2)
    recipe = Recipe(
        name="tiny",
        architecture=architecture,
        optimizer="adam",
        learning_rate=1e-3,
        schedule="constant",
        batch_size=8,
        epochs=1,
        views=views,
    )
    return assemble(architectures.build(architecture, IMAGES), recipe, temperature=0.5)


def make_bundle(folder: Path, model: keras.Model, **changes: Any) -> Path:
    """The sealed bundle of a model; its exports are no models."""
    make_files(folder)
    model.save(folder / MODEL)
    np.save(folder / "golden" / "images.npy", IMAGES)
    np.save(folder / "golden" / "probabilities.npy", predict(model, IMAGES))
    bundle.seal(folder, describe(**changes))
    return folder
