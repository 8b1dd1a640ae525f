"""Which device computes, and in which precision. What is asked of a framework stands in `cnn_model.backends`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cnn_model import backends
from cnn_model.failures import NoDeviceError

Wanted = Literal["auto", "cpu", "gpu"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Device:
    """The device in use.

    Attributes:
        kind: "cpu" or "gpu".
        name: As people call it: "CPU" or "NVIDIA H200".
        has_bfloat16: Whether it multiplies matrices of bfloat16 in hardware.
        count: How many of them share each batch.
    """

    kind: Literal["cpu", "gpu"]
    name: str
    has_bfloat16: bool
    count: int = 1

    def precision(self, wanted: Precision) -> Precision:
        """What layers compute in here: bfloat16 where the hardware has it, float32 elsewhere."""
        return wanted if self.has_bfloat16 else "float32"


def select(wanted: Wanted, count: int = 1) -> Device:
    """Make the framework use the wanted device; `auto` takes a GPU where there is one.

    To be called before the framework computes anything.

    Args:
        wanted: Its kind.
        count: How many share each batch; more than one with JAX alone.

    Raises:
        NoDeviceError: if `gpu` is wanted and there is none, or fewer than `count`. Nothing ever falls back in silence.
    """
    device = _select(wanted)
    if count > 1:
        backends.current().share(count)
    return dataclasses.replace(device, count=count)


def _select(wanted: Wanted) -> Device:
    backend = backends.current()
    names = [] if wanted == "cpu" else backend.gpu_names()
    if wanted == "gpu" and not names:
        raise NoDeviceError(
            "no GPU is visible to the framework; a GPU was asked for; look at `nvidia-smi`, install the extra `gpu` "
            "(or `jax-gpu`), or ask for the device `auto` or `cpu`"
        )
    if not names:
        backend.use_cpu()
        return Device("cpu", "CPU", _cpu_has_bfloat16())
    backend.use_gpu()
    return Device("gpu", names[0], backend.gpu_has_bfloat16())


def _cpu_has_bfloat16() -> bool:
    """Whether the processor says so; where there is no /proc/cpuinfo, it is taken to have none."""
    try:
        flags = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
