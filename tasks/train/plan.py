"""Turns the section into what is trained: a whole recipe. Called at the flow's door; `seeds` chooses the seed."""

import logging
import os
from pathlib import Path

from cnn_model.recipe import Recipe
from cnn_model.recipes.catalogue import find
from tasks import child, machine
from tasks.train.config import TrainConfig

PREFLIGHT_SECONDS = 120.0

NVIDIA_GPU = Path("/dev/nvidia0")
"""There where the driver has found a GPU."""

HIDDEN = ("", "-1")
"""What `CUDA_VISIBLE_DEVICES` is where GPUs are hidden by intent."""

logger = logging.getLogger(__name__)


def resolve_recipe(config: TrainConfig) -> Recipe:
    """The recipe by its name, with the epochs that the section asks for."""
    recipe = find(config.recipe)
    return recipe if config.epochs is None else recipe.model_copy(update={"epochs": config.epochs})


def check_device() -> None:
    """See in seconds, before any step, that the wanted device is there and the framework loads.

    Only where that is in doubt: TensorFlow on a machine without a GPU needs no child that is asked. A GPU that the
    machine has and the framework does not see is warned of, where any device will do.

    Raises:
        DeviceError: if a GPU is wanted and there is none.
        ChildError: if the framework does not load.
    """
    settings = machine.current()
    if settings is None:
        return
    unsure = settings.device == "auto" and NVIDIA_GPU.exists() and os.environ.get("CUDA_VISIBLE_DEVICES") not in HIDDEN
    if settings.device == "gpu" or settings.backend != "tensorflow" or settings.num_devices > 1 or unsure:
        arguments = ["--device", settings.device, "--num-devices", str(settings.num_devices)]
        found = child.run("devices", arguments, timeout_seconds=PREFLIGHT_SECONDS)
        if unsure and found["kind"] == "cpu":
            logger.warning(
                "This machine has an NVIDIA GPU and %s sees none: training on the CPU. `make sync EXTRAS=%s` brings "
                "CUDA's libraries; RETRAINING_DEVICE=cpu says that it is meant so.",
                settings.backend,
                "gpu" if settings.backend == "tensorflow" else "jax-gpu",
            )
