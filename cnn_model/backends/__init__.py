"""The two frameworks that Keras runs on here; the only modules that import one, each with the same functions."""

import importlib
from types import ModuleType

import keras

from cnn_model.failures import BadRequestError

NAMES = ("tensorflow", "jax")


def current() -> ModuleType:
    """The module of the backend that Keras was started with (KERAS_BACKEND).

    Raises:
        BadRequestError: if it is another one.
    """
    name = keras.backend.backend()
    if name not in NAMES:
        raise BadRequestError(f"Keras runs on {name}; expected one of {', '.join(NAMES)}; set KERAS_BACKEND")
    return importlib.import_module(f"cnn_model.backends.{name}")
