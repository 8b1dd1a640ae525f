"""Images that broke a data check, for the report."""

from collections.abc import Sequence

from tasks.report.gallery import array, data_uri
from tasks.values.dataset import RawDataset
from tasks.values.drops import DropOutcome
from tasks.values.validation import Check, DropCheck

Examples = dict[str, tuple[str, ...]]
"""By the name of a check its images, each a PNG in a data URI."""


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
    train, test = (array(dataset.artifact, f"{split}_images.npy") for split in ("train", "test"))

    def picture(row: int) -> str:
        return data_uri(train[row] if row < len(train) else test[row - len(train)])

    return {check.name: tuple(map(picture, check.examples[:num_pictures])) for check in checks}


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
    images = array(drop.artifact, "images.npy")

    def pictures(check: DropCheck) -> tuple[str, ...]:
        return tuple(data_uri(images[place]) for place in check.examples[:num_pictures])

    return {check.name: pictures(check) for check in drop.checks}
