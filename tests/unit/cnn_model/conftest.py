import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cnn_model.data import Split, Splits
from cnn_model.recipe import Architecture, Recipe

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def tinted(num_images: int, seed: int = 0) -> Split:
    """Noise with a tint for each class: learnable in a few steps."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(num_images) % 10).astype(np.uint8)
    tints = np.random.default_rng(99).integers(40, 216, size=(10, 1, 1, 3))
    noise = generator.normal(0, 25, size=(num_images, 32, 32, 3))
    return Split(np.clip(tints[labels] + noise, 0, 255).astype(np.uint8), labels)


@pytest.fixture(scope="session")
def splits() -> Splits:
    return Splits(train=tinted(200, seed=1), validation=tinted(40, seed=2), calibration=tinted(40, seed=3))


@pytest.fixture(scope="session")
def splits_folder(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_splits(splits, tmp_path_factory.mktemp("splits"))


def write_splits(splits: Splits, folder: Path) -> Path:
    for name in ("train", "validation", "calibration"):
        split: Split = getattr(splits, name)
        np.save(folder / f"{name}_images.npy", split.images)
        np.save(folder / f"{name}_labels.npy", split.labels)
    return folder


MakeRecipe = Callable[..., Recipe]


@pytest.fixture(scope="session")
def make_recipe() -> MakeRecipe:
    """A tiny recipe that uses everything, with other values where asked for."""

    def make(**changes: object) -> Recipe:
        values: dict[str, object] = {
            "name": "tiny",
            "architecture": Architecture(name="whitened", widths=(8,), convolutions=1, whitening_stride=2),
            "optimizer": "nesterov",
            "learning_rate": 0.2,
            "schedule": "triangular",
            "weight_decay": 1e-3,
            "label_smoothing": 0.1,
            "batch_size": 20,
            "epochs": 2,
            "flip": "random",
            "shift_pixels": 2,
            "views": "mirrored",
        }
        return Recipe.model_validate({**values, **changes})

    return make
