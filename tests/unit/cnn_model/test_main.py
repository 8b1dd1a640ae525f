"""The command: what it prints, how it fails, and that it loads no more than the cache key of a step sees."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_model import metrics
from cnn_model.__main__ import main
from cnn_model.events import write_text
from cnn_model.results import EvaluationResult, RobustnessResult
from tasks.policies import BACKENDS, reached_modules
from tests.scoring import noise, pngs, read_rows, write_folder

DISPATCH = {"cnn_model", "cnn_model.__main__", "cnn_model.events"}
DECLARATIONS = ("cnn_model.recipes",)
"""Recipes reach a step by value."""

WITH_MODULES = """
import json, sys
from cnn_model.__main__ import main
code = main(sys.argv[1:])
print(json.dumps({"event": "modules", "modules": [name for name in sys.modules if name.startswith("cnn_model")]}))
sys.exit(code)
"""


def _child(*arguments: str) -> list[dict[str, Any]]:
    """Run the command as the pipeline does, with standard input open, and list what it had imported last."""
    command = [sys.executable, "-c", WITH_MODULES, *arguments, "--events"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = process.stdout.read().splitlines()
        errors = process.stderr.read().decode()
    assert process.returncode == 0, errors
    return [json.loads(line) for line in lines]


def _missing(events: list[dict[str, Any]], root: str) -> set[str]:
    """First-party modules that ran but take no part in the step's cache key."""
    loaded = {name for name in events[-1]["modules"] if not name.startswith(DECLARATIONS)}
    return loaded - DISPATCH - set(reached_modules((root, *BACKENDS)))


