"""Which labels are probably wrong; found by evaluate."""

import csv
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from tasks import store
from tasks.store import Reference

FILE = "label_issues.csv"


class Suspect(NamedTuple):
    """One line of `label_issues.csv`; all fields are text.

    Attributes:
        split: "validation", "calibration" or "test".
        position: Its place in that split.
        image_sha256: SHA-256 of the image's pixels, row by row, red, green and blue of each.
        label: Name of the class that it is labelled with.
        label_probability: What the model gives that class, 0 to 1.
        suggested: Name of the class that the model finds likeliest.
        suggested_probability: What it gives that one.
        correct_label: Empty; for a reviewer to fill in.
    """

    split: str
    position: str
    image_sha256: str
    label: str
    label_probability: str
    suggested: str
    suggested_probability: str
    correct_label: str


COLUMNS = Suspect._fields


class LabelIssues(BaseModel):
    """The labels that one model's probabilities speak against.

    The artifact holds `label_issues.csv`: a header, then one line a suspect, the most suspicious first.

    Attributes:
        num_images: Images that were looked at: test, and validation and calibration where they were not trained on.
        num_suspects: Labels among them that are probably wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact: Reference
    num_images: int = Field(ge=0)
    num_suspects: int = Field(ge=0)

    def read(self) -> tuple[Suspect, ...]:
        """All lines but the header.

        Raises:
            StoreError: if the artifact is missing or damaged.
        """
        return tuple(map(Suspect._make, list(csv.reader(self.text().splitlines()))[1:]))

    def text(self) -> str:
        """The file as it is.

        Raises:
            StoreError: if the artifact is missing or damaged.
        """
        return (store.current().fetch(self.artifact) / FILE).read_text(encoding="utf-8")
