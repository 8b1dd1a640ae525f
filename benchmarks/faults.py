"""Faults to plant in drops of real images, each with the checks that are for it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_model.class_names import CLASS_NAMES
from tasks.validate.faults import FAULTS, through_jpeg

ONE_CLASS = 3

Images = NDArray[np.uint8]
Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Material:
    """What drops and their faults are made of.

    Attributes:
        images: Shape (num_images, 32, 32, 3), dtype=uint8; among them those of the pool.
        labels: Theirs.
        pool: Indices of the images that are not in the base; good drops are drawn from them.
        base_images: Training images of the base.
        base_labels: Theirs.
        test_images: The published test images.
        test_labels: Theirs.
    """

    images: Images
    labels: Labels
    pool: NDArray[np.int64]
    base_images: Images
    base_labels: Labels
    test_images: Images
    test_labels: Labels

    def draw(self, num_images: int, rng: np.random.Generator) -> "Draft":
        """A good drop."""
        places = rng.choice(self.pool, num_images, replace=False)
        return Draft(self.images[places], self.labels[places])


@dataclass
class Draft:
    """A drop before it is made; faults change it.

    Attributes:
        num_unreadable: Files beside the images that cannot be read.
    """

    images: Images
    labels: Labels
    num_unreadable: int = 0


Plant = Callable[[Material, Draft, int, np.random.Generator], None]


def _whole_images(name: str) -> Plant:
    def plant(material: Material, draft: Draft, count: int, rng: np.random.Generator) -> None:
        draft.images[:count] = FAULTS[name](draft.images[:count])

    return plant


def _wrong_scale(material: Material, draft: Draft, count: int, rng: np.random.Generator) -> None:
    draft.images[:count] = np.rint(draft.images[:count] / 255)


def _blank(material: Material, draft: Draft, count: int, rng: np.random.Generator) -> None:
    draft.images[:count] = rng.integers(0, 256, (count, 1, 1, 3))


def _cut_off(material: Material, draft: Draft, count: int, rng: np.random.Generator) -> None:
    draft.images, draft.labels, draft.num_unreadable = draft.images[count:], draft.labels[count:], count


def _shifted(material: Material, draft: Draft, count: int, rng: np.random.Generator) -> None:
    draft.labels[:count] = (draft.labels[:count] + 1) % 10


def _shuffled(material: Material, draft: Draft, count: int, rng: np.random.Generator) -> None:
    draft.labels[:count] = rng.permutation(draft.labels[:count])


def _flooded(material: Material, draft: Draft, count: int, rng: np.random.Generator) -> None:
    places = rng.choice(material.pool[material.labels[material.pool] == ONE_CLASS], count, replace=False)
    draft.images[:count], draft.labels[:count] = material.images[places], material.labels[places]


def _missing(material: Material, draft: Draft, count: int, rng: np.random.Generator) -> None:
    own = np.flatnonzero(draft.labels == ONE_CLASS)[:count]
    draft.images, draft.labels = np.delete(draft.images, own, axis=0), np.delete(draft.labels, own)


def _repeated(material: Material, draft: Draft, count: int, rng: np.random.Generator) -> None:
    draft.images[:count], draft.labels[:count] = draft.images[-count:], draft.labels[-count:]


def _test_images(material: Material, draft: Draft, count: int, rng: np.random.Generator) -> None:
    places = rng.choice(len(material.test_labels), count, replace=False)
    draft.images[:count], draft.labels[:count] = material.test_images[places], material.test_labels[places]


def _changed_test_images(material: Material, draft: Draft, count: int, rng: np.random.Generator) -> None:
    _test_images(material, draft, count, rng)
    draft.images[:count] = through_jpeg(draft.images[:count, :, ::-1], 75)


def _sent_before(material: Material, draft: Draft, count: int, rng: np.random.Generator) -> None:
    places = rng.choice(len(material.base_labels), count, replace=False)
    draft.images[:count], draft.labels[:count] = material.base_images[places], material.base_labels[places]


PLANTS: tuple[tuple[str, Plant, tuple[str, ...]], ...] = (
    ("0 to 1 stored as bytes", _wrong_scale, ("wrong scale",)),
    ("blank or constant", _blank, ("blank images",)),
    ("files cut off", _cut_off, ("readable files",)),
    ("channels swapped", _whole_images("swapped channels"), ("swapped channels",)),
    ("inverted", _whole_images("inverted images"), ("inverted images",)),
    ("JPEG of quality 10", _whole_images("crushed images"), ("crushed images",)),
    ("labels shifted by one", _shifted, ("labels shifted by one", "labels that do not fit")),
    ("labels shuffled", _shuffled, ("labels that do not fit",)),
    ("one class flooded", _flooded, (f"share of {CLASS_NAMES[ONE_CLASS]}",)),
    ("one class missing", _missing, (f"share of {CLASS_NAMES[ONE_CLASS]}",)),
    ("repeated within the drop", _repeated, ("duplicates within the drop",)),
    ("sent before", _sent_before, ("images that are there already",)),
    ("published test images", _test_images, ("test images",)),
    ("the same, mirrored, JPEG of quality 75", _changed_test_images, ("near-duplicates of test images",)),
)
"""A fault, how it is planted, and the checks that are for it."""
