"""Images that broke a data check, for the report."""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.report.gallery import array, data_uri
from tasks.values.dataset import RawDataset
from tasks.values.drops import DropOutcome
from tasks.values.validation import Check


@dataclass(frozen=True)
class Example:
    """One image.

    Attributes:
        source: The image as a PNG in a data URI, at its own size.
        name: Where it is found.
        label: The class that it is labelled with.
    """

    source: str
    name: str
    label: str


Examples = dict[str, tuple[Example, ...]]
"""By the name of the check that they broke."""


def dataset_examples(dataset: RawDataset, checks: Sequence[Check], num_pictures: int) -> Examples:
    """Of the base.

    Args:
        dataset: The dataset; the checks' rows count its training images and, after them, its test images.
        checks: Those that failed.
        num_pictures: How many of each at most.

    Raises:
        StoreError: if the artifact is missing or damaged.
    """
    if not any(check.examples for check in checks):
        return {}
    arrays = {
        split: [array(dataset.artifact, f"{split}_{kind}.npy") for kind in ("images", "labels")]
        for split in ("train", "test")
    }

    def example(row: int) -> Example:
        is_train = row < dataset.num_train_images
        split, place = ("train", row) if is_train else ("test", row - dataset.num_train_images)
        images, labels = arrays[split]
        # A label may be what is wrong.
        label = dict(enumerate(dataset.class_names)).get(int(labels[place]), str(labels[place]))
        return Example(data_uri(images[place]), f"{split} image {place}", label)

    return {check.name: tuple(map(example, check.examples[:num_pictures])) for check in checks if check.examples}


def drop_examples(drop: DropOutcome, num_pictures: int) -> Examples:
    """Of one drop.

    Args:
        drop: The drop, with the checks that it failed.
        num_pictures: How many of each at most.

    Raises:
        StoreError: if the artifact is missing or damaged.
    """
    if drop.artifact is None or not any(check.examples for check in drop.checks):
        return {}
    class_names = tuple(drop.num_images)
    images, labels = (array(drop.artifact, f"{kind}.npy") for kind in ("images", "labels"))

    def example(place: int, name: str) -> Example:
        return Example(data_uri(images[place]), name, class_names[labels[place]])

    return {
        check.name: tuple(map(example, check.examples[:num_pictures], check.files))
        for check in drop.checks
        if check.examples
    }
