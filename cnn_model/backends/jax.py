"""Training steps and inference compiled with JAX, and its devices."""

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
import numpy.typing as npt

from cnn_model.augmentation import EpochPlan
from cnn_model.failures import NoDeviceError
from cnn_model.steps import Problem, Steps


def gpu_names() -> list[str]:
    """What the visible GPUs are called."""
    return [device.device_kind for device in _gpus()]


def gpu_has_bfloat16() -> bool:
    """Whether the first GPU computes in bfloat16: compute capability 8.0 or later."""
    return float(_gpus()[0].compute_capability) >= 8


def use_cpu() -> None:
    """Compute on the CPU, where sums are the same each time."""
    jax.config.update("jax_platforms", "cpu")


def use_gpu() -> None:
    """JAX computes on a GPU by itself where it has one."""


def share(count: int) -> None:
    """Let devices share each batch: Keras keeps the weights on all of them and gives each a part of the images.

    Raises:
        NoDeviceError: if there are fewer.
    """
    names = keras.distribution.list_devices()
    if len(names) < count:
        raise NoDeviceError(
            f"{count} devices were asked for, and JAX sees {len(names)}: {', '.join(names)}; ask for no more than these"
        )
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=names[:count]))


def compile_steps(problem: Problem, *, fused: bool) -> Steps:
    """Compile training steps; the images are copied to the device.

    Args:
        problem: What they work on.
        fused: Whether all steps of a call are one compiled loop: right for a GPU. On a CPU, XLA's convolutions within
            a loop take 20 times as long as outside one.
    """
    network, optimizer = problem.network, problem.optimizer
    images = _on_every_device(np.asarray(problem.split.images))
    labels = _on_every_device(np.asarray(problem.split.labels, np.int32))
    groups = (network.trainable_variables, network.non_trainable_variables, optimizer.variables, problem.slow)

    def step(state: Any, inputs: Any, images: Any, labels: Any) -> tuple[Any, Any]:
        trainable, frozen, moments, slow = state
        *chosen, num_steps_done = inputs
        batch_images, batch_labels = map(_shared, problem.batch(images, labels, tuple(chosen)))

        def loss_of(trainable: Any) -> tuple[Any, Any]:
            outputs, changed, penalties = network.stateless_call(
                trainable, frozen, batch_images, training=True, return_losses=True
            )
            return problem.loss(outputs, batch_labels, penalties), (outputs, changed)

        (loss, (outputs, frozen)), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable)
        trainable, moments = optimizer.stateless_apply(moments, gradients, trainable)
        if slow:
            trainable, frozen, slow = look_ahead(trainable, frozen, slow, num_steps_done)
        return [list(part) for part in (trainable, frozen, moments, slow)], problem.figures(loss, outputs, batch_labels)

    def look_ahead(trainable: Any, frozen: Any, slow: Any, num_steps_done: Any) -> tuple[Any, Any, Any]:
        names = [id(variable) for variable in (*groups[0], *groups[1])]
        values = dict(zip(names, (*trainable, *frozen), strict=True))
        averages = []
        for variable, average in zip(problem.followed, slow, strict=True):
            average, values[id(variable)] = problem.look_ahead(average, values[id(variable)], num_steps_done)
            averages.append(average)
        return [values[id(v)] for v in groups[0]], [values[id(v)] for v in groups[1]], averages

    # The images are arguments: captured arrays would become constants of the compiled program.
    run_one = jax.jit(step)

    @jax.jit
    def run_fused(state: Any, inputs: Any, images: Any, labels: Any) -> Any:
        return jax.lax.scan(lambda state, inputs: step(state, inputs, images, labels), state, inputs)

    def run_singly(state: Any, inputs: Any, images: Any, labels: Any) -> Any:
        rows = []
        for one in zip(*inputs, strict=True):
            state, row = run_one(state, one, images, labels)
            rows.append(row)
        return state, jax.numpy.stack(rows)

    run = run_fused if fused else run_singly

    def steps(plan: EpochPlan, num_steps_done: int) -> npt.NDArray[np.float32]:
        numbers = np.arange(num_steps_done + 1, num_steps_done + 1 + plan.num_steps, dtype=np.int32)
        state = [[variable.value for variable in group] for group in groups]
        state, rows = run(state, (plan.order, plan.mirrored, plan.shifts, numbers), images, labels)
        for group, values in zip(groups, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        return np.asarray(rows)

    return steps


def compile_inference(model: keras.Model) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]:
    """The model as a compiled function of a batch of images."""

    @jax.jit
    def run(trainable: Any, frozen: Any, images: Any) -> Any:
        return model.stateless_call(trainable, frozen, images, training=False)[0]

    def infer(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        trainable = [variable.value for variable in model.trainable_variables]
        frozen = [variable.value for variable in model.non_trainable_variables]
        return np.asarray(run(trainable, frozen, images), np.float32)

    return infer


def _on_every_device(array: npt.NDArray[Any]) -> Any:
    distribution = keras.distribution.distribution()
    if distribution is None:
        return jax.device_put(array)
    whole = keras.distribution.TensorLayout([None] * array.ndim, distribution.device_mesh)
    return keras.distribution.distribute_tensor(array, whole)


def _shared(batch: Any) -> Any:
    """The batch with a part on each device, if several share it."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return batch
    return keras.distribution.distribute_tensor(batch, distribution.get_data_layout(batch.shape))


def _gpus() -> list[Any]:
    return [device for device in jax.devices() if device.platform == "gpu"]
