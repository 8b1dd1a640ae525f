"""Builds the networks that recipes name: uint8 images in, normalisation inside, logits (or probabilities) out.

Built-in Keras layers only, so that a saved model loads in safe mode.
"""

import math

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from cnn_model.class_names import CLASS_NAMES
from cnn_model.data import IMAGE_SHAPE, Images
from cnn_model.recipe import Architecture
from cnn_model.whitening import whitening_kernel

BATCH_NORM_MOMENTUM = 0.6
"""Low, because a run has few steps: the running figures must keep up (Jordan, arXiv 2404.00498, listing 4)."""

LOGIT_SCALE = 1 / 9
"""Keeps the first logits small, so that training at a high rate starts calmly (same source)."""

NUM_SAMPLE_IMAGES = 2000
"""Images that channel statistics and whitening are computed from; 1.8 million patches of 2 x 2 pixels."""


def build(architecture: Architecture, train_images: Images, dtype_policy: str = "float32") -> keras.Model:
    """Build a network with fresh weights.

    Args:
        architecture: Which one.
        train_images: ndarray of shape (num_images, 32, 32, 3), dtype=uint8: what statistics are computed from.
        dtype_policy: What Keras calls the types of weights and of computing, such as "mixed_bfloat16".
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype_policy)
    try:
        if architecture.name == "tutorial":
            return _tutorial(architecture)
        return _whitened(architecture, train_images[:: max(1, len(train_images) // NUM_SAMPLE_IMAGES)])
    finally:
        keras.config.set_dtype_policy(before)


def in_float32(network: keras.Model) -> keras.Model:
    """The same network with the same weights, computing in float32."""

    def copied(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, layers.InputLayer):
            return layer
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    copy = keras.models.clone_model(network, clone_function=copied)
    copy.set_weights(network.get_weights())
    return copy


def flops(network: keras.Model) -> int:
    """Floating-point operations of one image's way through a network: two for each weight that a pixel meets.

    Convolutions and dense layers alone; the rest is a small share.
    """
    total = 0
    for layer in network.layers:
        if isinstance(layer, layers.Conv2D):
            height, width = layer.output.shape[1:3]
            total += 2 * math.prod(layer.kernel.shape) * height * width
        elif isinstance(layer, layers.Dense):
            total += 2 * math.prod(layer.kernel.shape)
    return total


def _tutorial(architecture: Architecture) -> keras.Model:
    """Convolution and pooling for each width, then one hidden dense layer; what regularises is off by default."""
    penalty = keras.regularizers.L2(architecture.l2) if architecture.l2 else None
    normalized = architecture.batch_normalization
    images = keras.Input(IMAGE_SHAPE, dtype="uint8", name="images")
    x = layers.Rescaling(1 / 255)(images)
    for width in architecture.widths:
        x = layers.Conv2D(width, 3, use_bias=not normalized, kernel_regularizer=penalty)(x)
        if normalized:
            x = layers.BatchNormalization()(x)
        x = layers.Activation(architecture.activation)(x)
        x = layers.MaxPooling2D()(x)
        if architecture.dropout:
            x = layers.Dropout(architecture.dropout / 2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(architecture.dense_units, activation=architecture.activation, kernel_regularizer=penalty)(x)
    if architecture.dropout:
        x = layers.Dropout(architecture.dropout)(x)
    activation = "softmax" if architecture.output == "probabilities" else None
    # Sums of small numbers: float32 whatever the other layers compute in.
    x = layers.Dense(len(CLASS_NAMES), activation=activation, dtype="float32", name=architecture.output)(x)
    return keras.Model(images, x, name="tutorial")


def _whitened(architecture: Architecture, sample: Images) -> keras.Model:
    """A fixed whitening convolution, blocks that each halve the picture, global maximum, one linear layer.

    Reference: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498, section 3.
    """
    scale, offset = _normalization(sample)
    normalized = sample.astype(np.float32) * np.asarray(scale, np.float32) + np.asarray(offset, np.float32)
    kernel = whitening_kernel(normalized, architecture.whitening_size)
    whiten = layers.Conv2D(
        kernel.shape[-1],
        architecture.whitening_size,
        strides=architecture.whitening_stride,
        use_bias=architecture.whitening_bias,
        trainable=architecture.whitening_bias,
        # Patches are divided by small deviations; in bfloat16 that would be mostly rounding.
        dtype="float32",
        name="whiten",
    )
    images = keras.Input(IMAGE_SHAPE, dtype="uint8", name="images")
    x = layers.Activation(architecture.activation)(
        whiten(layers.Rescaling(scale, offset, dtype="float32", name="normalize")(images))
    )
    whiten.kernel.assign(kernel)
    whiten.kernel.trainable = False
    for width in architecture.widths:
        x = _block(x, width, architecture)
    x = layers.GlobalMaxPooling2D()(x)
    x = layers.Dense(len(CLASS_NAMES), use_bias=False, kernel_initializer=_initializer(architecture), dtype="float32")(
        x
    )
    return keras.Model(images, layers.Rescaling(LOGIT_SCALE, dtype="float32", name="logits")(x), name="whitened")


def _block(x: keras.KerasTensor, width: int, architecture: Architecture) -> keras.KerasTensor:
    """Convolution, pooling, normalisation, activation; then further convolutions at the smaller size."""
    for index in range(architecture.convolutions):
        convolution = layers.Conv2D(
            width, 3, padding="same", use_bias=False, kernel_initializer=_initializer(architecture)
        )
        x = convolution(x)
        convolution.set_weights([_passing_through(convolution.get_weights()[0])])
        if index == 0:
            x = layers.MaxPooling2D()(x)
        x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, epsilon=1e-5, scale=False)(x)
        x = layers.Activation(architecture.activation)(x)
    return x


def _initializer(architecture: Architecture) -> keras.initializers.Initializer:
    if architecture.initialization == "glorot":
        return keras.initializers.GlorotUniform()
    # A uniform variable up to b has the variance b ** 2 / 3.
    return keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform")


def _passing_through(kernel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Let the first filters give their inputs on unchanged at the start of training (same source, section 3.3)."""
    in_channels, out_channels = kernel.shape[2:]
    same = min(in_channels, out_channels)
    kernel = kernel.copy()
    kernel[..., :same] = 0
    kernel[1, 1, range(same), range(same)] = 1
    return kernel


def _normalization(sample: Images) -> tuple[list[float], list[float]]:
    """Scale and offset of each channel that give mean 0 and deviation 1 over the sample."""
    means = sample.mean(axis=(0, 1, 2), dtype=np.float64)
    deviations = np.maximum(sample.std(axis=(0, 1, 2), dtype=np.float64), 1.0)  # a single grey image has none
    return (1 / deviations).tolist(), (-means / deviations).tolist()
