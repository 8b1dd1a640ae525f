"""Keeps what is needed to go on with a training exactly where it stopped.

After an epoch two files are written: `epoch-0003.npz` with every array that a step changes, and then
`epoch-0003.json` with its SHA-256 and all else (figures so far, early stopping, what the training is of). Both appear
whole or not at all, and only with the second does the checkpoint exist. Order and augmentation need no keeping: they
are made from seed and epoch. Nothing is unpickled.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cnn_model.failures import BadRequestError
from cnn_model.results import EpochMetrics

NUM_KEPT = 2
"""The newest, and the one before for when the newest is damaged."""


class Identity(BaseModel):
    """What a training is of. Only a training that is the same in all of it can be gone on with.

    Attributes:
        recipe: The recipe's values, as JSON.
        seed: Of weights, order and augmentation.
        data_sha256: Of the images and labels trained on.
        start_sha256: Of the model whose weights are the start; None for fresh ones.
        backend: "tensorflow" or "jax".
        device: "cpu" or "gpu".
        precision: What layers compute in.
        versions: Of the numeric libraries, by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    seed: int
    data_sha256: str
    start_sha256: str | None
    backend: str
    device: str
    precision: str
    versions: dict[str, str]


class Progress(BaseModel):
    """How far a training has come, beside its arrays.

    Attributes:
        history: One entry an epoch that is done.
        best_epoch: The one with the lowest validation loss, counted from 1; None without early stopping.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    history: tuple[EpochMetrics, ...] = ()
    best_epoch: int | None = None

    @property
    def num_epochs(self) -> int:
        """Epochs that are done."""
        return len(self.history)


class _Record(BaseModel):
    """The second file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: Identity
    progress: Progress
    arrays_sha256: str = Field(description="Of the .npz file.")


Arrays = Sequence[npt.NDArray[Any]]

_KINDS = ("state", "best")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        state: Everything that a step changes, in the order of `steps.Problem.variables`.
        best: The best epoch's weights; empty where none are kept.
    """

    progress: Progress
    state: Arrays
    best: Arrays


class Checkpoints:
    """The checkpoints of one training, in a folder of their own.

    Args:
        folder: Made if it is not there.
        identity: Of the training.
    """

    def __init__(self, folder: Path, identity: Identity) -> None:
        self._folder = folder
        self._identity = identity
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep the state after an epoch, and drop all but the newest checkpoints."""
        progress = checkpoint.progress
        stem = self._folder / f"epoch-{progress.num_epochs:04}"
        names = {
            f"{kind}_{index:04}": array
            for kind, arrays in zip(_KINDS, (checkpoint.state, checkpoint.best), strict=True)
            for index, array in enumerate(arrays)
        }
        draft = stem.with_suffix(".npz.draft")
        with draft.open("wb") as file:
            np.savez(file, allow_pickle=False, **names)
            _flush(file)
        digest = _sha256(draft)
        draft.replace(stem.with_suffix(".npz"))
        record = _Record(identity=self._identity, progress=progress, arrays_sha256=digest)
        draft = stem.with_suffix(".json.draft")
        with draft.open("wb") as file:
            file.write(record.model_dump_json(indent=1).encode())
            _flush(file)
        draft.replace(stem.with_suffix(".json"))
        for old in self._epochs()[NUM_KEPT:]:
            # The record first: arrays without one are no checkpoint.
            (self._folder / f"epoch-{old:04}.json").unlink()
            (self._folder / f"epoch-{old:04}.npz").unlink(missing_ok=True)

    def newest(self, on_damage: Callable[[str], None]) -> Checkpoint | None:
        """The newest checkpoint that is whole; None where there is none.

        Args:
            on_damage: Told in a sentence of each newer one that is damaged.

        Raises:
            BadRequestError: if a checkpoint in the folder belongs to another training.
        """
        for epoch in self._epochs():
            arrays = self._folder / f"epoch-{epoch:04}.npz"
            try:
                record = _Record.model_validate_json(arrays.with_suffix(".json").read_bytes())
                whole = _sha256(arrays) == record.arrays_sha256
            except (OSError, ValidationError):
                whole = False
            if not whole:
                on_damage(f"the checkpoint of epoch {epoch} is damaged; it is left aside")
                continue
            self._check(record.identity)
            with np.load(arrays, allow_pickle=False) as loaded:
                state, best = ([loaded[name] for name in sorted(loaded) if name.startswith(kind)] for kind in _KINDS)
            return Checkpoint(record.progress, state, best)
        return None

    def _check(self, found: Identity) -> None:
        differing = [name for name in Identity.model_fields if getattr(found, name) != getattr(self._identity, name)]
        if differing:
            raise BadRequestError(
                f"the checkpoints in {self._folder} belong to another training: {', '.join(differing)} differ; "
                "expected those of this one; name another folder, or empty this one to train from the start"
            )

    def _epochs(self) -> list[int]:
        """The epochs that have a record, the newest first."""
        return sorted(
            (int(file.stem.removeprefix("epoch-")) for file in self._folder.glob("epoch-*.json")), reverse=True
        )


def data_sha256(*arrays: npt.NDArray[Any]) -> str:
    """SHA-256 over the bytes of arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
