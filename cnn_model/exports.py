"""Exports a final model for serving without Keras, and sees that each export gives what the model gives.

Runs on TensorFlow, whatever trained the model: a SavedModel is TensorFlow's own, and ONNX comes by way of it.
"""

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from cnn_model import backends
from cnn_model.data import Images, load_images
from cnn_model.devices import select
from cnn_model.failures import BadRequestError, MismatchError
from cnn_model.golden import largest_difference
from cnn_model.inference import load, predict
from cnn_model.manifest import ONNX, SAVED_MODEL, ExportCheck, ExportResult, Signature

PROBABILITIES_FILE = "probabilities.npy"

TOLERANCE = 1e-5
"""Of a probability, on one CPU: float32 in another order of sums. Found was 3e-7, with a trained `fast` model."""

LIBRARIES = ("keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime")

Infer = Callable[[Images], npt.NDArray[np.float32]]


def run(model_file: Path, golden_images_file: Path, output: Path) -> ExportResult:
    """Write `saved_model/`, `model.onnx` and the model's own `probabilities.npy` of the golden images.

    Args:
        model_file: A final model as training writes it.
        golden_images_file: .npy, shape (num_images, 32, 32, 3), dtype=uint8.
        output: A folder that exists.

    Raises:
        BadDataError: if the images cannot be used.
        BadRequestError: if the model cannot be loaded, or Keras does not run on TensorFlow.
        MismatchError: if an export gives something else than the model.
    """
    if keras.backend.backend() != "tensorflow":
        raise BadRequestError(
            f"Keras runs on {keras.backend.backend()}; expected tensorflow, which writes the exports; set KERAS_BACKEND"
        )
    select("cpu")
    images = np.array(load_images(golden_images_file))
    model = load(model_file)
    expected = predict(model, images)
    np.save(output / PROBABILITIES_FILE, expected)
    saved_model, onnx = output / SAVED_MODEL, output / ONNX
    # Given a name, as the input has one: SavedModel and ONNX would call it output_0 and Identity.
    named = keras.Model(model.input, {Signature().output.name: model.output})
    named.export(saved_model, format="tf_saved_model", verbose=False)
    named.export(onnx, format="onnx", verbose=False)
    opset = _name_batch(onnx)
    return ExportResult(
        saved_model=_check("SavedModel", backends.current().load_saved_model(saved_model), images, expected),
        onnx=_check("ONNX file", _load_onnx(onnx), images, expected),
        onnx_opset=opset,
        versions={name: version(name) for name in LIBRARIES},
    )


def _check(what: str, infer: Infer, images: Images, expected: npt.NDArray[np.float32]) -> ExportCheck:
    """Compare on all images at once and on one alone: the number of images must be free.

    Raises:
        MismatchError: if the export differs.
    """
    differences = [largest_difference(expected[:count], infer(images[:count])) for count in (len(images), 1)]
    if not max(differences) <= TOLERANCE:
        raise MismatchError(
            f"The {what} gives probabilities that differ by up to {max(differences):.2g} from the model's on "
            f"{len(images)} golden images; expected {TOLERANCE:g} at most. Nothing was handed over; look for a layer "
            "that the export changes."
        )
    return ExportCheck(tolerance=TOLERANCE, largest_difference=max(differences))


def _load_onnx(file: Path) -> Infer:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = Signature()

    def infer(images: Images) -> npt.NDArray[np.float32]:
        (probabilities,) = session.run([names.output.name], {names.input.name: images})
        given: npt.NDArray[np.float32] = probabilities
        return given

    return infer


def _name_batch(file: Path) -> int:
    """Call the free dimension `num_images` in place of a number that the converter drew; the operators' version."""
    import onnx

    model: Any = onnx.load(str(file))
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "num_images"
    onnx.checker.check_model(model)
    onnx.save(model, str(file))
    return next(int(entry.version) for entry in model.opset_import if entry.domain == "")
