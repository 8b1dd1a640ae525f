"""Finds the drops of a folder and reads each into the store. What becomes of them is decided elsewhere.

A drop is known by the SHA-256 over its files, so the same content under another name is the same drop. One that was
taken has a receipt, which holds that digest and names what the store has of it: its files are not read again.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cnn_model.class_names import CLASS_NAMES
from tasks import store
from tasks.errors import SourceError
from tasks.ingest import drop_formats, synthetic
from tasks.ingest.config import IngestConfig
from tasks.ingest.drop_address import place_at
from tasks.ingest.drop_formats import Contents, DropError
from tasks.ingest.drop_place import MARKER, RECEIPT, DropPlace, DropUnreadableError, Listing, is_plain
from tasks.ingest.sources import Source
from tasks.values.drops import MAX_NAMED, Drop, DropOutcome

logger = logging.getLogger(__name__)


class Receipt(BaseModel):
    """The file that makes a drop a part of the dataset: that it exists is the fact. Written anew if read anew.

    Attributes:
        format: `drop_formats.FORMAT`, by which it was read.
        number: Drops are in the dataset in this order.
        class_names: By which its labels were read.
        listing: Of its files when it was taken; see `Listing.sha256`.
        digest: The drop's.
        drop: The fields of the `Drop`; only the store knows whether it still has the artifact.
        baselines: Digests of the datasets that it was compared with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    number: int = Field(ge=1)
    written_at: str
    run_id: str
    class_names: tuple[str, ...]
    listing: str
    digest: str = Field(pattern="^[0-9a-f]{64}$")
    drop: dict[str, Any]
    baselines: tuple[str, ...] = ()


class FoundDrop(BaseModel):
    """A complete drop. Equal content of one name has an equal serialised form, taken or not, wherever it lies.

    Attributes:
        name: Of its folder.
        digest: SHA-256 over its files.
        listing: See `Listing.sha256`; not serialised, as is what follows.
        number: That of its receipt; None for one that is new.
        known: What the store has of it; None for one that is to be read.
        baselines: Digests of the datasets that it was compared with when it was taken; None for one that is new.
        note: What a person should know of it, in one sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    digest: str
    listing: str = Field("", exclude=True)
    number: int | None = Field(None, exclude=True)
    known: Drop | None = Field(None, exclude=True)
    baselines: tuple[str, ...] | None = Field(None, exclude=True)
    note: str = Field("", exclude=True)


class Arrivals(BaseModel):
    """What a look at the folder gave. Serialised, it is the drops alone.

    Attributes:
        folder: Where they lie; None where no folder is configured.
        class_names: Names of the labels 0 to 9.
        drops: Complete ones, each content once: those that were taken in the order of their receipts, then new ones
            by name.
        others: What is not read: waiting for a later run, or the same content once more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str | None = Field(None, exclude=True)
    class_names: tuple[str, ...] = Field((), exclude=True)
    drops: tuple[FoundDrop, ...] = ()
    others: tuple[DropOutcome, ...] = Field((), exclude=True)


@contextmanager
def turn(config: IngestConfig) -> Iterator[None]:
    """One run at a time looks at a folder and moves what lies there; nothing where none is configured.

    Raises:
        ConfigurationError: if the folder is none.
        TransientError: if it cannot be reached.
    """
    if config.drops is None:
        yield
        return
    waiting = "Another run is at work on the drops folder: %s. Waiting for it."
    with place_at(config.drops).turn(lambda holder: logger.warning(waiting, holder)):
        yield


