"""Suspected labels for the report: the images, what they are labelled and what the model sees."""

from dataclasses import dataclass

from tasks.report.gallery import array, data_uri
from tasks.values.label_issues import LabelIssues, Suspect
from tasks.values.splits import Splits


@dataclass(frozen=True)
class SuspectPicture:
    """One image with a suspected label; its source is a PNG in a data URI."""

    suspect: Suspect
    source: str


def suspect_pictures(splits: Splits, issues: LabelIssues, num_pictures: int) -> tuple[SuspectPicture, ...]:
    """The most suspicious ones, in their order.

    Args:
        splits: The images.
        issues: Theirs.
        num_pictures: How many at most.

    Raises:
        StoreError: if an artifact is missing or damaged.
    """

    def picture(suspect: Suspect) -> SuspectPicture:
        images = array(splits.artifact, f"{suspect.split}_images.npy")
        return SuspectPicture(suspect, data_uri(images[int(suspect.position)]))

    return tuple(map(picture, issues.read()[:num_pictures]))
