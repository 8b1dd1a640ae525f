"""Trains the model of a recipe and writes the final model file.

`train` is the library's function, `run` the step: splits from a folder, `model.keras` and `training.json` into one.
"""

import hashlib
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np

from cnn_model import architectures
from cnn_model.calibration import fit_temperature
from cnn_model.checkpoints import Checkpoints, Identity, data_sha256
from cnn_model.data import Split, Splits, concatenate, load_splits
from cnn_model.devices import Device, Wanted, select
from cnn_model.epochs import EpochLoop, OnEvent
from cnn_model.failures import BadRequestError
from cnn_model.inference import assemble, load, network_of, predict, without_times
from cnn_model.memory import peak_bytes
from cnn_model.recipe import Recipe
from cnn_model.results import EpochMetrics, TrainingResult

MODEL_FILE = "model.keras"
RESULT_FILE = "training.json"

NUMERIC_LIBRARIES = ("keras", "numpy", "scipy")


@dataclass(frozen=True)
class Trained:
    """A trained model and how it came to be.

    Attributes:
        model: The final model: uint8 images in, calibrated probabilities out.
        best_epoch: The epoch whose weights it has, counted from 1.
        resumed_after_epoch: Where checkpoints had come to; None without any.
        precision: What layers computed in while training; the model computes in float32.
    """

    model: keras.Model
    temperature: float
    history: tuple[EpochMetrics, ...]
    best_epoch: int
    resumed_after_epoch: int | None
    precision: str
    num_train_images: int


def run(
    splits_folder: Path,
    output: Path,
    recipe: Recipe,
    seed: int,
    wanted: Wanted,
    on_event: OnEvent,
    *,
    checkpoints_folder: Path | None = None,
    start_file: Path | None = None,
    num_devices: int = 1,
) -> TrainingResult:
    """Train on the splits of a folder; write the final model and its figures.

    Args:
        splits_folder: Holds `{train,validation,calibration}_{images,labels}.npy`.
        output: A folder that exists; gets `model.keras` and `training.json`.
        recipe: How to train.
        seed: Of initial weights, order and augmentation.
        wanted: The device that trains.
        on_event: Called with each epoch's figures, and with progress between.
        checkpoints_folder: Where the state is kept after each epoch, and gone on from; None keeps nothing.
        start_file: A final model whose weights are the start; None starts with fresh ones.
        num_devices: Devices that share each batch; more than one with JAX alone.

    Raises:
        BadDataError: if the splits cannot be used.
        BadRequestError: if the checkpoints belong to another training, or the start to another network.
        DivergedError: if the loss becomes NaN or infinite.
        NoDeviceError: if the wanted device is not there.
    """
    device = select(wanted, num_devices)
    start = time.monotonic()
    trained = train(
        load_splits(splits_folder),
        recipe,
        seed,
        device,
        on_event,
        checkpoints_folder=checkpoints_folder,
        start=None if start_file is None else load(start_file),
    )
    trained.model.save(output / MODEL_FILE)
    without_times(output / MODEL_FILE)
    result = TrainingResult(
        recipe=recipe.name,
        seed=seed,
        model_sha256=hashlib.sha256((output / MODEL_FILE).read_bytes()).hexdigest(),
        num_parameters=trained.model.count_params(),
        history=trained.history,
        best_epoch=trained.best_epoch,
        resumed_after_epoch=trained.resumed_after_epoch,
        temperature=trained.temperature,
        num_train_images=trained.num_train_images,
        seconds=time.monotonic() - start,
        peak_memory_bytes=peak_bytes(),
        device=_called(device),
        backend=keras.backend.backend(),
        precision=trained.precision,
        versions=_versions(),
    )
    (output / RESULT_FILE).write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return result


def train(
    splits: Splits,
    recipe: Recipe,
    seed: int,
    device: Device,
    on_event: OnEvent = lambda event: None,
    *,
    checkpoints_folder: Path | None = None,
    start: keras.Model | None = None,
) -> Trained:
    """Train a model. Sets the global random seed.

    Args:
        splits: What to train on, choose the epoch by and fit the temperature to.
        recipe: How to train.
        seed: Of initial weights, order and augmentation.
        device: Given by `devices.select`.
        on_event: Called with each epoch's figures, and with progress between.
        checkpoints_folder: Where the state is kept after each epoch, and gone on from; None keeps nothing.
        start: A final model whose weights are the start; None starts with fresh ones.

    Raises:
        BadRequestError: if the checkpoints belong to another training, the start to another network, or batches
            cannot be shared evenly.
        DivergedError: if the loss becomes NaN or infinite.
    """
    if min(recipe.batch_size, len(splits.train)) % device.count:
        raise BadRequestError(
            f"batches of {recipe.batch_size} images cannot be shared by {device.count} devices; expected a multiple; "
            "choose another number of devices"
        )
    keras.utils.set_random_seed(seed)
    split, validation, calibration = splits.train, splits.validation, splits.calibration
    if recipe.train_on_all:
        split = concatenate((split, validation, calibration))
        validation = calibration = Split(split.images[:0], split.labels[:0])
    precision = device.precision(recipe.precision)
    network = architectures.build(
        recipe.architecture, split.images, "mixed_bfloat16" if precision == "bfloat16" else "float32"
    )
    if start is not None:
        _copy_weights(network_of(start), network)
    checkpoints = None
    if checkpoints_folder is not None:
        identity = _identity(recipe, seed, split, start, device, precision)
        checkpoints = Checkpoints(checkpoints_folder, identity)
    loop = EpochLoop(network, recipe, seed, split, validation, device, on_event)
    resumed_after = loop.run(checkpoints)
    if precision != "float32":
        network = architectures.in_float32(network)
    temperature = _temperature(assemble(network, recipe, 1.0), calibration)
    return Trained(
        model=assemble(network, recipe, temperature),
        temperature=temperature,
        history=loop.progress.history,
        best_epoch=loop.progress.best_epoch or loop.progress.num_epochs,
        resumed_after_epoch=resumed_after,
        precision=precision,
        num_train_images=len(split),
    )


def _copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Give one network's weights to another of the same architecture.

    Raises:
        BadRequestError: if it is of another.
    """
    theirs, ours = source.get_weights(), target.get_weights()
    if [weights.shape for weights in theirs] != [weights.shape for weights in ours]:
        raise BadRequestError(
            f"the start is a network of {source.count_params()} parameters; expected the recipe's architecture, of "
            f"{target.count_params()}; start from a model of the same recipe, or with fresh weights"
        )
    target.set_weights(theirs)


def _temperature(model: keras.Model, calibration: Split) -> float:
    """The temperature that fits the calibration split best; the logarithm of a softmax has its logits' differences."""
    probabilities = predict(model, calibration.images)
    return fit_temperature(np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)), calibration.labels)


def _identity(
    recipe: Recipe, seed: int, split: Split, start: keras.Model | None, device: Device, precision: str
) -> Identity:
    return Identity(
        recipe=recipe.model_dump_json(),
        seed=seed,
        data_sha256=data_sha256(split.images, split.labels),
        start_sha256=None if start is None else data_sha256(*start.get_weights()),
        backend=keras.backend.backend(),
        device=_called(device),
        precision=precision,
        versions=_versions(),
    )


def _called(device: Device) -> str:
    return device.name if device.count == 1 else f"{device.count} x {device.name}"


def _versions() -> dict[str, str]:
    """Of Python and of the libraries that computed: TensorFlow is not asked for where JAX does."""
    libraries = (keras.backend.backend(), *NUMERIC_LIBRARIES)
    return {"python": platform.python_version(), **{name: version(name) for name in libraries}}
