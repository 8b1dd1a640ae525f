"""Promotions by a person: force a version, take the champion back, and tell MLflow.

The ledger is the truth: once an entry is created the promotion stands, whatever becomes of MLflow's aliases; they
follow with the next command or run. Knows nothing of Prefect; MLflow is loaded where it is asked.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict

from tasks import store
from tasks.champions import RECORD_TAG, ModelRecord, find_model, read_record, record_of
from tasks.errors import PipelineError, RegistryError, RegistryUnreachableError, StoreError
from tasks.ledger import Ledger, LedgerEntry, open_ledger
from tasks.succession import previous, succession, taken_back

if TYPE_CHECKING:
    from tasks.registry import Version

MIRROR_PATIENCE_SECONDS = 20
"""For a run that is registering. It mirrors the aliases itself when it ends."""

MAX_REASON_LENGTH = 500
MAX_ACTOR_LENGTH = 100


class Manual(BaseModel):
    """A promotion that a person made.

    Attributes:
        entry: As it stands in the ledger.
        mirrored: What changed in MLflow, in words.
        problem: Why MLflow does not have it yet; None where it has.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    entry: LedgerEntry
    mirrored: tuple[str, ...] = ()
    problem: str | None = None


def promote(name: str, version: int, *, reason: str, actor: str, run_id: str) -> Manual:
    """Make a version champion, whatever the gate said of it.

    Args:
        name: The registered model's.
        version: One that registry or ledger know.
        reason: Why, in a person's words.
        actor: Who.
        run_id: Tells this promotion from any other.

    Raises:
        RegistryError: if it is champion already, unknown, or another process promoted at the same moment; or if
            registry and ledger contradict each other.
        RegistryUnreachableError: if the registry must be asked what the version is, and does not answer.
        StoreError: if the model's artifact is missing or damaged.
    """
    ledger = open_ledger(name)
    entries = ledger.entries()
    champion = entries[-1] if entries else None
    if champion is not None and champion.version == version:
        raise RegistryError(f"Version {version} is champion of {name} already, by entry {champion.number}.")
    known = next((entry for entry in reversed(entries) if entry.version == version), None)
    record = record_of(known) if known is not None else _registered(name, version)
    store.current().ensure_kept(find_model(record))
    unreachable = agreed(name, ledger)
    entry = LedgerEntry(
        **record.model_dump(),
        promoted_at=datetime.now(UTC),
        run_id=run_id,
        replaces_version=champion.version if champion is not None else None,
        version=version,
        basis="force",
        actor=actor,
        reason=reason,
    )
    return _mirrored(ledger.promote(entry, after=champion), unreachable)


def roll_back(name: str, to: int | None, *, reason: str, actor: str, run_id: str) -> Manual:
    """Take the champion back: an earlier one becomes champion again.

    Args:
        name: The registered model's.
        to: An earlier champion's version; None for the one that the champion replaced. After a rollback that is the
            one before, so two in a row go back by two.
        reason: Why, in a person's words.
        actor: Who.
        run_id: Tells this rollback from any other.

    Raises:
        RegistryError: if there is none to go back to, or another process promoted at the same moment; or if registry
            and ledger contradict each other.
        StoreError: if its artifact is missing or damaged.
    """
    ledger = open_ledger(name)
    entries = ledger.entries()
    if not entries:
        raise RegistryError(f"{name} has no champion yet: there is nothing to take back.")
    champion = entries[-1]
    restored = _target(entries, to)
    try:
        store.current().ensure_kept(find_model(restored))
    except StoreError as error:
        others = _versions(entries, lambda entry: entry.version not in (champion.version, restored.version))
        raise StoreError(
            f"Version {restored.version} of {name} cannot be champion again. {error} Version {champion.version} stays. "
            f"Restore the artifact, or choose another with --to: {others}."
        ) from error
    unreachable = agreed(name, ledger)
    entry = LedgerEntry(
        **record_of(restored).model_dump(),
        promoted_at=datetime.now(UTC),
        run_id=run_id,
        replaces_version=champion.version,
        restores_entry=restored.number,
        version=restored.version,
        basis="rollback",
        actor=actor,
        reason=reason,
    )
    return _mirrored(ledger.promote(entry, after=champion), unreachable)


def agreed(name: str, ledger: Ledger) -> str | None:
    """See that the registry was told of the same promotions, before the ledger's last entry is sealed or built upon.

    Returns:
        Why the registry could not be asked, in words; None where it agrees. The ledger is the truth without it.

    Raises:
        RegistryError: if the registry was told of another entry than the ledger has.
        TransientError: if the network to the ledger is lost.
    """
    from tasks.registry import Registry

    try:
        # Whether it has the champion's version is no matter: that must not hold up the way back.
        Registry().check_head(name, ledger)
    except RegistryUnreachableError as error:
        return str(error)
    return None


