"""A store with three registered practice models, of which two were promoted; models are a few bytes."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from tasks import machine, store
from tasks.champions import RECORD_TAG, ModelRecord, publish_record
from tasks.ledger import Ledger, LedgerEntry, open_ledger
from tasks.machine import Machine
from tasks.registry import MODEL_TAG, VERDICT_TAG, Registry

NAME = "practice-cnn"


def make_store(folder: Path) -> None:
    """Version 1 was the first champion, on 1 January; version 2 replaced it a day later; version 3 was refused."""
    with machine.use(Machine(store=folder)):
        for version in (1, 2, 3):
            record = register(version)
            if version < 3:
                promote(open_ledger(NAME), version, record)
            Registry().tag_version(NAME, version, {VERDICT_TAG: "promoted" if version < 3 else "refused"})
        Registry().mirror(NAME, open_ledger(NAME))


def register(version: int, name: str = NAME) -> ModelRecord:
    """The next version, as a run registers it."""
    content = f"the weights of version {version}".encode()
    with store.current().staging() as folder:
        (folder / "model.keras").write_bytes(content)
        artifact = store.current().publish(folder)
    record = ModelRecord(
        model_name=name,
        model_digest=artifact.digest,
        model_sha256=hashlib.sha256(content).hexdigest(),
        accuracy=0.5 + version / 100,
        test_digest="c" * 64,
        dataset_digest="d" * 64,
        dataset={"class_names": ["yes", "no"]},
    )
    registry = Registry()
    tags = {
        MODEL_TAG: record.model_sha256,
        "model_digest": record.model_digest,
        RECORD_TAG: publish_record(record),
    }
    logged = registry.log_run(
        "practice", f"run {version}", model_name=name, parameters={}, figures=(), tags={MODEL_TAG: record.model_sha256}
    )
    assert registry.create_version(name, logged, artifact.digest, tags).number == version
    registry.challenge(name, version)
    return record


def promote(ledger: Ledger, version: int, record: ModelRecord) -> LedgerEntry:
    """As the gate does."""
    last = ledger.champion()
    entry = LedgerEntry(
        **record.model_dump(),
        promoted_at=datetime(2026, 1, version, 12, tzinfo=UTC),
        run_id=f"run {version}",
        replaces_version=last.version if last is not None else None,
        version=version,
        basis="improve" if last is not None else "first",
        actor=f"run {version}",
        reason=f"Promoted: version {version} is better.",
    )
    return ledger.promote(entry, after=last)


def aliases(folder: Path) -> dict[str, int]:
    """What MLflow shows."""
    with machine.use(Machine(store=folder)):
        found = Registry()._client.get_registered_model(NAME).aliases
    return {alias: int(version) for alias, version in found.items()}


def tags(folder: Path, version: int) -> dict[str, str]:
    """Of a version, in MLflow."""
    with machine.use(Machine(store=folder)):
        found = Registry().get_version(NAME, version)
    assert found is not None
    return dict(found.tags)
