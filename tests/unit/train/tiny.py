"""A training of seconds, and a hand on its process."""

from collections.abc import Callable

import numpy as np
import psutil

from cnn_model.recipe import Architecture, Recipe
from tasks.progress import Progress
from tasks.store import Store
from tasks.values.splits import Splits
from tests.processes import find_descendant


def make_recipe(epochs: int) -> Recipe:
    """One convolution of four channels; 50 steps an epoch of the splits below."""
    return Recipe(
        name="tiny",
        architecture=Architecture(name="tutorial", widths=(4,), dense_units=8),
        optimizer="adam",
        learning_rate=1e-3,
        schedule="constant",
        batch_size=8,
        epochs=epochs,
    )


def publish_splits(opened: Store) -> Splits:
    """Noise, 400 images of it to train on."""
    sizes = {"train": 400, "validation": 40, "calibration": 40, "test": 40}
    generator = np.random.default_rng(0)
    with opened.staging() as folder:
        for name, size in sizes.items():
            np.save(folder / f"{name}_images.npy", generator.integers(0, 256, (size, 32, 32, 3), dtype=np.uint8))
            np.save(folder / f"{name}_labels.npy", (np.arange(size) % 10).astype(np.uint8))
        return Splits(
            artifact=opened.publish(folder),
            dataset_name="synthetic",
            class_names=tuple("abcdefghij"),
            num_images=sizes,
            test_digest="0" * 64,
            channel_mean=(0.5, 0.5, 0.5),
            channel_std=(0.3, 0.3, 0.3),
        )


def trainer() -> psutil.Process:
    """The child process that trains."""
    found = find_descendant("cnn_model", "train")
    assert found is not None
    return found


def once(epochs: int, action: Callable[[], object]) -> Callable[[Progress], None]:
    """Do something in the middle of a training: as soon as so many epochs are done, and not again."""
    done: list[object] = []

    def listener(now: Progress) -> None:
        if now.done >= epochs and not done:
            done.append(True)
            action()

    return listener
