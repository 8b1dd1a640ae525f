import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from cnn_model import checkpoints, training
from cnn_model.data import Splits
from cnn_model.devices import Device
from cnn_model.epochs import Event
from cnn_model.failures import BadRequestError
from cnn_model.inference import load
from cnn_model.recipe import Architecture, Recipe

CPU = Device("cpu", "CPU", has_bfloat16=False)

# Everything with a state of its own: dropout's random numbers, running means, momentum, the slow average, early
# stopping.
EVERYTHING = {
    "architecture": Architecture(name="tutorial", widths=(4,), dense_units=8, dropout=0.2, batch_normalization=True),
    "lookahead_steps": 3,
    "early_stopping_epochs": 3,
    "learning_rate": 0.05,
    "epochs": 5,
}

TRAIN = """
import os, sys
from pathlib import Path
import numpy as np
from cnn_model import checkpoints, epochs, training
from cnn_model.augmentation import EpochPlan
from cnn_model.recipe import Recipe

splits, output, folder, recipe, stop = sys.argv[1:]

def told(event):
    print(event["event"], event.get("epoch", ""), flush=True)

if stop == "within an epoch":
    part = EpochPlan.part
    num_parts = 0
    def stopping(self, first, last):
        global num_parts
        num_parts += 1
        if num_parts == 4:  # of an epoch's two, the second of the second epoch
            os.kill(os.getpid(), 9)
        return part(self, first, last)
    EpochPlan.part = stopping
    epochs.MOST_STEPS_A_CALL = 5
if stop == "between the two writes":
    replace = Path.replace
    def stopping(self, target):
        replace(self, target)
        if target.name == "epoch-0003.npz":
            os.kill(os.getpid(), 9)
    Path.replace = stopping
training.run(
    Path(splits), Path(output), Recipe.model_validate_json(recipe), 1, "cpu", told, checkpoints_folder=Path(folder)
)
"""


Done = subprocess.CompletedProcess[str]


def _run(splits: Path, output: Path, folder: Path, recipe: Recipe, stop: str = "") -> Done:
    """Train in a process of its own, which ends itself with -9 where it is told to."""
    output.mkdir(exist_ok=True)
    command = [sys.executable, "-c", TRAIN, str(splits), str(output), str(folder), recipe.model_dump_json(), stop]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _epochs(done: Done) -> list[str]:
    return [line for line in done.stdout.splitlines() if line.startswith(("epoch", "resumed"))]


@pytest.fixture(scope="module")
def whole(splits_folder: Path, make_recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a training that nobody interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    done = _run(splits_folder, folder / "output", folder / "checkpoints", make_recipe(**EVERYTHING))
    assert done.returncode == 0, done.stderr
    return folder / "output"


@pytest.mark.parametrize(
    ("stop", "resumed_after"),
    [
        ("within an epoch", 1),
        pytest.param(
            "between the two writes",
            2,
            marks=pytest.mark.skipif(keras.backend.backend() == "jax", reason="the writes are the same"),
        ),
    ],
)
def test_a_killed_training_ends_with_the_same_bits_in_a_new_process(
    whole: Path, splits_folder: Path, make_recipe, tmp_path: Path, stop: str, resumed_after: int
):
    recipe = make_recipe(**EVERYTHING)
    killed = _run(splits_folder, tmp_path / "output", tmp_path / "checkpoints", recipe, stop)
    assert killed.returncode == -signal.SIGKILL
    resumed = _run(splits_folder, tmp_path / "output", tmp_path / "checkpoints", recipe)

    assert resumed.returncode == 0, resumed.stderr
    figures = [json.loads((output / "training.json").read_text()) for output in (whole, tmp_path / "output")]
    rest = [f"epoch {epoch}" for epoch in range(resumed_after + 1, len(figures[0]["history"]) + 1)]
    assert _epochs(resumed) == [f"resumed {resumed_after}", *rest]  # no finished epoch twice
    model, other = (load(output / "model.keras") for output in (whole, tmp_path / "output"))
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [result["resumed_after_epoch"] for result in figures] == [None, resumed_after]
    assert [epoch["train"] for epoch in figures[0]["history"]] == [epoch["train"] for epoch in figures[1]["history"]]
    assert figures[0]["best_epoch"] == figures[1]["best_epoch"]


def _train(splits: Splits, recipe: Recipe, folder: Path, seed: int = 1) -> tuple[training.Trained, list[Event]]:
    events: list[Event] = []
    return training.train(splits, recipe, seed, CPU, events.append, checkpoints_folder=folder), events


def test_the_last_two_checkpoints_are_kept(splits: Splits, make_recipe, tmp_path: Path):
    _train(splits, make_recipe(epochs=4), tmp_path)

    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["epoch-0003.json", "epoch-0003.npz", "epoch-0004.json", "epoch-0004.npz"]


def test_a_finished_training_is_not_trained_again(splits: Splits, make_recipe, tmp_path: Path):
    first, _ = _train(splits, make_recipe(epochs=2), tmp_path)

    again, events = _train(splits, make_recipe(epochs=2), tmp_path)

    assert [event["event"] for event in events] == ["resumed"]
    assert again.resumed_after_epoch == 2
    assert again.history == first.history
    for ours, theirs in zip(first.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("damage", ["cut arrays", "changed arrays", "cut record", "no arrays"])
def test_a_damaged_newest_checkpoint_is_left_for_the_one_before(
    splits: Splits, make_recipe, tmp_path: Path, damage: str
):
    _train(splits, make_recipe(epochs=3), tmp_path)
    arrays, record = tmp_path / "epoch-0003.npz", tmp_path / "epoch-0003.json"
    content = arrays.read_bytes()
    match damage:
        case "cut arrays":
            arrays.write_bytes(content[: len(content) // 2])
        case "changed arrays":
            middle = len(content) // 2
            arrays.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        case "cut record":
            record.write_bytes(record.read_bytes()[:-40])
        case "no arrays":
            arrays.unlink()

    trained, events = _train(splits, make_recipe(epochs=3), tmp_path)

    assert trained.resumed_after_epoch == 2
    assert [event["event"] for event in events if event["event"] != "progress"] == ["warning", "resumed", "epoch"]
    assert "the checkpoint of epoch 3 is damaged" in events[0]["message"]


@pytest.mark.parametrize("changes", [{"learning_rate": 0.1}, {"epochs": 3}, {"seed": 2}, {"images": 1}])
def test_checkpoints_of_another_training_are_refused(
    splits: Splits, make_recipe, tmp_path: Path, changes: dict[str, Any]
):
    _train(splits, make_recipe(), tmp_path)
    seed = changes.pop("seed", 1)
    if changes.pop("images", None):
        splits = Splits(splits.validation, splits.validation, splits.calibration)

    with pytest.raises(BadRequestError, match=r"belong to another training: .* differ; expected those of this one"):
        _train(splits, make_recipe(**changes), tmp_path, seed)


def test_a_checkpoint_is_whole_or_not_there_when_the_disk_is_full(
    splits: Splits, make_recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    _train(splits, make_recipe(epochs=1), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    identity = checkpoints._Record.model_validate_json(before["epoch-0001.json"]).identity
    kept = checkpoints.Checkpoints(tmp_path, identity)
    newest = kept.newest(lambda text: None)
    assert newest is not None
    later = newest.progress.model_copy(update={"history": newest.progress.history * 2})
    with pytest.raises(OSError, match="No space left"):
        kept.save(checkpoints.Checkpoint(later, newest.state, []))

    monkeypatch.undo()
    found = kept.newest(lambda text: None)
    assert found is not None
    assert found.progress.num_epochs == 1
