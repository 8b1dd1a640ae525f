"""What the entries of a ledger mean: which promotions hold, who was champion when, and where the way back leads.

Functions of entries alone; `tasks.ledger` reads them.
"""

from collections.abc import Sequence
from datetime import datetime

from tasks.errors import RegistryError
from tasks.ledger import RESTORE, LedgerEntry


def succession(entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """The promotions that led to the champion, without those that a rollback took back; no rollback is among them.

    A rollback makes the ledger mean what it meant when the restored promotion was its last entry: so two rollbacks in a
    row go back by two champions, and what is compared with the anchor is compared with that of then.

    Args:
        entries: A ledger's, from its first on.

    Raises:
        RegistryError: if a rollback restores what is no promotion before it.
    """
    held: list[LedgerEntry] = []
    last = len(entries)
    while last:
        if entries[last - 1].basis == "rollback":
            restored = entries[last - 1].restores_entry
            if restored is None or restored >= last or entries[restored - 1].basis == "rollback":
                raise RegistryError(
                    f"The ledger's entry {last} of {entries[0].model_name} is a rollback that restores entry "
                    f"{restored}; expected a promotion before it. {RESTORE}"
                )
            last = restored
        held.append(entries[last - 1])
        last -= 1
    return held[::-1]


def anchor(entries: Sequence[LedgerEntry]) -> LedgerEntry | None:
    """The last promotion that holds and that no refresh made; None before the first one.

    A refresh may be a little worse than the champion, and many of them may be worse by much: so they are compared with
    this one as well.
    """
    return next((entry for entry in reversed(succession(entries)) if entry.basis != "refresh"), None)


def previous(entries: Sequence[LedgerEntry]) -> LedgerEntry | None:
    """The promotion that a rollback would restore; None where the champion is the first."""
    held = succession(entries)
    return held[-2] if len(held) > 1 else None


def champion_at(entries: Sequence[LedgerEntry], moment: datetime) -> LedgerEntry | None:
    """The entry that said who was champion at a moment; None before the first promotion."""
    return next((entry for entry in reversed(entries) if entry.promoted_at <= moment), None)


def promotion_of(entries: Sequence[LedgerEntry], model_sha256: str) -> LedgerEntry | None:
    """The promotion of a model that holds, as champion or as one of those before; None where there is none."""
    return next((entry for entry in succession(entries) if entry.model_sha256 == model_sha256), None)


def was_rolled_back(entries: Sequence[LedgerEntry], model_sha256: str) -> bool:
    """Whether a model was champion and is taken back."""
    return any(entry.model_sha256 == model_sha256 for entry in entries) and promotion_of(entries, model_sha256) is None


def taken_back(entries: Sequence[LedgerEntry]) -> dict[int, LedgerEntry | None]:
    """For each version that was ever champion, the rollback that took it back; None where it holds."""
    found: dict[int, LedgerEntry | None] = {}
    for number, entry in enumerate(entries, start=1):
        if entry.basis == "rollback":
            held = {item.version for item in succession(entries[:number])}
            found = {version: None if version in held else (rollback or entry) for version, rollback in found.items()}
        else:
            found[entry.version] = None
    return found
