"""Assembles the model that is evaluated and served: uint8 images in, calibrated probabilities out.

Everything between is inside, in built-in Keras layers and operations, so that a `.keras` file loads in safe mode and
needs no code of this project.
"""

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from cnn_model import backends
from cnn_model.data import IMAGE_SHAPE, Images
from cnn_model.failures import BadRequestError
from cnn_model.recipe import Recipe

BATCH_SIZE = 500
"""Images scored at once; memory stays small and the convolutions are well fed."""

NETWORK = "network"
"""The layer of a final model that is the trained network."""


def assemble(network: keras.Model, recipe: Recipe, temperature: float) -> keras.Model:
    """The final model: the views of an image, the network's logits of each, their mean, softmax over the temperature.

    The given model shares the network's weights.
    """
    network = keras.Model(network.input, network.output, name=NETWORK)
    images = keras.Input(IMAGE_SHAPE, dtype="uint8", name="images")
    logits = [_mean([_logits(network(view), recipe) for view in views]) for views in _views(images, recipe)]
    scaled = layers.Rescaling(1 / temperature, name="temperature")(_mean(logits))
    return keras.Model(images, layers.Softmax(name="probabilities")(scaled), name="final")


def network_of(final: keras.Model) -> keras.Model:
    """The trained network within a final model: one view of each image in, logits or probabilities out.

    Raises:
        BadRequestError: if the model has none.
    """
    if NETWORK not in (layer.name for layer in final.layers):
        names = ", ".join(layer.name for layer in final.layers)
        raise BadRequestError(
            f"the model has the layers {names}; expected one that is called {NETWORK!r}; name the model.keras that "
            "training wrote"
        )
    return final.get_layer(NETWORK)


def load(file: Path) -> keras.Model:
    """Load a final model in safe mode: nothing in the file is executed.

    Raises:
        BadRequestError: if it is no `.keras` file, or one that needs foreign code.
    """
    if file.suffix != ".keras" or not file.is_file():
        raise BadRequestError(f"{file} is no .keras file; expected the model.keras that training wrote; name that one")
    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError) as error:
        cause = str(error).partition("\n")[0]
        raise BadRequestError(
            f"{file} cannot be loaded ({cause}); expected a model of built-in layers; train it again"
        ) from error


def predict(model: keras.Model, images: Images, batch_size: int = BATCH_SIZE) -> npt.NDArray[np.float32]:
    """What the model gives for all images, in their order.

    Args:
        model: Takes uint8 images.
        images: ndarray of shape (num_images, 32, 32, 3), dtype=uint8.
        batch_size: Images at once.
    """
    return predictor(model, batch_size)(images)


def predictor(model: keras.Model, batch_size: int = BATCH_SIZE) -> Callable[[Images], npt.NDArray[np.float32]]:
    """The same as a function of the images, compiled once for many calls.

    Args:
        model: Takes uint8 images.
        batch_size: Images at once.
    """
    infer = backends.current().compile_inference(model)

    def given(images: Images) -> npt.NDArray[np.float32]:
        if len(images) == 0:
            return np.zeros((0, model.output_shape[-1]), np.float32)
        starts = range(0, len(images), batch_size)
        return np.concatenate([infer(np.asarray(images[start : start + batch_size])) for start in starts])

    return given


def without_times(model_file: Path) -> None:
    """Rewrite a `.keras` archive without the times of its making, so that equal models are equal bytes.

    A model is known by its SHA-256: trained again after a damage, from the same data and seed, it must have the same.
    """
    draft = model_file.with_suffix(".draft")
    with zipfile.ZipFile(model_file) as archive, zipfile.ZipFile(draft, "w") as rewritten:
        for name in sorted(archive.namelist()):
            content = archive.read(name)
            if name == "metadata.json":
                content = json.dumps({**json.loads(content), "date_saved": "1980-01-01@00:00:00"}).encode()
            elif name == "config.json":
                content = _renumbered(content.decode()).encode()
            rewritten.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content)
    draft.replace(model_file)


def _views(images: Any, recipe: Recipe) -> list[list[Any]]:
    """Groups of views, each of the same weight: the picture with its mirror image; both, shifted by a pixel.

    Reference: Jordan, arXiv 2404.00498, section 3.5.
    """
    if recipe.views == "one":
        return [[images]]
    if recipe.views == "mirrored":
        return [[images, ops.flip(images, axis=2)]]
    padded = ops.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")
    shifted = [layers.Cropping2D(crop)(padded) for crop in (((0, 2), (0, 2)), ((2, 0), (2, 0)))]
    return [[view for image in group for view in (image, ops.flip(image, axis=2))] for group in ([images], shifted)]


def _logits(outputs: Any, recipe: Recipe) -> Any:
    if recipe.architecture.output == "logits":
        return outputs
    return ops.log(ops.maximum(outputs, keras.config.epsilon()))


def _mean(tensors: list[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else layers.Average()(tensors)


def _renumbered(config: str) -> str:
    """Keras numbers shared objects by their addresses in memory; number them by their first appearance."""
    numbers: dict[str, int] = {}
    return re.sub(
        r'("shared_object_id": )(\d+)', lambda found: f"{found[1]}{numbers.setdefault(found[2], len(numbers))}", config
    )
