"""The truth about promotion: immutable numbered files in the store, each naming its predecessor by digest.

Creating a file is the promotion. A file appears whole and only if its number is free, so of two promoters one wins and
the other is refused, and a process that is killed leaves either an entry or none. The last entry's model is the
champion; MLflow's aliases mirror it. Knows nothing of MLflow or Prefect, and starts without either.
"""

import hashlib
import os
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.errors import RegistryError
from tasks.values.decision import Basis

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
        version: The version that became champion.
        model_digest: Digest of the model's artifact in the store.
        model_sha256: SHA-256 of its `model.keras`.
        accuracy: On the test images of `test_digest`, 0 to 1.
        dataset_digest: Of what it was trained on; new drops are to be like it. None in entries of before it was kept.
        dataset: The fields of that `RawDataset`. Only the store knows whether it still has it, and the ledger is read
            without it.
        basis: What chose it. None in entries of before it was recorded, which asked for a higher accuracy.
        actor: Who or what promoted.
        reason: The verdict in one sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(1, ge=1)
    predecessor_sha256: str | None = None
    promoted_at: datetime
    run_id: str
    model_name: str
    replaces_version: int | None
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


def anchor(entries: Sequence[LedgerEntry]) -> LedgerEntry | None:
    """The last promotion that no refresh made; None before the first one.

    A refresh may be a little worse than the champion, and many of them may be worse by much: so they are compared with
    this one as well.
    """
    return next((entry for entry in reversed(entries) if entry.basis != "refresh"), None)


class Ledger:
    """The ledger of one registered model.

    Args:
        folder: Where its files stand.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def entries(self) -> list[LedgerEntry]:
        """All entries, the oldest first.

        Raises:
            RegistryError: if an entry is missing, unreadable or not the successor of the one before.
        """
        entries: list[LedgerEntry] = []
        predecessor: str | None = None
        for number, path in enumerate(sorted(self._folder.glob("*.json")), start=1):
            content = path.read_bytes()
            try:
                entry = LedgerEntry.model_validate_json(content)
            except ValidationError as error:
                raise RegistryError(
                    f"The ledger's entry {path} cannot be read: {error.errors()[0]['msg']}. Restore it from a backup."
                ) from error
            if (entry.number, entry.predecessor_sha256) != (number, predecessor):
                raise RegistryError(
                    f"The ledger's entry {path} says number {entry.number} after {entry.predecessor_sha256}; expected "
                    f"{number} after {predecessor}. An entry was altered or lost: restore the folder from a backup."
                )
            entries.append(entry)
            predecessor = hashlib.sha256(content).hexdigest()
        return entries

    def champion(self) -> LedgerEntry | None:
        """The last entry, or None before the first promotion."""
        entries = self.entries()
        return entries[-1] if entries else None

    def promote(self, entry: LedgerEntry) -> LedgerEntry:
        """Create the next entry, given what the promoter believes to be the champion.

        Args:
            entry: The promotion; its `number` and `predecessor_sha256` are set here.

        Returns:
            The entry as written.

        Raises:
            RegistryError: if the champion is no longer the one that the entry replaces, or another process promoted
                at the same moment.
        """
        entries = self.entries()
        last = entries[-1] if entries else None
        champion = last.version if last else None
        if champion != entry.replaces_version:
            raise RegistryError(
                f"Version {entry.version} was to replace version {entry.replaces_version} as champion of "
                f"{entry.model_name}, but the champion is version {champion} now. Nothing was promoted; run again."
            )
        number = len(entries) + 1
        complete = entry.model_copy(
            update={"number": number, "predecessor_sha256": _sha256(self._path(number - 1)) if last else None}
        )
        self._create(self._path(number), complete)
        return complete

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.json"

    def _create(self, path: Path, entry: LedgerEntry) -> None:
        draft = path.with_name(f".{uuid.uuid4().hex}.draft")
        try:
            with draft.open("w") as file:
                file.write(entry.model_dump_json(indent=1) + "\n")
                file.flush()
                os.fsync(file.fileno())
            # A link fails where the name is taken, and shows the whole content at once: exclusive and atomic.
            os.link(draft, path)
        except FileExistsError as error:
            raise RegistryError(
                f"Another run promoted a model of {entry.model_name} at the same moment (entry {entry.number}). "
                "Nothing was promoted here; run again to compare with the new champion."
            ) from error
        finally:
            draft.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
