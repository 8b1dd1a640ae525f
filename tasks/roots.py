"""What ledger and registry hold on to: where `tasks.retention` begins to look for what must stay.

Both are asked, and have to agree. With the ledger or the registry of another store, everything here would look as if
nobody wanted it; so whatever is missing there that this store must have had is an error, and nothing is removed.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tasks import machine, store
from tasks.errors import RegistryError
from tasks.ledger import ledger_names, open_ledger

RUN_TAG = "flow_run_id"
"""MLflow's tag of a version: the run that made it."""

Version = tuple[str, int]
"""A registered model's name, and the number of a version."""


@dataclass(frozen=True)
class Roots:
    """What names artifacts from outside of the store's own records.

    Attributes:
        ledger: The entries, as JSON.
        promoted: The versions that the ledger names.
        pointed_to: The versions that an alias of MLflow points to.
        tags: Of each version in MLflow, its tags' values as one text.
        runs: Of each version, the runs that made or promoted it.
    """

    ledger: tuple[str, ...] = ()
    promoted: frozenset[Version] = frozenset()
    pointed_to: frozenset[Version] = frozenset()
    tags: Mapping[Version, str] = field(default_factory=dict)
    runs: Mapping[Version, frozenset[str]] = field(default_factory=dict)


def read(judged: Collection[str]) -> Roots:
    """Ask ledger and registry.

    Args:
        judged: Registered models that this store has decided about: they must be known there.

    Raises:
        RegistryError: if the ledger is damaged, the registry was told of another one, or one of the two does not have
            what this store must have had.
        RegistryUnreachableError: if the registry does not answer.
        TransientError: if the network to the ledger is lost.
    """
    names = sorted({*judged, *ledger_names()})
    if not names:
        return Roots()
    from tasks.registry import Registry  # MLflow takes a second or two

    registry = Registry()
    entries: list[str] = []
    promoted: set[Version] = set()
    pointed_to: set[Version] = set()
    tags: dict[Version, str] = {}
    runs: dict[Version, frozenset[str]] = {}
    for name in names:
        versions = registry.versions(name)
        if not versions:
            settings = machine.current()
            raise RegistryError(
                f"The store {store.current().place()} has decided about versions of {name}, and the registry has none "
                f"({(settings and settings.tracking_uri) or 'SQLite in the store'}). Nothing was removed. Name the "
                "right one with MLFLOW_TRACKING_URI, or bring it back from a backup."
            )
        ledger = open_ledger(name)
        registry.check_ledger(name, ledger)
        pointed_to |= {(name, number) for number in registry.aliases(name).values()}
        for number, version in versions.items():
            tags[name, number] = "\n".join(version.tags.values())
            runs[name, number] = frozenset({version.tags.get(RUN_TAG, "")} - {""})
        for entry in ledger.entries():
            entries.append(entry.model_dump_json())
            promoted.add((name, entry.version))
            runs[name, entry.version] = runs.get((name, entry.version), frozenset()) | {entry.run_id}
    return Roots(tuple(entries), frozenset(promoted), frozenset(pointed_to), tags, runs)