def find(source: Source, config: IngestConfig) -> Arrivals:
    """Look at the drops folder.

    Raises:
        ConfigurationError: if it is none.
        TransientError: if it cannot be reached.
        SourceError: if a drop that was taken is neither in the store any more nor to be read.
    """
    if config.drops is None:
        return Arrivals()
    folder = place_at(config.drops)
    names = synthetic.CLASS_NAMES if source.kind == "synthetic" else CLASS_NAMES
    found: list[FoundDrop] = []
    others: list[DropOutcome] = []
    for name in folder.entries():
        try:
            if not is_plain(name):
                raise DropUnreadableError("its name is no plain text; rename it")
            drop = _look(folder, name, names, config.drop_min_age_minutes)
            if isinstance(drop, FoundDrop):
                found.append(drop)
            else:
                others.append(drop)
        except DropUnreadableError as error:
            others.append(_waiting(folder, ascii(name) if not is_plain(name) else name, str(error)))
    first: dict[str, FoundDrop] = {}
    for drop in sorted(found, key=lambda drop: (drop.number is None, drop.number or 0, drop.name)):
        if drop.digest in first:
            others.append(_repeated(folder, drop, first[drop.digest]))
        else:
            first[drop.digest] = drop
    return Arrivals(folder=folder.address, class_names=names, drops=tuple(first.values()), others=tuple(others))


def read(arrivals: Arrivals, config: IngestConfig) -> tuple[Drop, ...]:
    """Each drop that was found, in the store.

    Raises:
        SourceError: if one has changed since it was found.
        TransientError: if the folder cannot be reached.
        StoreError: if the store cannot be written.
    """
    if not arrivals.drops or config.drops is None:
        return ()
    folder = place_at(config.drops)
    return tuple(drop.known or _read(folder, drop, arrivals.class_names) for drop in arrivals.drops)


def read_one(folder: DropPlace, found: FoundDrop, class_names: Sequence[str]) -> Drop:
    """A folder of labelled images, in the store; whatever is wrong with it is in the value.

    Raises:
        DropUnreadableError: if its files are not those that were found.
        StoreError: if the store cannot be written.
    """
    contents, problem = _contents(folder, found, class_names)
    images, labels = contents.arrays()
    opened = store.current()
    with opened.staging() as staging:
        np.save(staging / "images.npy", images, allow_pickle=False)
        np.save(staging / "labels.npy", labels, allow_pickle=False)
        (staging / "names.json").write_text(json.dumps(contents.names))
        artifact = opened.publish(staging)
    return Drop(
        name=found.name,
        digest=found.digest,
        artifact=artifact,
        num_images=len(labels),
        num_unreadable=len(contents.unreadable),
        unreadable=tuple(contents.unreadable[:MAX_NAMED]),
        ignored=tuple(contents.ignored[:MAX_NAMED]),
        problem=problem,
    )


def incomplete(listing: Listing, min_age_minutes: float | None) -> str | None:
    """Why a drop is not complete, in a sentence; None if it is."""
    if listing.marked:
        return None
    if min_age_minutes is None:
        return f"It has no {MARKER}, the empty file that says that it is complete."
    if listing.unfinished is not None:
        return f"It has no {MARKER}, and {listing.unfinished} is still being written."
    if listing.age_seconds < 60 * min_age_minutes:
        age = listing.age_seconds / 60
        return f"It has no {MARKER} and changed {age:.0f} minutes ago; {min_age_minutes:g} without a change will do."
    return None


def _look(
    folder: DropPlace, name: str, class_names: Sequence[str], min_age_minutes: float | None
) -> FoundDrop | DropOutcome:
    """One drop, taken, new or waiting.

    Raises:
        DropUnreadableError: if it is new and cannot be read.
        SourceError: if it was taken, and neither store nor folder has it.
    """
    receipt = receipt_of(folder, name)
    if receipt is not None:
        return _taken(folder, name, receipt, class_names)
    listing = folder.listing(name)
    missing = incomplete(listing, min_age_minutes)
    return by_content(folder, name, listing) if missing is None else _waiting(folder, name, missing)


