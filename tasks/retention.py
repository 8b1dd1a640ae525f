"""Which parts of a store may go, by age and number; what is in use, or can be asked for again, stays.

A mark and sweep. It begins at what must stay whatever its age (`tasks.roots`, the last runs) and at all that was used
lately, follows the digests that stand there, and removes the rest: results first, then the artifacts that they name.
Killed in between, it leaves a smaller store that is whole; a result without its artifact would be a miss, too.

A run that is at work is not waited for. Whatever it fetches or publishes counts as used from then on, and that is
looked at once more when an artifact is removed.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import get_args

from pydantic import BaseModel, ConfigDict, Field

from tasks import roots, run_records, store
from tasks.errors import ConfigurationError
from tasks.inventory import FolderInventory, Inventory, Item, Kind
from tasks.inventory_bucket import BucketInventory
from tasks.remote_store import RemoteStore
from tasks.roots import Roots, Version
from tasks.store import LEFT_MAX_AGE_SECONDS

DAY = 24 * 3600
DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
BUNDLE = re.compile(r"(.+)/version-(\d+)")

NEVER: dict[Kind, str] = {
    "predictions": "scores that somebody asked for: never removed",
    "downloads": "downloads: never removed",
    "datasets": "downloads: never removed",
}
BY_LEDGER = "the ledger names it"
BY_ALIAS = "an alias in MLflow points to it"
BY_RUN = "a run that is kept names it"
BY_WAITING = "a person is asked about it"
BY_SCORES = "a scoring names it"
BY_DATASET = "the official images"
BY_RESULT = "a result that is kept names it"
BY_ARTIFACTS = "all that it names is kept"


class RetentionConfig(BaseModel):
    """How much of the past a store keeps, beside what the ledger names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep_runs: int = Field(
        20, ge=1, le=100_000, description="The last runs, which stay whatever their age; 1 to 100000."
    )
    max_age_days: float = Field(
        90.0,
        ge=14,
        le=3650,
        description="Days since its last use after which anything else goes; 14 to 3650. A step may take seven.",
    )


class Tally(BaseModel):
    """What was found of one kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    kept: int = Field(ge=0)
    kept_bytes: int = Field(ge=0)
    removed: int = Field(ge=0)
    removed_bytes: int = Field(ge=0)


class Reason(BaseModel):
    """Why something stays, how much of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str
    kept: int
    kept_bytes: int


