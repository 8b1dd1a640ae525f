"""One measurement in a process of its own; prints one JSON object. `benchmarks.training` runs them and compares.

    python -m benchmarks.trial KIND --arrays FOLDER [--seed N] [--epochs N] [--recipe NAME]

Knows `cnn_model` alone, so that it runs where the pipeline's libraries are not installed.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from benchmarks.tables import compile_seconds
from cnn_model import architectures, backends, training
from cnn_model.data import Split, Splits, load_split
from cnn_model.devices import Device, select
from cnn_model.inference import assemble, network_of, predict
from cnn_model.memory import peak_bytes
from cnn_model.recipe import Recipe
from cnn_model.recipes import catalogue

Figures = dict[str, Any]

MATRIX_SIDE = 4096
"""Large enough that a product is arithmetic and nothing else."""


def main() -> int:
    """Measure and print."""
    options = _options()
    figures = KINDS[options.kind](options)
    figures = {"kind": options.kind, "seed": options.seed, "peak_memory_bytes": peak_bytes(), **figures}
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


def _device(options: argparse.Namespace) -> Figures:
    """What Keras computes with and on; asked here, so that nobody else has to load a framework."""
    device = select("auto")
    return {"backend": keras.backend.backend(), "device": device.name, "device_kind": device.kind}


def _tutorial(options: argparse.Namespace) -> Figures:
    """The tutorial as it was published, in plain Keras: its network, its `compile` and its `fit`."""
    keras.utils.set_random_seed(options.seed)
    train, test = _arrays(options.arrays)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    images, labels = train.images.astype(np.float32) / 255, keras.utils.to_categorical(train.labels, 10)
    start = time.perf_counter()
    model.fit(images, labels, batch_size=64, epochs=options.epochs, verbose=0)
    seconds = time.perf_counter() - start
    probabilities = model.predict(test.images.astype(np.float32) / 255, verbose=0)
    return {
        "seconds": seconds,
        "epochs": options.epochs,
        "num_parameters": model.count_params(),
        "accuracy": _accuracy(probabilities, test),
    }


def _ours(options: argparse.Namespace) -> Figures:
    """A recipe on the same arrays; the time is that of `training.train`, with building and compiling.

    What compiling took is the excess of the first epoch; a training of one epoch does not know it.
    """
    device = select("auto")
    train, test = _arrays(options.arrays)
    recipe = _recipe(options)
    nothing = Split(train.images[:0], train.labels[:0])
    start = time.perf_counter()
    trained = training.train(Splits(train, nothing, nothing), recipe, options.seed, device)
    seconds = time.perf_counter() - start
    gpu_memory = _gpu_peak_bytes(device)
    one_view = assemble(network_of(trained.model), recipe.model_copy(update={"views": "one"}), 1.0)
    epochs = [epoch.seconds for epoch in trained.history]
    compiling = compile_seconds(epochs)
    # Forward once, backward twice; the first epoch has the compiling in it.
    operations = 3 * architectures.flops(network_of(trained.model)) * len(train)
    return {
        "seconds": seconds,
        "compile_seconds": compiling,
        "seconds_without_compiling": None if compiling is None else seconds - compiling,
        "epoch_seconds": epochs,
        "epochs": len(epochs),
        "recipe": recipe.name,
        "precision": trained.precision,
        "device": device.name,
        "num_parameters": trained.model.count_params(),
        "accuracy": _accuracy(predict(trained.model, test.images), test),
        "accuracy_of_one_view": _accuracy(predict(one_view, test.images), test),
        "operations_per_second": operations / min(epochs),
        "gpu_peak_memory_bytes": gpu_memory,
    }


def _matrices(options: argparse.Namespace) -> Figures:
    """The rate of large matrix products, in each precision: what the machine can do at best."""
    rates = {}
    # A GPU takes a fraction of a millisecond for one, no longer than asking for it does.
    count = 100 if backends.current().gpu_names() else 1
    for name in ("float32", "bfloat16"):
        matrix = keras.ops.cast(keras.random.normal((MATRIX_SIDE, MATRIX_SIDE), seed=1), name)
        multiply = partial(_multiply, matrix, count)
        multiply()
        rates[name] = count * 2 * MATRIX_SIDE**3 / min(_seconds(multiply) for _ in range(5))
    return {"operations_per_second": rates}


def _multiply(matrix: Any, count: int) -> None:
    """The matrix times itself, so many times, and wait for the last."""
    for _ in range(count):
        product = keras.ops.matmul(matrix, matrix)
    # In float32: TensorFlow's eager scalars of bfloat16 have no NumPy counterpart.
    keras.ops.convert_to_numpy(keras.ops.cast(product[0, 0], "float32"))


def _inference(options: argparse.Namespace) -> Figures:
    """Images a second of the final `fast` model: ours and Keras's own `predict`, on one thread or all."""
    if options.threads:
        _use_threads(options.threads)
    device: Device = select("cpu")
    _, test = _arrays(options.arrays)
    recipe = _recipe(options)
    model = assemble(architectures.build(recipe.architecture, test.images), recipe, 1.0)
    images = np.asarray(test.images)
    predict(model, images[:1000])
    model.predict(images[:1000], batch_size=500, verbose=0)
    return {
        "device": device.name,
        "threads": options.threads or os.cpu_count(),
        "images_per_second": len(images) / min(_seconds(lambda: predict(model, images)) for _ in range(2)),
        "images_per_second_of_keras": len(images)
        / min(_seconds(lambda: model.predict(images, batch_size=500, verbose=0)) for _ in range(2)),
    }


KINDS: dict[str, Callable[[argparse.Namespace], Figures]] = {
    "device": _device,
    "tutorial": _tutorial,
    "ours": _ours,
    "matrices": _matrices,
    "inference": _inference,
}


def _use_threads(count: int) -> None:
    """Let TensorFlow compute on so many threads.

    Raises:
        SystemExit: on another backend, which takes what it finds.
    """
    if keras.backend.backend() != "tensorflow":
        sys.exit(f"Keras runs on {keras.backend.backend()}; threads can be set for tensorflow; leave out --threads")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _gpu_peak_bytes(device: Device) -> int | None:
    """The most memory of the GPU that was in use so far; None on a CPU."""
    if device.kind == "cpu":
        return None
    if keras.backend.backend() == "jax":
        import jax

        return int(jax.devices()[0].memory_stats()["peak_bytes_in_use"])
    import tensorflow as tf

    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])


def _recipe(options: argparse.Namespace) -> Recipe:
    changes: dict[str, Any] = {"train_on_all": True}
    if options.epochs:
        changes["epochs"] = options.epochs
    return catalogue.find(options.recipe).model_copy(update=changes)


def _arrays(folder: Path) -> tuple[Split, Split]:
    """All training images and the test images, in memory."""
    splits = [load_split(folder / f"{name}_images.npy", folder / f"{name}_labels.npy") for name in ("train", "test")]
    train, test = (Split(np.array(split.images), np.array(split.labels)) for split in splits)
    return train, test


def _accuracy(probabilities: npt.NDArray[np.float32], split: Split) -> float:
    return float((probabilities.argmax(axis=1) == split.labels).mean())


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trial", description="Measure one thing.")
    parser.add_argument("kind", choices=tuple(KINDS))
    parser.add_argument("--arrays", type=Path, required=True, help="folder with {train,test}_{images,labels}.npy")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="left out, the recipe's own")
    parser.add_argument("--recipe", default="fast", choices=catalogue.names())
    parser.add_argument("--threads", type=int, help="of TensorFlow; left out, all")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
