"""What a recipe is: every choice that shapes a trained model, as one frozen value.

The values of a recipe take part in the cache key of training, not the file that it stands in. This module imports no
Keras, so that a command line or a form can list recipes without loading a framework.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ArchitectureName = Literal["tutorial", "whitened"]


class Architecture(BaseModel):
    """Which network is built; `cnn_model.architectures` says how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ArchitectureName = Field(description="Family of the network.")
    widths: tuple[int, ...] = Field(min_length=1, description="Channels of each convolution block, in order.")
    activation: Literal["relu", "gelu"] = "relu"
    # The tutorials' family.
    dense_units: int = Field(64, ge=1, description="Units of the hidden dense layer.")
    output: Literal["logits", "probabilities"] = Field("logits", description="Whether the last layer is a softmax.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Before each dense layer; half of it after each pooling.")
    l2: float = Field(0.0, ge=0, description="Penalty on the squares of the kernels.")
    batch_normalization: bool = Field(False, description="After each convolution.")
    # The whitened family.
    convolutions: int = Field(2, ge=1, description="Convolutions in each block.")
    whitening_size: int = Field(2, ge=1, le=8, description="Side in pixels of the whitening convolution's patches.")
    whitening_stride: int = Field(1, ge=1, le=8, description="Its stride in pixels.")
    whitening_bias: bool = Field(False, description="Whether it has a bias, which is trained; its kernel never is.")
    initialization: Literal["glorot", "fan-in"] = Field(
        "glorot",
        description="Bound of the uniform random weights: Keras's Glorot, or 1 / sqrt(inputs of a unit) as PyTorch's.",
    )


class Recipe(BaseModel):
    """Architecture, optimiser, schedule, augmentation, regularisation, batch and epochs of one way to train."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Name, as given to --train.recipe.")
    architecture: Architecture
    optimizer: Literal["adam", "nesterov"]
    learning_rate: float = Field(gt=0, description="Peak learning rate, for the mean loss over a batch.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Of Nesterov's method; Adam has its own.")
    schedule: Literal["constant", "triangular"]
    weight_decay: float = Field(0.0, ge=0, description="Decoupled: each step takes off this share times the rate.")
    bias_rate: float = Field(1.0, gt=0, description="Times the learning rate, for the biases of normalisations.")
    lookahead_steps: int | None = Field(
        None, ge=1, description="Pull the weights to their slow average every so many steps; none never does."
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    batch_size: int = Field(ge=1, description="Images a step.")
    epochs: int = Field(ge=1)
    flip: Literal["none", "random", "alternating"] = Field(
        "none", description="Mirror half of the images of each epoch; alternating shows each its two sides in turn."
    )
    shift_pixels: int = Field(0, ge=0, le=8, description="Shift by up to so many pixels, reflected at the edges.")
    views: Literal["one", "mirrored", "mirrored-and-shifted"] = Field(
        "one", description="What the exported model averages over: the image, its mirror image, both of these shifted."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="What layers compute in while training. bfloat16 where the processor has it, else float32; "
        "weights and the exported model are float32.",
    )
    early_stopping_epochs: int | None = Field(
        None, ge=1, description="Stop after so many epochs without a better validation loss; none trains them all."
    )
    train_on_all: bool = Field(
        False, description="Train on validation and calibration too: a fixed number of epochs, no temperature."
    )
