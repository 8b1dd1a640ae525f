"""The step train with real child processes, on a practice training of seconds."""

import logging
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from cnn_model.recipe import Recipe
from tasks import child, machine, progress, store
from tasks.errors import ChildKilledError, ChildRefusedError, ChildStalledError
from tasks.machine import Machine
from tasks.store import Store
from tasks.train import checkpoints
from tasks.train.config import TrainConfig
from tasks.train.step import train
from tasks.values.model import TrainedModel
from tasks.values.splits import Splits
from tests.unit.train.tiny import make_recipe, once, publish_splits, trainer

EPOCHS = 30
"""So many that a training is not over before it is killed, however late this process gets its turn."""


@pytest.fixture
def recipe() -> Recipe:
    return make_recipe(EPOCHS)


@pytest.fixture
def splits(opened_store: Store) -> Splits:
    return publish_splits(opened_store)


def run(splits: Splits, recipe: Recipe, **limits: float) -> TrainedModel:
    return train.fn(splits, recipe, 1, TrainConfig(**limits))


@dataclass(frozen=True)
class Begun:
    """A store in which something was trained. Tests leave it as it is, and work on a copy.

    Attributes:
        model: None where the training was killed.
    """

    folder: Path
    splits: Splits
    model: TrainedModel | None


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    """A training that was killed after some of its epochs."""
    folder = tmp_path_factory.mktemp("killed") / "store"
    with machine.use(Machine(store=folder)):
        splits = publish_splits(store.current())
        with progress.listen(once(3, lambda: trainer().kill())), pytest.raises(ChildKilledError, match="SIGKILL"):
            run(splits, make_recipe(EPOCHS))
    return Begun(folder, splits, None)


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    """A training of one epoch, from fresh weights."""
    folder = tmp_path_factory.mktemp("cold") / "store"
    with machine.use(Machine(store=folder)):
        splits = publish_splits(store.current())
        return Begun(folder, splits, run(splits, make_recipe(epochs=1)))


def take(begun: Begun, opened: Store) -> None:
    """Fill the store with a copy."""
    shutil.copytree(begun.folder, opened.root, dirs_exist_ok=True)


def epochs_in(caplog: pytest.LogCaptureFixture) -> list[int]:
    lines = [record.getMessage() for record in caplog.records]
    return [int(line.split()[1]) for line in lines if line.startswith("epoch ")]


def checkpoints_left(opened: Store) -> list[str]:
    return sorted(path.stem for path in opened.folder(store.CHECKPOINTS).rglob("*.json"))


def test_a_killed_training_goes_on_and_trains_no_epoch_twice(
    killed: Begun, opened_store: Store, recipe: Recipe, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    take(killed, opened_store)
    finished = int(checkpoints_left(opened_store)[-1].removeprefix("epoch-"))
    # An epoch is told of before its checkpoint is written.
    assert 2 <= finished < EPOCHS

    resumed = run(killed.splits, recipe)

    after = resumed.result.resumed_after_epoch
    assert after == finished
    assert f"training goes on after epoch {after} of {EPOCHS}" in caplog.text
    assert epochs_in(caplog) == list(range(after + 1, EPOCHS + 1))
    assert [epoch.epoch for epoch in resumed.result.history] == list(range(1, EPOCHS + 1))
    assert list(opened_store.folder(store.CHECKPOINTS).iterdir()) == []


def test_checkpoints_that_cannot_be_gone_on_with_are_removed_and_said_so(
    killed: Begun, opened_store: Store, recipe: Recipe, caplog: pytest.LogCaptureFixture
) -> None:
    take(killed, opened_store)
    records = list(opened_store.folder(store.CHECKPOINTS).rglob("*.json"))
    assert records != []
    for record in records:
        record.write_text(record.read_text().replace('"CPU"', '"NVIDIA H200"'))

    model = run(killed.splits, recipe)

    assert model.result.resumed_after_epoch is None
    assert "belong to another training: device differ" in caplog.text
    assert "the training begins anew" in caplog.text


def test_the_sections_limit_without_progress_ends_the_training(
    splits: Splits, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "cnn_model"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(child, "ROOT", tmp_path)
    with pytest.raises(ChildStalledError, match="`cnn_model train` made no progress for its limit of 3 s"):
        run(splits, recipe, stall_minutes=0.05)


def test_the_same_training_waits_for_its_turn(
    opened_store: Store, splits: Splits, recipe: Recipe, caplog: pytest.LogCaptureFixture
) -> None:
    settings = machine.current()
    assert settings is not None
    training = checkpoints.name(splits, recipe, 1, None, settings)
    entered = threading.Event()

    def second() -> None:
        with machine.use(settings), checkpoints.kept(training):
            entered.set()

    thread = threading.Thread(target=second)
    with checkpoints.kept(training) as folder:
        thread.start()
        deadline = time.monotonic() + 20
        while "Waiting for the same training" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "Waiting for the same training to end in process " in caplog.text
        assert not entered.is_set()
        assert folder.is_dir()
    thread.join(20)
    assert entered.is_set()


def test_a_start_gives_its_weights_and_stands_in_what_the_step_gives(cold: Begun, opened_store: Store) -> None:
    assert cold.model is not None
    take(cold, opened_store)
    warm = train.fn(cold.splits, make_recipe(epochs=1), 1, TrainConfig(), cold.model.artifact)
    assert (cold.model.start, warm.start) == (None, cold.model.artifact)
    # With its second epoch behind it, the loss over the training images is lower than in the first.
    assert warm.result.history[0].train.loss < cold.model.result.history[0].train.loss


def test_a_start_of_another_architecture_is_refused(cold: Begun, opened_store: Store) -> None:
    assert cold.model is not None
    take(cold, opened_store)
    recipe = make_recipe(epochs=1)
    other = recipe.architecture.model_copy(update={"dense_units": 9})
    with pytest.raises(ChildRefusedError, match="expected the recipe's architecture"):
        train.fn(cold.splits, recipe.model_copy(update={"architecture": other}), 1, TrainConfig(), cold.model.artifact)


def test_what_a_state_depends_on_names_its_folder(splits: Splits, recipe: Recipe, tmp_path: Path) -> None:
    here = Machine(store=tmp_path)
    names = {
        checkpoints.name(splits, recipe, 1, None, here),
        checkpoints.name(splits, recipe, 2, None, here),
        checkpoints.name(splits, recipe.model_copy(update={"batch_size": 9}), 1, None, here),
        checkpoints.name(splits, recipe, 1, splits.artifact, here),
        checkpoints.name(splits, recipe, 1, None, here.model_copy(update={"backend": "jax"})),
        checkpoints.name(splits, recipe, 1, None, here.model_copy(update={"device": "gpu"})),
    }
    assert len(names) == 6
    elsewhere = Machine(store=tmp_path / "moved", tracking_uri="http://mlflow")
    assert checkpoints.name(splits, recipe, 1, None, elsewhere) in names
