"""Whether ledger, models and registry are what they were when they were written: for `verify`.

Whatever the ledger says is told of MLflow only while the ledger itself is whole.
"""

from filelock import Timeout
from pydantic import BaseModel, ConfigDict

from tasks.champions import find_model
from tasks.errors import PipelineError, RegistryError, StoreError
from tasks.ledger import Fault, Ledger, LedgerEntry
from tasks.promotion import agreed, mirror
from tasks.succession import previous


class Verification(BaseModel):
    """What was looked at, and what is wrong.

    Attributes:
        entries: That can be relied on; None where the ledger is damaged.
        num_models: Different models among them.
        champion: The last entry.
        previous: The version that a rollback would restore.
        sealed: Whether the last entry was sealed only now; never where MLflow was told of another one.
        repaired: What was repaired in MLflow, in words.
        faults: What a person has to see to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_name: str
    ledger: str
    entries: int | None = None
    num_models: int = 0
    champion: int | None = None
    previous: int | None = None
    sealed: bool = False
    repaired: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()


def verify(name: str, ledger: Ledger) -> Verification:
    """Look at everything that a promotion leaves, and repair MLflow's aliases.

    Raises:
        RegistryError: if the ledger's place cannot be read at all.
        TransientError: if the network to it is lost.
    """
    faults = ledger.faults()
    if faults:
        return Verification(model_name=name, ledger=ledger.url, faults=tuple(faults))
    entries = ledger.entries()
    faults = [*_strangers(name, ledger, entries), *_in_models(entries)]
    sealed = False
    repaired: tuple[str, ...] = ()
    problem: str | None
    try:
        problem = agreed(name, ledger)
    except RegistryError as error:
        problem = str(error)
    else:
        sealed = ledger.seal()
    if problem is None:
        try:
            repaired = mirror(name, ledger)
        except (PipelineError, Timeout) as error:
            problem = str(error)
    if problem is not None:
        faults.append(Fault(place="MLflow", problem=f"was not compared with the ledger, or not repaired: {problem}"))
    before = previous(entries)
    return Verification(
        model_name=name,
        ledger=ledger.url,
        entries=len(entries),
        num_models=len({entry.model_digest for entry in entries}),
        champion=entries[-1].version if entries else None,
        previous=before.version if before is not None else None,
        sealed=sealed,
        repaired=repaired,
        faults=tuple(faults),
    )


def _strangers(name: str, ledger: Ledger, entries: list[LedgerEntry]) -> list[Fault]:
    """Entries that were copied here from the ledger of another model."""
    return [
        Fault(
            place=f"{ledger.url}/{entry.number:06d}.json",
            problem=f"is about {entry.model_name}; expected {name}. Restore the ledger from a backup.",
        )
        for entry in entries
        if entry.model_name != name
    ]


def _in_models(entries: list[LedgerEntry]) -> list[Fault]:
    faults = []
    for digest in dict.fromkeys(entry.model_digest for entry in entries):
        of_model = [entry for entry in entries if entry.model_digest == digest]
        try:
            find_model(of_model[-1])
        except StoreError as error:
            champion = entries[-1].model_digest == digest
            what = "or take it back with `rollback`" if champion else "else no rollback can restore it"
            faults.append(
                Fault(
                    place=f"version {of_model[-1].version}" + (", the champion" if champion else ""),
                    problem=f"cannot be loaded: {error} Restore the artifact from a backup, {what}.",
                )
            )
    return faults
