"""The models that a ledger names: what it keeps of each, and the one door to their files.

An entry names a model twice, by the digest of its artifact and by that of its `model.keras`. Whoever wants the model
comes through `find_model`, which holds both against what the store has.
"""

import json
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks import store
from tasks.errors import RegistryError, StoreError
from tasks.ledger import LedgerEntry
from tasks.store import MANIFEST, Reference

MODEL_FILE = "model.keras"
RECORD_FILE = "record.json"

RECORD_TAG = "record_digest"
"""MLflow's tag of a version: the artifact that holds its record, so that it can be promoted without its run."""


class ModelRecord(BaseModel):
    """What the ledger keeps of a model, whoever promotes it; the fields are those of `LedgerEntry`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_name: str
    model_digest: str
    model_sha256: str
    accuracy: float = Field(ge=0, le=1)
    test_digest: str
    dataset_digest: str | None
    dataset: dict[str, Any] | None


class NamedModel(Protocol):
    """What names a model by both of its digests, such as an entry of the ledger."""

    @property
    def model_digest(self) -> str:
        """Of its artifact."""
        ...

    @property
    def model_sha256(self) -> str:
        """Of its `model.keras`."""
        ...


def record_of(entry: LedgerEntry) -> ModelRecord:
    """What an entry says of its model."""
    return ModelRecord.model_validate(entry.model_dump(include=set(ModelRecord.model_fields)))


def publish_record(record: ModelRecord) -> str:
    """Put a record into the store; the artifact's digest.

    Raises:
        StoreError: if the store cannot be written.
    """
    with store.current().staging() as folder:
        (folder / RECORD_FILE).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return store.current().publish(folder).digest


def read_record(digest: str) -> ModelRecord:
    """The record that an artifact holds, verified.

    Raises:
        StoreError: if it is missing or damaged.
        RegistryError: if it is no record.
    """
    path = store.current().fetch(store.current().find(digest)) / RECORD_FILE
    try:
        return ModelRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise RegistryError(f"The artifact {digest[:12]} holds no record of a model: {error}.") from error


def find_model(model: NamedModel) -> Reference:
    """The artifact of a model, verified against both of its digests.

    Raises:
        StoreError: if it is missing, damaged, or holds another model than the ledger or the registry says.
    """
    artifact = store.current().find(model.model_digest)
    # The files were verified against the manifest just now.
    files = json.loads((store.current().fetch(artifact) / MANIFEST).read_bytes())["files"]
    found = {file["name"]: file["sha256"] for file in files}.get(MODEL_FILE)
    if found != model.model_sha256:
        raise StoreError(
            f"The artifact {model.model_digest[:12]} has a {MODEL_FILE} with SHA-256 {found}; expected "
            f"{model.model_sha256}. It is not the model that was registered, and is not used."
        )
    return artifact
