"""Training steps and inference compiled with TensorFlow, and its devices."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cnn_model.augmentation import EpochPlan
from cnn_model.failures import NoDeviceError
from cnn_model.steps import Problem, Steps


def gpu_names() -> list[str]:
    """What the visible GPUs are called."""
    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus]


def gpu_has_bfloat16() -> bool:
    """Whether the first GPU computes in bfloat16: compute capability 8.0 or later."""
    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
    return bool(details.get("compute_capability", (0, 0)) >= (8, 0))


def use_cpu() -> None:
    """Compute on the CPU, and the same bits each time."""
    tf.config.set_visible_devices([], "GPU")
    tf.config.experimental.enable_op_determinism()


def use_gpu() -> None:
    """Compute on the first GPU; memory is taken as it is needed."""
    first = tf.config.list_physical_devices("GPU")[0]
    tf.config.set_visible_devices([first], "GPU")
    tf.config.experimental.set_memory_growth(first, True)


def share(count: int) -> None:
    """Refuse to let several devices share a batch.

    Raises:
        NoDeviceError: always.
    """
    raise NoDeviceError(
        f"{count} devices were asked for; with TensorFlow Keras 3 trains on one; ask for one, or for the backend jax"
    )


def compile_steps(problem: Problem, *, fused: bool) -> Steps:
    """Compile a loop of training steps; the images are copied to the device.

    Args:
        problem: What they work on.
        fused: Whether XLA compiles the loop: right for a GPU. On a CPU its convolutions were three times slower than
            TensorFlow's own in a trial.
    """
    images = tf.constant(np.asarray(problem.split.images))
    labels = tf.constant(np.asarray(problem.split.labels, np.int32))
    network, optimizer = problem.network, problem.optimizer

    def step(order: Any, mirrored: Any, shifts: Any, num_steps_done: Any) -> Any:
        batch_images, batch_labels = problem.batch(images, labels, (order, mirrored, shifts))
        with tf.GradientTape() as tape:
            outputs = network(batch_images, training=True)
            loss = problem.loss(outputs, batch_labels, network.losses)
        gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
        optimizer.apply(gradients, network.trainable_variables)
        for slow, fast in zip(problem.slow, problem.followed, strict=True):
            averaged, weights = problem.look_ahead(slow.value, fast.value, num_steps_done)
            slow.assign(averaged)
            fast.assign(weights)
        return problem.figures(loss, outputs, batch_labels)

    @tf.function(jit_compile=fused)
    def run(order: Any, mirrored: Any, shifts: Any, num_steps_done: Any) -> Any:
        rows = tf.TensorArray(tf.float32, order.shape[0])

        def body(index: Any, rows: Any) -> Any:
            row = step(order[index], mirrored[index], shifts[index], num_steps_done + index + 1)
            return index + 1, rows.write(index, row)

        # One step after the other: the next needs the weights of the last.
        _, rows = tf.while_loop(lambda index, _: index < order.shape[0], body, (0, rows), parallel_iterations=1)
        return rows.stack()

    def steps(plan: EpochPlan, num_steps_done: int) -> npt.NDArray[np.float32]:
        arrays = (tf.constant(array) for array in (plan.order, plan.mirrored, plan.shifts))
        given: npt.NDArray[np.float32] = run(*arrays, tf.constant(num_steps_done)).numpy()
        return given

    return steps


def compile_inference(model: keras.Model) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]:
    """The model as a compiled function of a batch of images."""

    @tf.function(jit_compile=bool(tf.config.get_visible_devices("GPU")))
    def run(images: Any) -> Any:
        return model(images, training=False)

    def infer(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return np.asarray(run(tf.constant(images)), np.float32)

    return infer


def load_saved_model(folder: Path) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]:
    """An exported SavedModel as a function of a batch of images."""
    loaded = tf.saved_model.load(str(folder))

    def infer(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        # By way of the model: its signature alone does not keep the weights alive.
        return np.asarray(loaded.signatures["serving_default"](images=tf.constant(images))["probabilities"], np.float32)

    return infer
