"""Finds a recipe by its name. Imports no Keras."""

import importlib
from types import ModuleType

from cnn_model.failures import BadRequestError
from cnn_model.recipe import Recipe

_MODULES = {
    "fast": "fast",
    "sprint": "sprint",
    "accurate": "accurate",
    "regularized": "regularized",
    "tutorial-64-logits": "tutorial_64_logits",
    "tutorial-64-softmax": "tutorial_64_softmax",
    "tutorial-128": "tutorial_128",
}


def names() -> tuple[str, ...]:
    """The names of all recipes, the default first."""
    return tuple(_MODULES)


def find(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        BadRequestError: if there is none.
    """
    recipe = _module(name).RECIPE
    assert isinstance(recipe, Recipe)
    return recipe


def claim(name: str) -> str:
    """The first line of what the recipe's file says of it.

    Raises:
        BadRequestError: if there is no such recipe.
    """
    return (_module(name).__doc__ or "").strip().partition("\n")[0]


def _module(name: str) -> ModuleType:
    if name not in _MODULES:
        raise BadRequestError(f"there is no recipe {name!r}; expected one of {', '.join(_MODULES)}; choose one of them")
    return importlib.import_module(f"cnn_model.recipes.{_MODULES[name]}")
