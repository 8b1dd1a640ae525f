"""Where a training keeps its checkpoints: in a folder of the store that only the same training writes to.

Where the store is on object storage the folder follows there, so that the training goes on on another machine when
this one is lost. Nothing keeps two machines from the same training at once: each writes whole objects, a state whose
two files are of different machines does not fit its digest and is left aside, and what both publish is one model or
two, of which the later result counts. Deployments that run one at a time, and the slot of the GPU, make it rare.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnn_model.recipe import Recipe
from tasks import locks, policies, store
from tasks.machine import Machine
from tasks.store import Reference
from tasks.values.splits import Splits

logger = logging.getLogger(__name__)


def name(splits: Splits, recipe: Recipe, seed: int, start: Reference | None, settings: Machine) -> str:
    """The name of a training, 64 hexadecimal digits: of all that a state can be gone on with only if it is the same.

    Args:
        splits: What is trained on.
        recipe: Its values, with the epochs.
        seed: Of initialisation and order.
        start: The model whose weights are the start; None for fresh ones.
        settings: Device and framework count: a state goes on exactly only with its own.
    """
    parts = {
        "splits": splits.artifact.digest,
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "start": None if start is None else start.digest,
        "source": policies.source_digest(("cnn_model.training", *policies.BACKENDS)),
        "device": settings.device,
        "backend": settings.backend,
        "num_devices": settings.num_devices,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@contextmanager
def kept(training: str) -> Iterator[Path]:
    """The folder of a training's checkpoints, this process's alone; removed where the block ends without a failure.

    Waits, with a word in the log, while another process of this machine is at the same training. Begins with what the
    store has, wherever it was trained.

    Args:
        training: What `name` gave.
    """
    opened = store.current()
    with locks.turn(opened.folder("locks"), f"train-{training[:16]}", _say_who_trains):
        shared = opened.shared(store.CHECKPOINTS, training)
        shared.bring()
        # A record comes after its arrays: with it there is a checkpoint.
        with shared.followed(last=".json"):
            yield shared.path
        shutil.rmtree(shared.path)
        shared.remove(shared.names("*"))


def clear(folder: Path) -> bool:
    """Remove the checkpoints in the folder; whether there were any."""
    files = list(folder.iterdir())
    for file in files:
        file.unlink()
    return bool(files)


def _say_who_trains(holder: str) -> None:
    logger.warning("Waiting for the same training to end in %s.", holder)