def _taken(folder: DropPlace, name: str, receipt: Receipt, class_names: Sequence[str]) -> FoundDrop:
    known = _known(receipt, name)
    try:
        listing = folder.listing(name)
    except DropUnreadableError as error:
        # It must not leave the dataset unseen, for want of a right or of a disk.
        if known is None:
            raise SourceError(
                f"The drop {folder.place(name)} was taken, the store has lost it, and {error}. Mend it or move it away."
            ) from error
    else:
        if listing.sha256 == receipt.listing:
            as_now = (receipt.format, receipt.class_names) == (drop_formats.FORMAT, tuple(class_names))
            return FoundDrop(
                name=name,
                digest=receipt.digest,
                listing=listing.sha256,
                number=receipt.number,
                known=known if as_now else None,
                baselines=receipt.baselines,
            )
        if known is None:
            return by_content(folder, name, listing)
    note = "Its files were altered after it was taken. What was taken is used; put new files into a new drop."
    return FoundDrop(
        name=name,
        digest=receipt.digest,
        number=receipt.number,
        known=known,
        baselines=receipt.baselines,
        note=note,
    )


def by_content(folder: DropPlace, name: str, listing: Listing) -> FoundDrop:
    """A folder of labelled images as it is now, known by its files.

    Raises:
        DropUnreadableError: if one cannot be read.
    """
    digest = _combined(folder.digests(name, listing.sizes))
    return FoundDrop(name=name, digest=digest, listing=listing.sha256)


def receipt_of(folder: DropPlace, name: str) -> Receipt | None:
    """A drop's receipt; None where it has none, or one that nobody can read.

    Raises:
        DropUnreadableError: if it cannot be read now.
    """
    text = folder.receipt(name)
    if text is None:
        return None
    try:
        return Receipt.model_validate_json(text)
    except ValidationError:
        logger.warning("The %s of the drop %s cannot be read; the drop counts as new.", RECEIPT, name)
        return None


def _known(receipt: Receipt, name: str) -> Drop | None:
    """What the store has of a drop that was taken; None where that is missing or damaged."""
    try:
        return Drop.model_validate({**receipt.drop, "name": name})
    except ValidationError:
        return None


def _waiting(folder: DropPlace, name: str, reason: str) -> DropOutcome:
    return DropOutcome(name=name, state="waiting", reason=reason[0].upper() + reason[1:], folder=folder.place(name))


def _repeated(folder: DropPlace, drop: FoundDrop, first: FoundDrop) -> DropOutcome:
    return DropOutcome(
        name=drop.name,
        state="repeated",
        reason=f"The same content as the drop {first.name}; nothing is taken twice.",
        folder=folder.place(drop.name),
        digest=drop.digest,
    )


def _read(folder: DropPlace, found: FoundDrop, class_names: Sequence[str]) -> Drop:
    try:
        return read_one(folder, found, class_names)
    except DropUnreadableError as error:
        raise _changed(folder, found) from error


def _contents(folder: DropPlace, found: FoundDrop, class_names: Sequence[str]) -> tuple[Contents, str | None]:
    """What the files hold, and why they cannot be read as a whole; each file is read once.

    Raises:
        DropUnreadableError: if they are not those that were found.
    """
    sizes = folder.listing(found.name).sizes
    digests: dict[str, str] = {}

    def read_file(file: str) -> bytes:
        data = folder.read(found.name, file)
        digests[file] = hashlib.sha256(data).hexdigest()
        return data

    try:
        contents, problem = drop_formats.read(list(sizes), read_file, class_names), None
    except DropError as error:
        contents, problem = Contents(), str(error)
    if _combined(digests | folder.digests(found.name, sizes.keys() - digests.keys())) != found.digest:
        raise DropUnreadableError("its files are not those that were found")
    return contents, problem


def _changed(folder: DropPlace, found: FoundDrop) -> SourceError:
    if found.number is not None:
        return SourceError(
            f"The drop {folder.place(found.name)} is not what it was when it was taken, and the store has lost what "
            f"was. Restore its files, or remove its {RECEIPT}: then it counts as new."
        )
    return SourceError(
        f"The drop {folder.place(found.name)} has changed since the run began. Start again when nothing writes to it; "
        f"{MARKER} is to be written last."
    )


def _combined(digests: dict[str, str]) -> str:
    lines = "".join(f"{name}\0{sha256}\n" for name, sha256 in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
