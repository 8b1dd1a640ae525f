"""Turns the section into what is trained: a whole recipe and a number as seed. Called at the flow's door."""

from datetime import date

from cnn_model.recipe import Recipe
from cnn_model.recipes.catalogue import find
from tasks import child, machine
from tasks.train.config import TrainConfig

PREFLIGHT_SECONDS = 120.0


def resolve_recipe(config: TrainConfig) -> Recipe:
    """The recipe by its name, with the epochs that the section asks for."""
    recipe = find(config.recipe)
    return recipe if config.epochs is None else recipe.model_copy(update={"epochs": config.epochs})


def resolve_seed(config: TrainConfig, scheduled: date) -> int:
    """The seed; `date` gives the scheduled day as a number, such as 20261121.

    A schedule's tick has the same date however late it starts and however often it is tried again, so its cached
    steps are found again.
    """
    return int(scheduled.strftime("%Y%m%d")) if config.seed == "date" else config.seed


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
