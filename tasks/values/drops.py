"""Labelled drops: what ingest read, and what became of each. What validate thinks of one is in `validation`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.store import Reference
from tasks.values.validation import DropCheck

DropState = Literal["accepted", "withheld", "quarantined", "refused", "repeated", "waiting"]

MAX_NAMED = 20
"""How many files a value names; counts are of all."""


class Unreadable(BaseModel):
    """A file, or a row of a table, that gave no image.

    Attributes:
        name: Its path within the drop; for a row, that which the table gives.
        reason: Why, in a few words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    reason: str


class Drop(BaseModel):
    """One drop, read; or the folder of the extra test images, which is read likewise.

    The artifact holds `images.npy` (shape (num_images, 32, 32, 3), dtype=uint8, range [0, 255]), `labels.npy` (shape
    (num_images,), dtype=uint8, [0, 9]) and `names.json`, the list of where each image came from.

    Attributes:
        name: Of its folder.
        digest: SHA-256 over its files, by which it is known: not over its name.
        num_images: Images that could be read.
        num_unreadable: Files and rows that could not.
        unreadable: The first of them, at most `MAX_NAMED`.
        ignored: Files that hold no images and no table, likewise.
        problem: Why the drop cannot be read as a whole, in one sentence; it has no images then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    digest: str = Field(pattern="^[0-9a-f]{64}$")
    artifact: Reference
    num_images: int = Field(ge=0)
    num_unreadable: int = Field(0, ge=0)
    unreadable: tuple[Unreadable, ...] = ()
    ignored: tuple[str, ...] = ()
    problem: str | None = None


class DropOutcome(BaseModel):
    """What became of one drop in one run.

    Attributes:
        state: accepted: its images are in the dataset. withheld: it was taken before, a check fails now, and this run
            goes without it. quarantined: bad, and moved aside. refused: bad, and left in place, because the run was
            to stop. repeated: the same content as another drop, and moved aside. waiting: for a later run.
        reason: Why, in one sentence; empty where it was accepted and nothing is to say.
        folder: Where it lies after the run.
        num_images: By the name of the class; empty where it was not read.
        checks: Those that failed.
        artifact: The `Drop`'s; None where it was not read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    state: DropState
    reason: str
    folder: str
    digest: str | None = None
    num_images: dict[str, int] = {}
    checks: tuple[DropCheck, ...] = ()
    artifact: Reference | None = None

    @property
    def total(self) -> int:
        """Images of all classes."""
        return sum(self.num_images.values())


class DropOutcomes(BaseModel):
    """What became of every drop in one run.

    Attributes:
        folder: The drops folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    drops: tuple[DropOutcome, ...]

    def having(self, *states: DropState) -> tuple[DropOutcome, ...]:
        """Those in one of the states, in their order."""
        return tuple(drop for drop in self.drops if drop.state in states)

    @property
    def sentence(self) -> str:
        """How many of each, such as "2 accepted (1,200 images), 1 quarantined"."""
        counts: dict[str, int] = {}
        for drop in self.drops:
            counts[drop.state] = counts.get(drop.state, 0) + 1
        images = sum(drop.total for drop in self.having("accepted"))
        parts = [
            f"{count:,} {state}" + (f" ({images:,} images)" if state == "accepted" else "")
            for state, count in counts.items()
        ]
        return ", ".join(parts) or "none"
