"""What becomes of the drops once they are judged: receipts for the good ones, quarantine for the bad ones.

Side effects, so never within a cached step. A drop is a part of the dataset from the moment that its receipt exists.
The folder alone says how far a run came, so that one that was killed at any point is gone on with by the next:

    nothing written               the drop is new: it is read, or found in the store, and judged again, the same way
    a draft of a receipt          hidden, so it counts for nothing
    a receipt                     taken; it keeps its place in the order
    reason.json, not moved        no content, so the drop is what it was: judged again, written again, moved
    moved                         done

Images are in the store before a receipt is written. How a place moves a drop is its own affair: a folder by a rename,
a bucket by copies (`drop_bucket`).
"""

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from tasks.errors import StoreError
from tasks.ingest import drop_formats
from tasks.ingest.drop_address import place_at
from tasks.ingest.drop_place import REASON, RECEIPT, DropPlace
from tasks.ingest.drops import Arrivals, FoundDrop, Receipt
from tasks.values.baselines import Baselines
from tasks.values.dataset import RawDataset
from tasks.values.drops import Drop, DropOutcome, DropOutcomes
from tasks.values.validation import DropVerdict

logger = logging.getLogger(__name__)


def settle(
    arrivals: Arrivals,
    dataset: RawDataset,
    baselines: Baselines,
    verdicts: Sequence[DropVerdict],
    run_id: str,
    *,
    stop_on_bad: bool,
) -> DropOutcomes:
    """Take the good drops, move the bad and the repeated ones aside.

    Args:
        arrivals: What was found.
        dataset: With every drop that was read.
        baselines: What each was compared with; written into receipts.
        verdicts: One a drop of the dataset, in its order.
        run_id: Written into receipts and reasons.
        stop_on_bad: Touch nothing where a drop is bad: the run stops, and a person decides.

    Raises:
        StoreError: if the folder cannot be written.
        TransientError: if it cannot be reached.
    """
    if arrivals.folder is None:
        return DropOutcomes(folder="", drops=())
    folder = place_at(arrivals.folder)
    stop = stop_on_bad and not all(verdict.good for verdict in verdicts)
    number = max((drop.number or 0 for drop in arrivals.drops), default=0)
    outcomes: list[DropOutcome] = []
    try:
        for found, drop, verdict in zip(arrivals.drops, dataset.drops, verdicts, strict=True):
            outcome = _outcome(folder, found, drop, verdict, dataset.class_names, stop=stop)
            if not stop and verdict.good and found.known is None:
                number += found.number is None
                compared = baselines.of_drop.get(drop.digest, ())
                text = _receipt(found, drop, compared, arrivals, found.number or number, run_id)
                folder.write(found.name, RECEIPT, text)
            outcomes.append(outcome)
        outcomes += arrivals.others
        if not stop:
            outcomes = [_moved_aside(folder, outcome, run_id) for outcome in outcomes]
    except OSError as error:
        raise StoreError(
            f"Cannot write to the drops folder {folder.address}: {error.strerror} ({error.filename}). "
            "Give the right to write there."
        ) from error
    for outcome in outcomes:
        if outcome.state != "accepted" or outcome.reason:
            logger.warning("Drop %s %s: %s", outcome.name, outcome.state, outcome.reason)
    return DropOutcomes(folder=folder.address, drops=tuple(outcomes))


def _outcome(
    folder: DropPlace,
    found: FoundDrop,
    drop: Drop,
    verdict: DropVerdict,
    class_names: tuple[str, ...],
    *,
    stop: bool,
) -> DropOutcome:
    outcome = DropOutcome(
        name=found.name,
        state="accepted",
        reason=found.note,
        folder=folder.place(found.name),
        digest=drop.digest,
        num_images=dict(zip(class_names, verdict.num_images, strict=True)),
        checks=verdict.failed,
        artifact=drop.artifact,
    )
    if verdict.good:
        return outcome
    bad = [check for check in verdict.failed if check.severity == "critical"]
    reason = "; ".join(f"{check.name}: {check.observed}, expected {check.expected}" for check in bad) + "."
    if stop:
        return outcome.model_copy(update={"state": "refused", "reason": reason})
    if found.number is not None:
        return outcome.model_copy(update={"state": "withheld", "reason": f"Taken before, and bad now: {reason}"})
    return outcome.model_copy(update={"state": "quarantined", "reason": reason})


def _receipt(
    found: FoundDrop, drop: Drop, baselines: tuple[str, ...], arrivals: Arrivals, number: int, run_id: str
) -> str:
    receipt = Receipt(
        format=drop_formats.FORMAT,
        number=number,
        written_at=_now(),
        run_id=run_id,
        class_names=arrivals.class_names,
        listing=found.listing,
        digest=drop.digest,
        drop=drop.model_dump(mode="json"),
        baselines=baselines,
    )
    return receipt.model_dump_json(indent=1) + "\n"


def _moved_aside(folder: DropPlace, outcome: DropOutcome, run_id: str) -> DropOutcome:
    """Write the reason, then move: the other way round a kill would leave a drop aside without one."""
    if outcome.state not in ("quarantined", "repeated"):
        return outcome
    reason = {"run_id": run_id, "moved_at": _now(), **outcome.model_dump(mode="json", exclude={"folder"})}
    try:
        folder.write(outcome.name, REASON, json.dumps(reason, indent=1) + "\n")
        return outcome.model_copy(update={"folder": folder.quarantine(outcome.name)})
    except FileNotFoundError:
        # A person took it away in the meantime; that is their right.
        return outcome.model_copy(update={"reason": f"{outcome.reason} It was gone before it could be moved aside."})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
