"""Every decision of the gate, kept as a file, and so how often a set of test images was used for one.

Each look at the same test images makes the best result so far a little luckier. The ledger knows of promotions alone;
most decisions are refusals, and they count as much.
"""

import hashlib
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks import store
from tasks.ledger import LedgerEntry
from tasks.shared_folder import SharedFolder
from tasks.values.decision import Decision

ALL = "*.json"


class KeptDecision(BaseModel):
    """A decision and what it was about.

    Attributes:
        rule: The conditions, and whom the model was compared with.
        test_digest: The test images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_name: str
    version: int
    model_sha256: str
    run_id: str
    rule: str
    test_digest: str
    decision: Decision


def keep(kept: KeptDecision) -> None:
    """Write a decision into the store, whole or not at all; the same one again, such as after a kill, counts once."""
    name = hashlib.sha256(f"{kept.model_sha256}\n{kept.rule}".encode()).hexdigest()
    _shared(kept.model_name, kept.test_digest).write(f"{name}.json", kept.model_dump_json(indent=1) + "\n")


def find(promotion: LedgerEntry) -> Decision | None:
    """The decision that made a promotion; None where it is not kept in a form that can be read."""
    shared = _shared(promotion.model_name, promotion.test_digest)
    for content in shared.read(list(shared.names(ALL))).values():
        try:
            kept = KeptDecision.model_validate_json(content)
        except ValidationError:
            continue
        if (kept.model_sha256, kept.run_id) == (promotion.model_sha256, promotion.run_id):
            return kept.decision
    return None


def count(model_name: str, test_digest: str, entries: Sequence[LedgerEntry]) -> int:
    """How often these test images were used for a decision.

    Args:
        model_name: The registered model's.
        test_digest: The test images.
        entries: The ledger's; promotions of before decisions were kept count as well.
    """
    before = sum(entry.basis is None and entry.test_digest == test_digest for entry in entries)
    return len(_shared(model_name, test_digest).names(ALL)) + before


def _shared(model_name: str, test_digest: str) -> SharedFolder:
    return store.current().shared("decisions", model_name, test_digest)