@pytest.fixture(scope="module")
def trained(splits_folder: Path, make_recipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    output = tmp_path_factory.mktemp("trained")
    recipe_file = output / "recipe.json"
    recipe_file.write_text(make_recipe().model_dump_json())
    events = _child("train", "--splits", str(splits_folder), "--output", str(output), "--recipe", str(recipe_file))
    return output, events


def test_train_tells_of_epochs_and_gives_a_result(trained: tuple[Path, list[Any]]):
    output, events = trained

    assert [event["event"] for event in events if event["event"] != "progress"] == [
        "epoch",
        "epoch",
        "result",
        "modules",
    ]
    assert json.loads((output / "training.json").read_text()) == {k: v for k, v in events[-2].items() if k != "event"}


# Keras 3.15 copies TensorFlow's variables in a way that NumPy 2 frowns upon.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_a_training_goes_on_from_its_checkpoints(splits_folder: Path, make_recipe, tmp_path: Path, capsys):
    recipe_file = tmp_path / "recipe.json"
    recipe_file.write_text(make_recipe().model_dump_json())
    line = ["train", "--splits", str(splits_folder), "--output", str(tmp_path), "--recipe", str(recipe_file)]
    assert main([*line, "--checkpoints", str(tmp_path / "checkpoints")]) == 0
    assert "\nepoch 2/2: loss " in capsys.readouterr().out
    (newest,) = (tmp_path / "checkpoints").glob("epoch-0002.npz")
    newest.write_bytes(b"damaged")

    assert main([*line, "--checkpoints", str(tmp_path / "checkpoints")]) == 0

    said = capsys.readouterr()
    assert said.err == "warning: the checkpoint of epoch 2 is damaged; it is left aside\n"
    lines = [line for line in said.out.splitlines() if not line.startswith(" ")]
    assert lines[0] == "goes on after epoch 1 of 2"
    assert re.match(
        r"epoch 2/2: loss \d\.\d+, accuracy 0\.\d+, validation loss \d\.\d+, accuracy \d\.\d+, \d+\.\d s, \d+ images/s",
        lines[1],
    )
    assert "resumed_after_epoch: 1" in lines


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_the_weights_of_a_model_are_a_start(trained: tuple[Path, list[Any]], splits_folder: Path, tmp_path: Path):
    recipe_file = str(trained[0] / "recipe.json")
    line = ["train", "--splits", str(splits_folder), "--recipe", recipe_file, "--epochs", "1"]
    losses = []
    for start in (["--start", str(trained[0] / "model.keras")], []):
        assert main([*line, "--output", str(tmp_path), *start]) == 0
        losses.append(json.loads((tmp_path / "training.json").read_text())["history"][0]["train"]["loss"])

    warm, cold = losses
    assert warm < cold


def test_progress_within_an_epoch_is_a_line(capsys):
    write_text(
        {"event": "progress", "done": 2.35, "total": 8, "loss": 0.9, "accuracy": 0.68, "images_per_second": 1743.2}
    )

    assert capsys.readouterr().out == "  2 of 8 epochs and 35 %: loss 0.900, accuracy 0.680, 1743 images/s\n"


def test_every_module_that_trains_takes_part_in_the_cache_key(trained: tuple[Path, list[Any]]):
    assert _missing(trained[1], "cnn_model.training") == set()


def test_evaluate_writes_figures_and_every_module_takes_part_in_the_cache_key(
    trained: tuple[Path, list[Any]], splits_folder: Path, tmp_path: Path
):
    images, labels = splits_folder / "validation_images.npy", splits_folder / "validation_labels.npy"
    model = trained[0] / "model.keras"

    arguments = {"--model": model, "--images": images, "--labels": labels, "--output": tmp_path}
    events = _child("evaluate", *(str(part) for pair in arguments.items() for part in pair), f"--also=other={images}")

    result = EvaluationResult.model_validate_json((tmp_path / "evaluation.json").read_bytes())
    assert events[-2] == {"event": "result", **result.model_dump(mode="json")}
    probabilities = np.load(tmp_path / "probabilities.npy")
    assert (probabilities.shape, probabilities.dtype) == ((40, 10), np.float32)
    np.testing.assert_array_equal(np.load(tmp_path / "other_probabilities.npy"), probabilities)
    assert result.accuracy.value == np.mean(probabilities.argmax(axis=1) == np.load(labels))
    assert _missing(events, "cnn_model.evaluation") == set()


def test_robustness_writes_what_was_recognised_and_every_module_takes_part_in_the_cache_key(
    trained: tuple[Path, list[Any]], splits_folder: Path, tmp_path: Path
):
    files = {"model": trained[0] / "model.keras", "output": tmp_path}
    files |= {name: splits_folder / f"validation_{name}.npy" for name in ("images", "labels")}
    events = _child("robustness", *(f"--{name}={file}" for name, file in files.items()), "--num-images=20")

    result = RobustnessResult.model_validate_json((tmp_path / "robustness.json").read_bytes())
    assert events[-2] == {"event": "result", **result.model_dump(mode="json")}
    assert np.load(tmp_path / "correct.npy").mean() == pytest.approx(result.mean_accuracy.value)
    assert _missing(events, "cnn_model.robustness") == set()


def test_score_writes_parts_and_every_module_takes_part_in_the_key_of_a_scoring(
    trained: tuple[Path, list[Any]], tmp_path: Path
):
    images = write_folder(tmp_path / "images", pngs(noise(3)))
    arguments = {"--model": trained[0] / "model.keras", "--images": images, "--output": tmp_path / "output"}
    events = _child("score", *(str(part) for pair in arguments.items() for part in pair), "--batch-size", "2")
    assert [row["path"] for row in read_rows(tmp_path / "output")] == ["a/0000.png", "a/0002.png", "b/0001.png"]
    assert (events[-2]["event"], events[-2]["num_scored"], events[-2]["device"]) == ("result", 3, "CPU")
    assert _missing(events, "cnn_model.scoring") == set()


def test_a_scoring_on_its_way_is_a_line(capsys):
    write_text({"event": "device", "device": "CPU", "kind": "cpu"})
    write_text({"event": "scored", "images": 12500, "images_per_second": 1743.2})

    assert capsys.readouterr().out == "on CPU\n  12,500 images, 1743 images/s\n"


def test_the_child_ends_when_its_parent_is_gone(splits_folder: Path, tmp_path: Path):
    command = [sys.executable, "-m", "cnn_model", "train", "--splits", str(splits_folder), "--output", str(tmp_path)]
    with subprocess.Popen(
        [*command, "--epochs", "10000", "--events"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        process.stdin.close()

        assert process.wait(timeout=30) == 1
    assert not (tmp_path / "model.keras").exists()


def _error(arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    # In this process: nothing may watch, let alone end, the test's own standard input.
    monkeypatch.setattr("cnn_model.events.end_with_parent", lambda: None)
    assert main([*arguments, "--events"]) == 1
    event: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert event.pop("event") == "error"
    return event


def test_missing_splits_are_bad_data(tmp_path: Path, capsys, monkeypatch):
    error = _error(["train", "--splits", str(tmp_path), "--output", str(tmp_path)], capsys, monkeypatch)

    assert error["kind"] == "bad_data"
    assert "train_images.npy cannot be read" in error["message"]


@pytest.mark.parametrize("options", [["--recipe", "slow"], ["--epochs", "0"], ["--recipe", "missing.json"]])
def test_a_recipe_that_cannot_be_right_is_a_bad_request(options: list[str], tmp_path: Path, capsys, monkeypatch):
    error = _error(["train", "--splits", str(tmp_path), "--output", str(tmp_path), *options], capsys, monkeypatch)

    assert error["kind"] == "bad_request"
    assert "expected" in error["message"]


def test_a_wanted_gpu_that_is_not_there_is_an_error(capsys, monkeypatch):
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: [])

    error = _error(["devices", "--device", "gpu"], capsys, monkeypatch)

    assert error["kind"] == "no_device"
    assert "ask for the device `auto` or `cpu`" in error["message"]


def test_exhausted_memory_is_told_apart(tmp_path: Path, splits_folder: Path, capsys, monkeypatch):
    def exhaust(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("cnn_model.training.run", exhaust)

    error = _error(["train", "--splits", str(splits_folder), "--output", str(tmp_path)], capsys, monkeypatch)

    assert error["kind"] == "out_of_memory"


def test_a_bug_is_an_event_and_keeps_its_traceback(tmp_path: Path, splits_folder: Path, monkeypatch, capsys):
    def fail(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("cnn_model.training.run", fail)
    monkeypatch.setattr("cnn_model.events.end_with_parent", lambda: None)

    assert main(["train", "--splits", str(splits_folder), "--output", str(tmp_path), "--events"]) == 1
    output = capsys.readouterr()
    event = json.loads(output.out.splitlines()[-1])
    assert event == {"event": "error", "kind": "unexpected", "message": "ZeroDivisionError: a bug"}
    assert "Traceback" in output.err


def test_evaluation_names_the_classes_that_it_is_given():
    labels = np.arange(20, dtype=np.uint8) % 10
    probabilities = np.eye(10, dtype=np.float32)[(labels + (np.arange(20) == 0)) % 10]
    names = tuple("abcdefghij")

    result = metrics.evaluate(probabilities, labels, names)

    assert tuple(item.class_name for item in result.per_class) == names
    assert [(worst.true_class, worst.predicted_class) for worst in result.worst_confusions] == [("a", "b")]


def test_a_person_reads_plain_lines(capsys):
    assert main(["devices", "--device", "cpu"]) == 0

    assert "device: CPU" in capsys.readouterr().out
