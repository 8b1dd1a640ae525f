"""Loads the model of a bundle, and sees that it gives the golden probabilities on this host.

Only `model.keras` is ever loaded, from the verified copy, in safe mode, and only if all its layers are Keras's own.
"""

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from cnn_model.bundle import Bundle
from cnn_model.data import Images, load_images
from cnn_model.failures import BadDataError, BadRequestError, BundleError, MismatchError
from cnn_model.golden import largest_difference
from cnn_model.inference import load, predict
from cnn_model.manifest import GOLDEN_IMAGES, GOLDEN_PROBABILITIES, MODEL

_MAX_CONFIG_BYTES = 2**24
"""Of a model's configuration; that of a large network has less than a tenth of it."""

_NO_CLASSES = ("__keras_tensor__", "__tuple__")
"""How Keras writes what a layer is called with."""


@dataclass(frozen=True)
class VerifiedModel:
    """A model that gives what its bundle says, on this host.

    Attributes:
        num_golden_images: On which that was seen.
        largest_difference: Of one of their probabilities.
    """

    model: keras.Model
    num_golden_images: int
    largest_difference: float


def load_verified(bundle: Bundle) -> VerifiedModel:
    """Load the model of an opened bundle. The device is to be selected before.

    Raises:
        BundleError: if the file needs code of its own, or is no Keras model of the manifest's signature.
        MismatchError: if it gives other probabilities for the golden images than were recorded.
    """
    file, manifest = bundle.folder / MODEL, bundle.manifest
    _require_built_in(file)
    try:
        model = load(file)
    except BadRequestError as error:
        raise BundleError(f"{MODEL} of {manifest.title} cannot be used: {error}") from error
    _require_signature(model, bundle)
    images, expected = _golden(bundle)
    difference = largest_difference(expected, predict(model, images))
    if len(images) == 0 or not difference <= manifest.tolerance:
        raise MismatchError(
            f"{manifest.title} gives probabilities on this host that differ by up to {difference:.2g} from those "
            f"recorded for its {len(images)} golden images; expected {manifest.tolerance:g} at most. Do not serve it "
            "here: look at the versions of Keras and its framework beside those in the manifest."
        )
    return VerifiedModel(model, len(images), difference)


def _golden(bundle: Bundle) -> tuple[Images, npt.NDArray[np.float32]]:
    try:
        images = np.array(load_images(bundle.folder / GOLDEN_IMAGES))
        return images, np.load(bundle.folder / GOLDEN_PROBABILITIES, allow_pickle=False)
    except (BadDataError, ValueError, OSError) as error:
        raise BundleError(
            f"{GOLDEN_IMAGES} and {GOLDEN_PROBABILITIES} of {bundle.manifest.title} cannot be used: {error}"
        ) from error


def _require_built_in(file: Path) -> None:
    """See that a `.keras` file names no class but Keras's own: another one would run code of this host.

    Keras itself takes a class that a program has registered, and one that it can import.

    Raises:
        BundleError: if it does, or is no `.keras` file.
    """
    try:
        with zipfile.ZipFile(file) as archive, archive.open("config.json") as packed:
            content = packed.read(_MAX_CONFIG_BYTES + 1)
        if len(content) > _MAX_CONFIG_BYTES:
            raise ValueError(f"config.json has more than {_MAX_CONFIG_BYTES:,} bytes")
        config = json.loads(content)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise BundleError(f"{MODEL} is no Keras archive ({error}); expected what training wrote") from error
    for module, class_name in _classes(config):
        if class_name in _NO_CLASSES:
            continue
        if not (module == "keras" or module.startswith("keras.")) or class_name == "Lambda":
            raise BundleError(
                f"{MODEL} needs {class_name} of {module}; expected Keras's own layers alone, without code. Nothing of "
                "it was loaded; train a model of built-in layers"
            )


def _classes(config: Any) -> Iterator[tuple[str, str]]:
    """Module and name of every class in a model's configuration."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield str(config.get("module")), str(config["class_name"])
        for value in config.values():
            yield from _classes(value)
    elif isinstance(config, list):
        for value in config:
            yield from _classes(value)


def _require_signature(model: keras.Model, bundle: Bundle) -> None:
    signature = bundle.manifest.signature
    found = (keras.backend.standardize_dtype(model.input.dtype), model.input.shape, model.output.shape)
    expected = (signature.input.dtype, signature.input.shape, signature.output.shape)
    if found != expected:
        raise BundleError(f"{MODEL} takes and gives {found}; its manifest says {expected}. Get the bundle again")
