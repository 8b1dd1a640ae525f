"""How a model does on corrupted test images: a class-balanced sample, corrupted each way, recognised or not.

It is the trained network that is asked, with one view of each image. The final model may average over six views, and
60,000 corrupted images would take it minutes; docs/robustness.md has the figures of both. The temperature changes no
prediction.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from cnn_model import corruptions, paired
from cnn_model.data import Images, Labels, load_split
from cnn_model.devices import Wanted, select
from cnn_model.failures import BadDataError
from cnn_model.inference import load, network_of, predictor
from cnn_model.results import CorruptionScore, RobustnessResult

CORRECT_FILE = "correct.npy"
POSITIONS_FILE = "positions.npy"
RESULT_FILE = "robustness.json"

SEED = 20190328
"""Of sample and corruptions: the same for all models, or they could not be compared."""

NUM_RESAMPLES = 2000


def run(
    model_file: Path,
    images_file: Path,
    labels_file: Path,
    output: Path,
    num_images: int,
    batch_size: int,
    wanted: Wanted,
) -> RobustnessResult:
    """Score a model's network on corrupted images; write `correct.npy`, `positions.npy` and `robustness.json`.

    `correct.npy` has the shape (num_corruptions, 3, num_images), dtype=bool; `positions.npy` has the sample's places
    among the images, dtype=int64, ascending.

    Args:
        model_file: A final model as training writes it.
        images_file: .npy, shape (num_images, 32, 32, 3), dtype=uint8.
        labels_file: .npy, shape (num_images,), dtype=uint8, in the same order.
        output: A folder that exists.
        num_images: In the sample; all, where there are fewer.
        batch_size: Images scored at once.
        wanted: The device that scores.

    Raises:
        BadDataError: if the arrays cannot be used.
        BadRequestError: if the model cannot be loaded, or is not one that training wrote.
        NoDeviceError: if the wanted device is not there.
    """
    select(wanted)
    split = load_split(images_file, labels_file)
    if len(split) == 0:
        raise BadDataError(f"{images_file} has no image; expected one or more; name the file with the test images")
    positions = sample(np.asarray(split.labels), num_images, SEED)
    images, labels = np.asarray(split.images[positions]), np.asarray(split.labels[positions])
    ask = predictor(network_of(load(model_file)), batch_size)

    def recognised(shown: Images) -> npt.NDArray[np.bool_]:
        # Logits or probabilities: the largest is the same.
        return np.asarray(ask(shown).argmax(axis=1) == labels)

    clean = recognised(images)
    correct = np.stack(
        [
            [recognised(corruptions.corrupt(images, name, severity, SEED)) for severity in corruptions.SEVERITIES]
            for name in corruptions.NAMES
        ]
    )
    np.save(output / POSITIONS_FILE, positions)
    np.save(output / CORRECT_FILE, correct)
    result = figures(clean, correct)
    (output / RESULT_FILE).write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return result


def sample(labels: Labels, num_images: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw images, of each class as many as of any other as far as it has them.

    Args:
        labels: ndarray of shape (num_labels,), dtype=uint8.
        num_images: At least 1; all are taken where there are fewer.
        seed: Of the draw.

    Returns:
        Their places, ascending.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    turns = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        turns[members] = np.arange(len(members))
    # The classes take turns: the first of each, the second of each, and so on.
    chosen: npt.NDArray[np.int64] = np.sort(order[np.argsort(turns[order], kind="stable")][:num_images])
    return chosen


def figures(clean: npt.NDArray[np.bool_], correct: npt.NDArray[np.bool_]) -> RobustnessResult:
    """Sum up which images were recognised.

    Args:
        clean: As they are, ndarray of shape (num_images,).
        correct: Corrupted, ndarray of shape (num_corruptions, 3, num_images), in the order of `corruptions.NAMES`.
    """
    return RobustnessResult(
        num_images=len(clean),
        clean_accuracy=float(clean.mean()),
        mean_accuracy=paired.mean_interval(shares(correct), NUM_RESAMPLES),
        scores=tuple(
            CorruptionScore(corruption=name, severity=severity, accuracy=float(accuracy))
            for name, row in zip(corruptions.NAMES, correct.mean(axis=-1), strict=True)
            for severity, accuracy in zip(corruptions.SEVERITIES, row, strict=True)
        ),
    )


def shares(correct: npt.NDArray[np.bool_]) -> paired.Floats:
    """In how many of its corrupted forms each image was recognised, 0 to 1; shape (num_images,)."""
    given: paired.Floats = correct.mean(axis=(0, 1), dtype=np.float64)
    return given
