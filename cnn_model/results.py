"""What training and evaluation give, as frozen values that stand in JSON files beside the model."""

from pydantic import BaseModel, ConfigDict, Field


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Value):
    """An estimate with its 95 % confidence interval."""

    value: float
    low: float
    high: float


class Scores(_Value):
    """Figures of one set of images.

    Precision and recall are those that Keras's metrics of these names give: an image counts as predicted where a
    class has a probability above one half; precision is the share of these that are right, recall the share of all
    images that are predicted, and right.
    """

    loss: float = Field(description="Mean cross-entropy in nats.")
    accuracy: float = Field(ge=0, le=1)
    precision: float = Field(ge=0, le=1)
    recall: float = Field(ge=0, le=1)


class EpochMetrics(_Value):
    """One epoch.

    Attributes:
        train: Over the images as they were shown: changed, and while the weights still changed.
        validation: Over the validation split after the epoch; None where a recipe trains on all images.
        seconds: With the validation.
    """

    epoch: int = Field(ge=1, description="Counted from 1.")
    train: Scores
    validation: Scores | None = None
    learning_rate: float
    seconds: float
    images_per_second: float


class TrainingResult(_Value):
    """What training reports beside the model file.

    Attributes:
        model_sha256: SHA-256 of `model.keras`.
        history: One entry an epoch, in order.
        best_epoch: The epoch whose weights the model has.
        resumed_after_epoch: Where another process had come to; None if this one trained from the start.
        temperature: What logits are divided by; 1.0 where there was no calibration split.
        device: What trained, such as "CPU" or "NVIDIA H200".
        precision: What layers computed in.
        versions: Versions of Python and of the numeric libraries, by name.
    """

    recipe: str
    seed: int
    model_sha256: str
    num_parameters: int
    history: tuple[EpochMetrics, ...]
    best_epoch: int
    resumed_after_epoch: int | None = None
    temperature: float
    num_train_images: int
    seconds: float
    peak_memory_bytes: int
    device: str
    backend: str
    precision: str
    versions: dict[str, str]


class ClassMetrics(_Value):
    """Figures of one class over the test images."""

    class_name: str
    num_images: int
    precision: float
    recall: float
    f1: float


class Confusion(_Value):
    """How often one class was taken for another."""

    true_class: str
    predicted_class: str
    count: int
    share: float = Field(description="Of the images of the true class, 0 to 1.")


class EvaluationResult(_Value):
    """The figures of one model on one set of images.

    Attributes:
        accuracy: Wilson score interval.
        loss: Mean negative log-likelihood in nats.
        expected_calibration_error: Over 15 equal-mass bins of confidence, 0 to 1.
        confusion_matrix: Counts, rows true and columns predicted class.
        worst_confusions: The most frequent first.
    """

    num_images: int
    accuracy: Interval
    loss: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    expected_calibration_error: float
    per_class: tuple[ClassMetrics, ...]
    confusion_matrix: tuple[tuple[int, ...], ...]
    worst_confusions: tuple[Confusion, ...]


class ScoringResult(_Value):
    """How a scoring went; what it gave stands in its parts.

    Attributes:
        num_scored: Images in this process, those that cannot be read included.
        seconds: From the first image to the last part; without the start of the process.
        device: As people call it.
    """

    num_scored: int
    seconds: float
    device: str


class CorruptionScore(_Value):
    """Accuracy under one corruption at one severity.

    Attributes:
        severity: 1, the mildest, to 3.
    """

    corruption: str
    severity: int = Field(ge=1, le=3)
    accuracy: float = Field(ge=0, le=1)


class RobustnessResult(_Value):
    """One model's network on one sample of images, corrupted in all ways; one view of each image.

    Attributes:
        num_images: In the sample.
        clean_accuracy: On the sample as it is.
        mean_accuracy: Over all corruptions and severities; bootstrap interval over the images.
        scores: By corruption, then by severity.
    """

    num_images: int = Field(ge=1)
    clean_accuracy: float = Field(ge=0, le=1)
    mean_accuracy: Interval
    scores: tuple[CorruptionScore, ...]
