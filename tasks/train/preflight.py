"""What a training needs of its machine, seen to in seconds, before any step runs. Called at the flow's door.

Nothing falls back in silence: what is missing is an error that says what came, what was expected and what to do.
"""

from importlib.util import find_spec

import psutil

from tasks import machine, store
from tasks.errors import ConfigurationError, MemoryShortError
from tasks.machine import Machine
from tasks.train import plan

MEMORY_BYTES = 2 * 2**30
"""Of the real images with the recipe `fast`: 1.5 GiB at most, trainer and flow together, on a CPU."""

DISK_BYTES = 3 * 2**29
"""Of the real images: 170 MB of archive, twice 185 MB of arrays, checkpoints, and as much again to be safe."""


def check() -> None:
    """See that there are memory, disk, framework and device.

    Raises:
        MemoryShortError: if too little memory is free.
        StoreError: if too little disk is free.
        ConfigurationError: if the framework is not installed.
        DeviceError: if the wanted device is not there.
    """
    check_memory()
    store.current().check_free(DISK_BYTES)
    settings = machine.current()
    if settings is not None:
        check_backend(settings)
    plan.check_device()


def check_memory() -> None:
    """See that the machine has memory to train in.

    Raises:
        MemoryShortError: if not.
    """
    available = psutil.virtual_memory().available
    if available < MEMORY_BYTES:
        raise MemoryShortError(
            f"{available / 2**20:,.0f} MiB of memory are free; training takes up to {MEMORY_BYTES / 2**20:,.0f} MiB. "
            "End other programs, or run on a machine with more."
        )


def check_backend(settings: Machine) -> None:
    """See that the framework is installed, without loading it.

    Raises:
        ConfigurationError: if not.
    """
    if find_spec(settings.backend) is None:
        if settings.backend == "jax":
            extra = "jax-gpu" if settings.device == "gpu" else "jax"
            what = f"run `make sync EXTRAS={extra}`, or choose --backend tensorflow"
        else:
            what = "run `uv sync`"
        raise ConfigurationError(f"The backend {settings.backend} is wanted and not installed; {what}.")