class Pruning(BaseModel):
    """What went, or would go.

    Attributes:
        applied: Whether it went.
        used_meanwhile: What a run took up again before it could be removed; among the kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    place: str
    applied: bool
    config: RetentionConfig
    tallies: tuple[Tally, ...]
    reasons: tuple[Reason, ...]
    used_meanwhile: int = 0

    @property
    def removed(self) -> int:
        """How many, of all kinds."""
        return sum(tally.removed for tally in self.tallies)

    @property
    def removed_bytes(self) -> int:
        """Their size."""
        return sum(tally.removed_bytes for tally in self.tallies)


@dataclass
class Plan:
    """What of a store may go.

    Attributes:
        kept: Why each item stays.
        doomed: What goes, in this order, where it was not used since the moment beside it.
    """

    kept: dict[Item, str] = field(default_factory=dict)
    doomed: list[tuple[Item, float]] = field(default_factory=list)


def prune(config: RetentionConfig, *, apply: bool, waiting: Callable[[str], None]) -> Pruning:
    """Remove from the current store what is no longer needed, or say what that is.

    Args:
        config: How much of the past stays.
        apply: Whether to remove anything.
        waiting: Told once which other process is waited for, where one is removing already.

    Raises:
        ConfigurationError: if there is no store.
        RegistryError: if ledger and registry cannot say for sure what they need; nothing is removed then.
        RegistryUnreachableError: likewise, if the registry does not answer.
        TransientError: likewise, if the network to the ledger is lost; if that to the bucket is.
        StoreError: if the store cannot be read or written, or its bucket is not there.
    """
    opened = store.current()
    if not opened.exists():
        raise ConfigurationError(
            f"There is no store in {opened.place()}. Another one is named with --store or RETRAINING_STORE."
        )
    inventory: Inventory = (
        BucketInventory(opened.objects) if isinstance(opened, RemoteStore) else FolderInventory(opened)
    )
    if not apply:
        found = plan(inventory, config)
        return _told(inventory, config, found, {item for item, _ in found.doomed}, applied=False)
    with inventory.turn(waiting):
        inventory.tidy()
        found = plan(inventory, config)
        return _told(inventory, config, found, remove(inventory, found), applied=True)


def plan(inventory: Inventory, config: RetentionConfig) -> Plan:
    """What may go; nothing is touched.

    Raises:
        RegistryError, RegistryUnreachableError, TransientError, StoreError: see `prune`.
    """
    items = inventory.items()
    now = time.time()
    unused_since = now - config.max_age_days * DAY
    lately = f"used in the last {config.max_age_days:g} days"
    found = _Search(inventory, items)
    held = roots.read(inventory.models())
    found.mark(map(str.encode, held.ledger), BY_LEDGER)
    found.keep_versions(held, held.promoted, BY_LEDGER)
    found.keep_versions(held, held.pointed_to, BY_ALIAS)
    for kind, reason in NEVER.items():
        for item in found.of(kind):
            found.keep(item, reason)
            named = BY_DATASET if kind == "datasets" else BY_SCORES
            found.mark((text for _, text in inventory.texts(item)), named)
    runs = sorted(found.of("runs"), key=lambda item: item.used_at, reverse=True)
    for number, run in enumerate(runs):
        if number < config.keep_runs:
            found.keep(run, f"one of the last {config.keep_runs} runs")
        elif run.used_at > unused_since:
            found.keep(run, lately)
        elif run_records.waits_until(inventory, run) > unused_since:
            # It needs what it came to when it is resumed, also by who says that its time is up.
            found.keep(run, BY_WAITING)
        if run in found.kept:
            texts = list(inventory.texts(run))
            found.mark((text for _, text in texts), BY_RUN)
            found.keep_versions(held, run_records.versions(texts), BY_RUN)
    for kind in ("artifacts", "results", "bundles"):
        for item in found.of(kind):
            if item.used_at > unused_since:
                found.keep(item, lately)
                if kind != "bundles":
                    reason = BY_RESULT if kind == "results" else lately
                    found.mark((text for _, text in inventory.texts(item)), reason)
    for item in found.of("results"):
        if found.names_kept_alone(item):
            found.keep(item, BY_ARTIFACTS)
    for item in found.of("leftovers"):
        if item.used_at > now - LEFT_MAX_AGE_SECONDS:
            found.keep(item, f"used in the last {LEFT_MAX_AGE_SECONDS / DAY:g} days")
    # A result before its artifact, so that no run takes up what is about to go.
    order: tuple[Kind, ...] = ("results", "artifacts", "bundles", "runs", "leftovers")
    return Plan(found.kept, [(item, _limit(item, now, unused_since)) for kind in order for item in found.left(kind)])


def remove(inventory: Inventory, found: Plan) -> set[Item]:
    """Take away what may go; all but what was used meanwhile.

    Raises:
        StoreError: if the store cannot be written.
    """
    return {item for item, unused_since in found.doomed if inventory.remove(item, unused_since)}


class _Search:
    """What is found to be kept, and why; the first reason counts.

    Attributes:
        kept: By item, the reason.
    """

    def __init__(self, inventory: Inventory, items: Iterable[Item]) -> None:
        self._inventory = inventory
        self._items: dict[Kind, dict[str, Item]] = {kind: {} for kind in get_args(Kind)}
        for item in items:
            self._items[item.kind][item.name] = item
        self.kept: dict[Item, str] = {}

    def of(self, kind: Kind) -> list[Item]:
        """All items of a kind."""
        return list(self._items[kind].values())

    def left(self, kind: Kind) -> list[Item]:
        """Those that nothing keeps."""
        return [item for item in self.of(kind) if item not in self.kept]

    def keep(self, item: Item, reason: str) -> None:
        """Keep one item."""
        self.kept.setdefault(item, reason)

    def mark(self, texts: Iterable[bytes], reason: str) -> None:
        """Keep the artifacts that are named in texts, and those that are named in them."""
        todo = list(texts)
        while todo:
            for item in self._named(todo.pop()):
                if item not in self.kept:
                    self.keep(item, reason)
                    todo.extend(text for _, text in self._inventory.texts(item))

    def keep_versions(self, held: Roots, versions: Iterable[Version], reason: str) -> None:
        """Keep the bundles of versions, the runs that made or promoted them, and what their tags name."""
        wanted = set(versions)
        for item in self.of("bundles"):
            found = BUNDLE.fullmatch(item.name)
            if found is not None and (found[1], int(found[2])) in wanted:
                self.keep(item, reason)
        for version in sorted(wanted):
            self.mark([held.tags.get(version, "").encode()], reason)
            for run in held.runs.get(version, ()):
                if run in self._items["runs"]:
                    self.keep(self._items["runs"][run], reason)

    def names_kept_alone(self, item: Item) -> bool:
        """Whether it names artifacts, and all of them are kept."""
        named = [found for _, text in self._inventory.texts(item) for found in self._named(text)]
        return bool(named) and all(found in self.kept for found in named)

    def _named(self, text: bytes) -> list[Item]:
        digests = {digest.decode() for digest in DIGEST.findall(text)}
        return [self._items["artifacts"][digest] for digest in sorted(digests & self._items["artifacts"].keys())]


def _limit(item: Item, now: float, unused_since: float) -> float:
    return now - LEFT_MAX_AGE_SECONDS if item.kind == "leftovers" else unused_since


def _told(inventory: Inventory, config: RetentionConfig, found: Plan, removed: set[Item], *, applied: bool) -> Pruning:
    doomed = {item for item, _ in found.doomed}
    meanwhile = doomed - removed
    kept = {**found.kept, **dict.fromkeys(meanwhile, "used meanwhile")}
    reasons = Counter(kept.values())
    kinds: tuple[Kind, ...] = get_args(Kind)
    return Pruning(
        place=inventory.place,
        applied=applied,
        config=config,
        tallies=tuple(
            Tally(
                kind=kind,
                kept=sum(item.kind == kind for item in kept),
                kept_bytes=sum(item.size_bytes for item in kept if item.kind == kind),
                removed=sum(item.kind == kind for item in removed),
                removed_bytes=sum(item.size_bytes for item in removed if item.kind == kind),
            )
            for kind in kinds
        ),
        reasons=tuple(
            Reason(
                reason=reason,
                kept=number,
                kept_bytes=sum(item.size_bytes for item, why in kept.items() if why == reason),
            )
            for reason, number in reasons.most_common()
        ),
        used_meanwhile=len(meanwhile),
    )
