"""The benchmark's commands on tiny arrays: no figure of theirs means anything here."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest

from benchmarks import machine, training, trial
from benchmarks.tables import times_as_long

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 images for training and 100 for testing, tinted noise."""
    folder = tmp_path_factory.mktemp("arrays")
    rng = np.random.default_rng(0)
    tints = rng.integers(40, 216, size=(10, 1, 1, 3))
    for split, size in (("train", 500), ("test", 100)):
        labels = (np.arange(size) % 10).astype(np.uint8)
        noisy = tints[labels] + rng.normal(0, 25, size=(size, 32, 32, 3))
        np.save(folder / f"{split}_images.npy", np.clip(noisy, 0, 255).astype(np.uint8))
        np.save(folder / f"{split}_labels.npy", labels)
    return folder


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_trial_of_a_recipe_prints_what_the_tables_need(
    arrays: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["trial", "ours", "--arrays", str(arrays), "--seed", "3", "--epochs", "2"])

    assert trial.main() == 0

    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [figures[name] for name in ("kind", "seed", "recipe", "epochs")] == ["ours", 3, "fast", 2]
    first, second = figures["epoch_seconds"]
    assert figures["compile_seconds"] == pytest.approx(max(0.0, first - second))
    assert figures["seconds_without_compiling"] == pytest.approx(figures["seconds"] - figures["compile_seconds"])
    for name in ("accuracy", "accuracy_of_one_view"):
        assert 0 <= figures[name] <= 1
    assert figures["peak_memory_bytes"] > 2**27
    assert figures["operations_per_second"] > 0
    assert (figures["gpu_peak_memory_bytes"] is None) is (figures["device"] == "CPU")
    alike = [figures, {**figures, "seed": 4}]
    assert times_as_long(alike, alike) == {"training": 1.0, "epoch": 1.0}


def test_a_trial_says_what_keras_computes_on(
    arrays: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["trial", "device", "--arrays", str(arrays)])

    assert trial.main() == 0

    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["backend"] == keras.backend.backend()
    assert (figures["device_kind"] == "cpu") is (figures["device"] == "CPU")


def test_a_trial_of_matrices_gives_a_rate_in_each_precision(
    arrays: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(trial, "MATRIX_SIDE", 64)
    monkeypatch.setattr(sys, "argv", ["trial", "matrices", "--arrays", str(arrays)])

    assert trial.main() == 0

    rates = json.loads(capsys.readouterr().out.splitlines()[-1])["operations_per_second"]
    assert set(rates) == {"float32", "bfloat16"}
    assert all(rate > 0 for rate in rates.values())


def test_a_failed_trial_says_what_it_printed():
    failed = subprocess.CompletedProcess(["python", "-m", "benchmarks.trial"], 1, "", "train_images.npy is missing\n")

    with pytest.raises(RuntimeError, match=r"(?s)-m benchmarks.trial failed:.*train_images.npy is missing"):
        training._figures(failed, "ours")


def test_the_benchmark_itself_loads_no_framework_and_nothing_of_the_pipeline():
    script = (
        "import json, sys, benchmarks.training;print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )

    loaded = set(json.loads(_python("-c", script).stdout))

    assert not loaded & {"keras", "tensorflow", "jax", "torch", "prefect", "mlflow", "great_expectations", "tasks"}


def test_libraries_that_are_not_installed_have_no_version():
    assert set(machine.installed("numpy", "no-such-library")) == {"numpy"}


@pytest.mark.skipif(find_spec("torch") is not None, reason="PyTorch is installed here")
def test_without_torch_the_reference_says_so_in_a_line(arrays: Path):
    done = _python("-m", "benchmarks.torch_reference", "--arrays", str(arrays), "--seed", "1")

    assert done.returncode == machine.UNAVAILABLE
    assert done.stderr.startswith("PyTorch is not installed here; the reference needs it")
    assert done.stderr.count("\n") == 1
    assert training._torch_trial(arrays, 1) is None
