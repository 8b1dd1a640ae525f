"""Scores a final model on one set of images: probabilities and figures into a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from cnn_model import metrics
from cnn_model.class_names import CLASS_NAMES
from cnn_model.data import load_images, load_split
from cnn_model.devices import Wanted, select
from cnn_model.failures import BadDataError
from cnn_model.inference import load, predict
from cnn_model.results import EvaluationResult

PROBABILITIES_FILE = "probabilities.npy"
RESULT_FILE = "evaluation.json"


def run(
    model_file: Path,
    images_file: Path,
    labels_file: Path,
    output: Path,
    batch_size: int,
    wanted: Wanted,
    class_names: Sequence[str] = CLASS_NAMES,
    also: Mapping[str, Path] = MappingProxyType({}),
) -> EvaluationResult:
    """Score a model; write `probabilities.npy` and `evaluation.json`.

    Args:
        model_file: A final model as training writes it.
        images_file: .npy, shape (num_images, 32, 32, 3), dtype=uint8.
        labels_file: .npy, shape (num_images,), dtype=uint8, in the same order.
        output: A folder that exists.
        batch_size: Images scored at once.
        wanted: The device that scores.
        class_names: Names of the labels, in their order.
        also: Further files of images by a name, of which the probabilities are wanted and no figures; they go to
            `NAME_probabilities.npy`.

    Raises:
        BadDataError: if the arrays cannot be used.
        BadRequestError: if the model cannot be loaded.
        NoDeviceError: if the wanted device is not there.
    """
    select(wanted)
    split = load_split(images_file, labels_file)
    if len(split) == 0:
        raise BadDataError(f"{images_file} has no image; expected one or more; name the file with the test images")
    model = load(model_file)
    probabilities = predict(model, split.images, batch_size)
    np.save(output / PROBABILITIES_FILE, probabilities)
    for name, file in also.items():
        np.save(output / f"{name}_{PROBABILITIES_FILE}", predict(model, load_images(file), batch_size))
    result = metrics.evaluate(probabilities, np.asarray(split.labels), class_names)
    (output / RESULT_FILE).write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return result
