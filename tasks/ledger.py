"""The truth about promotion: immutable numbered files, each naming its predecessor by digest.

    000017.json      the promotion; creating it *is* the promotion
    000017.sha256    its seal: the digest of that file, as `sha256sum` writes it

A file appears whole and only if its number is free, so of two promoters one wins and the other is refused, and a
process that is killed leaves either an entry or none. The last entry's model is the champion; MLflow's aliases mirror
it. An entry that is altered no longer fits its successor or its seal. Knows nothing of MLflow or Prefect, and starts
without either.
"""

import hashlib
import logging
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks import machine, store
from tasks.errors import PipelineError, RegistryError
from tasks.ledger_place import LedgerFolder, LedgerPlace, folders_below, place_below
from tasks.values.decision import Basis

logger = logging.getLogger(__name__)

KINDS = ("json", "sha256")
RESTORE = "Restore the file from a backup; until then nothing is promoted and no champion is loaded."

MODEL_NAMES = {"cifar10": "cifar10-cnn", "synthetic": "practice-cnn"}


def model_name(dataset_name: str) -> str:
    """The registered model's name: the real one only for the official images."""
    return MODEL_NAMES.get(dataset_name, f"{dataset_name}-cnn")


class LedgerEntry(BaseModel):
    """One promotion.

    Attributes:
        number: Counted from 1, without gaps.
        predecessor_sha256: SHA-256 of the file of the entry before; None for the first.
        replaces_version: The champion that this one replaces; None for the first.
        restores_entry: Of a rollback, the entry whose promotion holds again; never that of a rollback.
        version: The version that became champion.
        model_digest: Digest of the model's artifact in the store.
        model_sha256: SHA-256 of its `model.keras`.
        accuracy: On the test images of `test_digest`, 0 to 1.
        dataset_digest: Of what it was trained on; new drops are to be like it. None in entries of before it was kept.
        dataset: The fields of that `RawDataset`. Only the store knows whether it still has it, and the ledger is read
            without it.
        basis: What chose it. None in entries of before it was recorded, which asked for a higher accuracy.
        actor: Who or what promoted.
        reason: The verdict in one sentence, or a person's words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(1, ge=1)
    predecessor_sha256: str | None = None
    promoted_at: datetime
    run_id: str
    model_name: str
    replaces_version: int | None
    restores_entry: int | None = Field(None, ge=1)
    version: int = Field(ge=1)
    model_digest: str
    model_sha256: str
    accuracy: float = Field(ge=0, le=1)
    test_digest: str
    dataset_digest: str | None = None
    dataset: dict[str, Any] | None = None
    basis: Basis | None = None
    actor: str
    reason: str


class Fault(BaseModel):
    """Something that is not as it was written.

    Attributes:
        place: What is wrong: a file, an artifact, a version.
        problem: What came and what was expected, and what to do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    place: str
    problem: str


