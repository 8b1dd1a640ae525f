"""The library on the other backend: its own tests, and the same model."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cnn_model import training
from cnn_model.data import Splits
from cnn_model.devices import Device
from cnn_model.failures import BadRequestError
from cnn_model.inference import predict
from cnn_model.results import TrainingResult

ROOT = Path(__file__).parents[3]
BACKENDS = ("tensorflow", "jax")

PREDICT = """
import sys
from pathlib import Path
import numpy as np
from cnn_model.inference import load, predict
np.save(sys.argv[3], predict(load(Path(sys.argv[1])), np.load(sys.argv[2])))
"""

TRAIN = """
import sys
from pathlib import Path
from cnn_model import training
from cnn_model.recipe import Recipe
splits, recipe, start, output = sys.argv[1:]
training.run(Path(splits), Path(output), Recipe.model_validate_json(recipe), 1, "cpu", print, start_file=Path(start))
"""


@pytest.fixture(scope="module", autouse=True)
def _compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """JAX's processes share what they compile; most of their time goes into that."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
        yield


def _on(backend: str, *arguments: str) -> str:
    """Run Python on a backend; the last line that it wrote."""
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip().rpartition("\n")[2]


@pytest.mark.timeout(900)
def test_training_passes_its_tests_on_jax():
    """And the exact resume; what networks and final models give is compared below."""
    killed = "test_checkpoints.py::test_a_killed_training_ends_with_the_same_bits_in_a_new_process"
    tests = ("test_augmentation.py", "test_optimizers.py", "test_training.py", killed)
    _on("jax", "-m", "pytest", "-q", "-x", *(str(Path(__file__).with_name(name)) for name in tests))


def test_jax_gives_the_same_probabilities(splits: Splits, make_recipe, tmp_path: Path):
    trained = training.train(splits, make_recipe(epochs=1), 1, Device("cpu", "CPU", has_bfloat16=False))
    model, images, given = tmp_path / "model.keras", tmp_path / "images.npy", tmp_path / "given.npy"
    trained.model.save(model)
    np.save(images, splits.validation.images)

    _on("jax", "-c", PREDICT, str(model), str(images), str(given))

    np.testing.assert_allclose(np.load(given), predict(trained.model, splits.validation.images), atol=1e-4)


def test_both_backends_train_alike_from_the_same_start(splits_folder: Path, make_recipe, tmp_path: Path):
    """The same images in the same order, changed in the same way; sums are rounded differently."""
    recipe = make_recipe(epochs=1, lookahead_steps=3, bias_rate=4, flip="alternating")
    (tmp_path / "start").mkdir()
    training.run(splits_folder, tmp_path / "start", recipe, 5, "cpu", lambda event: None)
    start = str(tmp_path / "start" / "model.keras")
    results = []
    for backend in BACKENDS:
        (tmp_path / backend).mkdir()
        _on(backend, "-c", TRAIN, str(splits_folder), recipe.model_dump_json(), start, str(tmp_path / backend))
        content = (tmp_path / backend / "training.json").read_bytes()
        results.append(TrainingResult.model_validate_json(content))

    assert [result.backend for result in results] == list(BACKENDS)
    first, second = (result.history[0].train for result in results)
    assert first.loss == pytest.approx(second.loss, rel=1e-3)
    assert first.accuracy == pytest.approx(second.accuracy, abs=0.01)


SHARE = """
import sys
from pathlib import Path
import numpy as np
from cnn_model import devices, training
from cnn_model.data import load_splits
from cnn_model.recipe import Recipe
device = devices.select("cpu", int(sys.argv[3]))
trained = training.train(load_splits(Path(sys.argv[1])), Recipe.model_validate_json(sys.argv[2]), 1, device)
np.savez(sys.argv[4], *trained.model.get_weights())
variable = trained.model.trainable_variables[0].value
print(len(getattr(variable, "devices", set)()))
"""


def test_devices_that_share_batches_train_as_one_does(
    splits_folder: Path, make_recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Two devices that JAX makes of the CPU; normalisations see the whole batch."""
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    recipe = make_recipe(lookahead_steps=3).model_dump_json()

    used = [
        _on("jax", "-c", SHARE, str(splits_folder), recipe, str(count), str(tmp_path / f"{count}.npz"))
        for count in (1, 2)
    ]

    assert used == ["1", "2"]
    one, two = (np.load(tmp_path / f"{count}.npz") for count in (1, 2))
    for name in one:
        np.testing.assert_allclose(one[name], two[name], atol=2e-3)


@pytest.mark.parametrize(
    ("backend", "count", "message"),
    [("tensorflow", 2, "with TensorFlow Keras 3 trains on one"), ("jax", 9, "9 devices were asked for, and JAX sees")],
)
def test_devices_that_are_not_there_are_refused(backend: str, count: int, message: str):
    command = [sys.executable, "-m", "cnn_model", "devices", "--device", "cpu", "--num-devices", str(count)]

    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "KERAS_BACKEND": backend}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert f"error (no_device): {count} devices were asked for" in done.stderr
    assert message in done.stderr


def test_batches_that_cannot_be_shared_evenly_are_refused(splits: Splits, make_recipe):
    three = Device("gpu", "GPU", has_bfloat16=False, count=3)

    with pytest.raises(BadRequestError, match="batches of 20 images cannot be shared by 3 devices"):
        training.train(splits, make_recipe(batch_size=20), 1, three)
