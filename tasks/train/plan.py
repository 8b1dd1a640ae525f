"""Turns the section into what is trained: a whole recipe. Called at the flow's door; `seeds` chooses the seed."""

from cnn_model.recipe import Recipe
from cnn_model.recipes.catalogue import find
from tasks import child, machine
from tasks.train.config import TrainConfig

PREFLIGHT_SECONDS = 120.0


def resolve_recipe(config: TrainConfig) -> Recipe:
    """The recipe by its name, with the epochs that the section asks for."""
    recipe = find(config.recipe)
    return recipe if config.epochs is None else recipe.model_copy(update={"epochs": config.epochs})


def check_device() -> None:
    """See in seconds, before any step, that the wanted device is there and the framework loads.

    Only where that is in doubt: TensorFlow on a CPU needs no child that is asked.

    Raises:
        DeviceError: if a GPU is wanted and there is none.
        ChildError: if the framework does not load.
    """
    settings = machine.current()
    if settings is None:
        return
    if settings.device == "gpu" or settings.backend != "tensorflow" or settings.num_devices > 1:
        arguments = ["--device", settings.device, "--num-devices", str(settings.num_devices)]
        child.run("devices", arguments, timeout_seconds=PREFLIGHT_SECONDS)