class Ledger:
    """The ledger of one registered model.

    Args:
        place: Where its files stand; a folder may be given by its path.
    """

    def __init__(self, place: LedgerPlace | Path) -> None:
        self._place: LedgerPlace = LedgerFolder(place) if isinstance(place, Path) else place

    @property
    def url(self) -> str:
        """Where its files stand, for a person."""
        return self._place.url

    def entries(self) -> list[LedgerEntry]:
        """All entries, the oldest first.

        Raises:
            RegistryError: if an entry is missing, unreadable or altered.
            TransientError: if the network is lost.
        """
        return [entry for entry, _ in self.read()]

    def read(self) -> list[tuple[LedgerEntry, str]]:
        """All entries with the SHA-256 of their files, the oldest first.

        Raises:
            RegistryError: if an entry is missing, unreadable or altered.
            TransientError: if the network is lost.
        """
        # Each file is vouched for by its successor; the seal of the last one stands for that.
        entries, faults = self._examine(seals="last")
        if faults:
            raise RegistryError(f"The ledger's entry {faults[0].place} {faults[0].problem}")
        return entries

    def faults(self) -> list[Fault]:
        """Everything that is wrong with the ledger itself; empty where it is whole."""
        return self._examine(seals="all")[1]

    def champion(self) -> LedgerEntry | None:
        """The last entry, or None before the first promotion."""
        entries = self.entries()
        return entries[-1] if entries else None

    def promote(self, entry: LedgerEntry, *, after: LedgerEntry | None = None) -> LedgerEntry:
        """Create the next entry, given what the promoter believes to be the champion.

        Args:
            entry: The promotion; its `number` and `predecessor_sha256` are set here.
            after: The last entry that the promoter saw. A version can become champion again, so its number says less;
                left out, the version that the entry replaces must be champion.

        Returns:
            The entry as written.

        Raises:
            RegistryError: if the champion is no longer the one that the entry replaces, another process promoted at
                the same moment, or the ledger is damaged.
            TransientError: if the network is lost.
        """
        self._place.tidy()
        entries = self.read()
        last = entries[-1][0] if entries else None
        champion = last.version if last else None
        if champion != entry.replaces_version or (after is not None and last != after):
            raise RegistryError(
                f"Version {entry.version} was to replace {_named(entry.replaces_version, after)} as champion of "
                f"{entry.model_name}, but {_since(last)}. Nothing was promoted; run again."
            )
        number = len(entries) + 1
        complete = entry.model_copy(
            update={"number": number, "predecessor_sha256": entries[-1][1] if entries else None}
        )
        self._complete(entries)
        content = (complete.model_dump_json(indent=1) + "\n").encode()
        if not self._place.create(_name(number), content):
            raise RegistryError(
                f"Another run promoted a model of {entry.model_name} at the same moment (entry {number}). "
                "Nothing was promoted here; run again to compare with the new champion."
            )
        try:
            self._seal(number, hashlib.sha256(content).hexdigest())
        except PipelineError as error:
            # The promotion stands; whoever promotes or verifies next seals it.
            logger.warning("Entry %d of %s is not sealed yet: %s", number, self.url, error)
        return complete

    def seal(self) -> bool:
        """Seal the last entry where a promoter was killed before it could.

        Returns:
            Whether there was one to seal.

        Raises:
            RegistryError: if the ledger is damaged.
            TransientError: if the network is lost.
        """
        return self._complete(self.read())

    def _complete(self, entries: Sequence[tuple[LedgerEntry, str]]) -> bool:
        if not entries or _seal_name(len(entries)) in self._place.names():
            return False
        self._seal(len(entries), entries[-1][1])
        return True

    def _seal(self, number: int, sha256: str) -> None:
        # Whoever comes second finds the same content.
        self._place.create(_seal_name(number), f"{sha256}  {_name(number)}\n".encode())

    def _numbers(self) -> tuple[list[int], list[int]]:
        """The numbers of the entries and of the seals, sorted."""
        names = self._place.names()
        entries, seals = (
            [int(name[:6]) for name in names if re.fullmatch(rf"\d{{6}}\.{kind}", name)] for kind in KINDS
        )
        return entries, seals

    def _examine(self, *, seals: str) -> tuple[list[tuple[LedgerEntry, str]], list[Fault]]:
        numbers, sealed = self._numbers()
        if sealed and sealed[-1] not in numbers:
            # A list is no snapshot: between an entry's turn and its seal's both may have been written.
            numbers, sealed = self._numbers()
        total = max([*numbers, *sealed], default=0)
        wanted = [number for number in sealed if number in numbers and (seals == "all" or number == numbers[-1])]
        contents = self._place.read([*map(_name, numbers), *map(_seal_name, wanted)])
        entries: list[tuple[LedgerEntry, str]] = []
        faults: list[Fault] = []
        digests = {number: hashlib.sha256(contents[_name(number)]).hexdigest() for number in numbers}
        expected = {number: contents[_seal_name(number)].decode(errors="replace").split(" ")[0] for number in wanted}
        altered: set[int] = set()
        for number in range(1, total + 1):
            path = f"{self.url}/{_name(number)}"
            if number not in digests:
                faults.append(Fault(place=path, problem=f"is lost. {RESTORE}"))
                continue
            if digests[number] != expected.get(number, digests[number]):
                altered.add(number)
                faults.append(Fault(place=path, problem=_altered(digests[number], expected[number], "its seal says")))
                continue
            try:
                entry = LedgerEntry.model_validate_json(contents[_name(number)])
            except ValidationError as error:
                faults.append(Fault(place=path, problem=f"cannot be read: {error.errors()[0]['msg']}. {RESTORE}"))
                continue
            entries.append((entry, digests[number]))
            faults.extend(Fault(place=path, problem=problem) for problem in _misfits(entry, number, digests, altered))
        return entries, faults


def _misfits(entry: LedgerEntry, number: int, digests: dict[int, str], altered: set[int]) -> list[str]:
    """How an entry does not fit its number and the file before it."""
    if entry.number != number:
        return [f"says number {entry.number}; expected {number}. An entry was altered or lost. {RESTORE}"]
    before = digests.get(number - 1)
    # What is lost or known to be altered has been named already.
    if entry.predecessor_sha256 == before or (before is None and number > 1) or number - 1 in altered:
        return []
    return [
        f"follows a file with SHA-256 {entry.predecessor_sha256}; the entry before it has {before}. One of the two was "
        f"altered or lost. {RESTORE}"
    ]


def _altered(found: str, expected: str, who: str) -> str:
    return f"was altered: its SHA-256 is {found}; {who} {expected}. {RESTORE}"


def _named(version: int | None, entry: LedgerEntry | None) -> str:
    return f"version {version}" if entry is None else f"version {version} (entry {entry.number})"


def _since(last: LedgerEntry | None) -> str:
    if last is None:
        return "there is no champion"
    return f"the champion is version {last.version} now (entry {last.number}, {last.promoted_at:%Y-%m-%d %H:%M} UTC)"


def _name(number: int) -> str:
    return f"{number:06d}.json"


def _seal_name(number: int) -> str:
    return f"{number:06d}.sha256"


def open_ledger(name: str) -> Ledger:
    """The ledger of a registered model, where the machine's settings say that ledgers stand; it may have no entry yet.

    Raises:
        LookupError: outside a run, where no machine is set.
        ConfigurationError: if the setting is no place for a ledger.
    """
    return Ledger(place_below(ledger_address(), name))


def ledger_names() -> list[str]:
    """The registered models that have a ledger with an entry or what is left of one, sorted.

    One whose entries are lost in part is damaged; that is said where it is read, and no other takes its place.

    Raises:
        RegistryError: if the place cannot be read.
        TransientError: if the network is lost.
    """
    address = ledger_address()
    written = re.compile(rf"\d{{6}}\.({'|'.join(KINDS)})")
    return [name for name in folders_below(address) if any(map(written.fullmatch, place_below(address, name).names()))]


def ledger_address() -> str:
    """Where the machine's settings say that ledgers stand: a path, or a URL of object storage."""
    settings = machine.current()
    if settings is not None and settings.ledger is not None:
        return settings.ledger
    return store.current().place("ledger")
