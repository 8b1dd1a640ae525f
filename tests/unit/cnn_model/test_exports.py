"""The command `export` on a model with everything in it, and what it refuses."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from cnn_model import exports
from cnn_model.failures import BadRequestError, MismatchError
from cnn_model.inference import load, predict
from cnn_model.manifest import ExportResult
from tests.bundles import IMAGES, tiny_model
from tests.unit.cnn_model.test_main import _child, _missing


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("exported")
    tiny_model().save(folder / "model.keras")
    np.save(folder / "images.npy", IMAGES)
    arguments = {"--model": folder / "model.keras", "--golden": folder / "images.npy", "--output": folder}
    return folder, _child("export", *(str(part) for pair in arguments.items() for part in pair))


def test_each_export_gives_what_the_model_gives(exported: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, events = exported
    expected = predict(load(folder / "model.keras"), IMAGES)
    np.testing.assert_allclose(np.load(folder / "probabilities.npy"), expected, atol=1e-6)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["probabilities"], {"images": IMAGES})
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    result = ExportResult.model_validate({name: value for name, value in events[-2].items() if name != "event"})
    for check in (result.saved_model, result.onnx):
        assert check.largest_difference <= check.tolerance == exports.TOLERANCE
    assert result.versions["tf2onnx"].startswith("1.")


SERVE = """
import sys
import numpy as np
import tensorflow as tf
served = tf.saved_model.load(sys.argv[1])
images = np.load(sys.argv[2])
for count in (32, 1, 5):
    given = served.signatures["serving_default"](images=tf.constant(images[:count]))["probabilities"].numpy()
    np.testing.assert_allclose(given, np.load(sys.argv[3])[:count], atol=1e-5)
"""


def test_tensorflow_alone_serves_the_saved_model(exported: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, _ = exported
    arguments = [str(folder / name) for name in ("saved_model", "images.npy", "probabilities.npy")]
    done = subprocess.run([sys.executable, "-c", SERVE, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_onnx_names_what_it_takes_and_gives(exported: tuple[Path, list[dict[str, Any]]]) -> None:
    graph = onnx.load(exported[0] / "model.onnx").graph
    found = {
        tensor.name: [dim.dim_param or dim.dim_value for dim in tensor.type.tensor_type.shape.dim]
        for tensor in (*graph.input, *graph.output)
    }
    assert found == {"images": ["num_images", 32, 32, 3], "probabilities": ["num_images", 10]}
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_every_module_that_exports_takes_part_in_the_cache_key(exported: tuple[Path, list[dict[str, Any]]]) -> None:
    assert _missing(exported[1], "cnn_model.exports") == set()


@pytest.mark.parametrize("wrong", [1.001, np.nan])
def test_an_export_that_gives_something_else_is_refused(wrong: float) -> None:
    expected = np.full((32, 10), 0.1, np.float32)
    with pytest.raises(MismatchError, match=r"The ONNX file gives probabilities that differ by up to .*expected 1e-05"):
        exports._check("ONNX file", lambda images: expected[: len(images)] * np.float32(wrong), IMAGES, expected)


def test_an_export_of_a_fixed_number_of_images_is_refused() -> None:
    expected = np.full((32, 10), 0.1, np.float32)
    with pytest.raises(MismatchError, match="SavedModel"):
        exports._check("SavedModel", lambda images: expected, IMAGES, expected)


def test_another_framework_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cnn_model", "export", "--model", "m.keras", "--golden", "g", "--output"]
    done = subprocess.run(
        [*command, str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "expected tensorflow, which writes the exports" in done.stderr


def test_a_model_that_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    (tmp_path / "model.h5").write_bytes(b"")
    with pytest.raises(BadRequestError, match=r"is no \.keras file"):
        exports.run(tmp_path / "model.h5", tmp_path / "images.npy", tmp_path)