def mirror(name: str, ledger: Ledger) -> tuple[str, ...]:
    """Make MLflow's aliases and tags what the ledger says; what was otherwise, in words.

    Raises:
        RegistryError: if registry and ledger contradict each other.
        RegistryUnreachableError: if the registry does not answer.
        Timeout: if a run is registering all the while.
    """
    # It takes a second or two to import.
    from tasks.registry import Registry

    # Of two that promote one after the other, the first must not set its own aliases last.
    lock = FileLock(store.current().folder("locks") / f"register-{name}.lock")
    with lock.acquire(timeout=MIRROR_PATIENCE_SECONDS):
        registry = Registry()
        # A seal would vouch for an entry that was altered after the registry was told of it.
        registry.check_ledger(name, ledger)
        ledger.seal()
        changed = registry.mirror(name, ledger)
        entries, versions = ledger.entries(), registry.versions(name)
        for number, tags in _tags(entries, versions).items():
            found = versions[number].tags
            wrong = {tag: value for tag, value in tags.items() if found.get(tag) != value}
            registry.tag_version(name, number, {tag: value for tag, value in wrong.items() if value is not None})
            registry.untag_version(name, number, [tag for tag, value in wrong.items() if value is None])
    return tuple(changed)


def _tags(entries: list[LedgerEntry], versions: "Mapping[int, Version]") -> dict[int, dict[str, str | None]]:
    """What the ledger says of each version that MLflow has, as tags; None for one that must not be there."""
    from tasks.registry import VERDICT_TAG

    tags: dict[int, dict[str, str | None]] = {number: {} for number in versions}
    for number, rollback in taken_back(entries).items():
        if number in tags:
            tags[number] |= {
                "rolled_back_by": rollback.actor if rollback is not None else None,
                "rolled_back_because": rollback.reason if rollback is not None else None,
            }
    for entry in entries:
        # A run may have judged it anew since it was forced, and MLflow keeps the last verdict.
        if entry.basis != "force" or entry.version not in versions:
            continue
        if entry == entries[-1] or "forced_by" not in versions[entry.version].tags:
            verdict = {VERDICT_TAG: "promoted", "verdict_basis": "force", "verdict_sentence": entry.reason}
            tags[entry.version] |= {**verdict, "forced_by": entry.actor}
    return tags


def _mirrored(entry: LedgerEntry, unreachable: str | None) -> Manual:
    if unreachable is not None:
        return Manual(entry=entry, problem=unreachable)
    try:
        return Manual(entry=entry, mirrored=mirror(entry.model_name, open_ledger(entry.model_name)))
    except (PipelineError, Timeout) as error:
        return Manual(entry=entry, problem=str(error))


def _registered(name: str, version: int) -> ModelRecord:
    from tasks.registry import MODEL_TAG, Registry

    found = Registry().get_version(name, version)
    if found is None:
        raise RegistryError(f"{name} has no version {version}. MLflow lists those that there are.")
    if RECORD_TAG not in found.tags:
        raise RegistryError(
            f"Version {version} of {name} was registered before the data were kept that a promotion needs. Run its "
            "training again with --register.policy force, --register.reason and --register.actor."
        )
    record = read_record(found.tags[RECORD_TAG])
    said = (name, found.tags.get(MODEL_TAG), found.tags.get("model_digest"))
    if said != (record.model_name, record.model_sha256, record.model_digest):
        raise RegistryError(
            f"MLflow's tags of version {version} speak of the model {json.dumps(said)}; its record is of "
            f"{json.dumps((record.model_name, record.model_sha256, record.model_digest))}. One was altered: nothing "
            "was promoted."
        )
    return record


def _target(entries: list[LedgerEntry], to: int | None) -> LedgerEntry:
    champion = entries[-1]
    if to is None:
        before = previous(entries)
        if before is None:
            raise RegistryError(
                f"Version {champion.version} is the first champion of {champion.model_name}: there is none to go back "
                "to. Another version becomes champion with `promote`."
            )
        return before
    if to == champion.version:
        raise RegistryError(f"Version {to} is champion of {champion.model_name} already, by entry {champion.number}.")
    # Where it was champion more than once, the last time that still holds, else the last time.
    found = [entry for entry in [*entries, *succession(entries)] if entry.version == to and entry.basis != "rollback"]
    if not found:
        others = _versions(entries, lambda entry: entry.version != champion.version)
        raise RegistryError(
            f"Version {to} of {champion.model_name} was never champion; expected one of {others}. Another version "
            "becomes champion with `promote`."
        )
    return found[-1]


def _versions(entries: list[LedgerEntry], wanted: Callable[[LedgerEntry], bool]) -> str:
    return ", ".join(map(str, sorted({entry.version for entry in entries if wanted(entry)}))) or "none"
