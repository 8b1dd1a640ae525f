"""The figures of predictions: accuracy with its interval, per-class figures, calibration. NumPy, SciPy, scikit-learn.

Knows nothing of a model or of Keras: probabilities and labels in, `EvaluationResult` out.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from cnn_model.class_names import CLASS_NAMES
from cnn_model.results import ClassMetrics, Confusion, EvaluationResult, Interval

Probabilities = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]

NUM_BINS = 15
"""Bins of the calibration error, as in Guo et al., arXiv 1706.04599."""

NUM_WORST_CONFUSIONS = 10

SMALLEST_PROBABILITY = 1e-12
"""A probability that float32 rounded to 0 would make the loss infinite."""


def evaluate(
    probabilities: Probabilities, labels: Labels, class_names: Sequence[str] = CLASS_NAMES
) -> EvaluationResult:
    """All figures of one model's predictions.

    Args:
        probabilities: ndarray of shape (num_images, 10), dtype=float32, each row with sum 1.
        labels: ndarray of shape (num_images,), dtype=uint8, range [0, 9]; at least one.
        class_names: Names of the labels, in their order.
    """
    predictions = probabilities.argmax(axis=1)
    classes = np.arange(len(class_names))
    counts = confusion_matrix(labels, predictions, labels=classes)
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predictions, labels=classes, zero_division=0.0
    )
    return EvaluationResult(
        num_images=len(labels),
        accuracy=accuracy_interval(int(np.trace(counts)), len(labels)),
        loss=negative_log_likelihood(probabilities, labels),
        macro_precision=float(precision.mean()),
        macro_recall=float(recall.mean()),
        macro_f1=float(f1.mean()),
        expected_calibration_error=expected_calibration_error(probabilities, labels),
        per_class=tuple(
            ClassMetrics(
                class_name=name,
                num_images=int(support[index]),
                precision=float(precision[index]),
                recall=float(recall[index]),
                f1=float(f1[index]),
            )
            for index, name in enumerate(class_names)
        ),
        confusion_matrix=tuple(tuple(int(count) for count in row) for row in counts),
        worst_confusions=worst_confusions(counts, class_names),
    )


def accuracy_interval(num_correct: int, num_images: int) -> Interval:
    """Accuracy with Wilson's 95 % score interval, which holds near 0 and 1 and for few images."""
    interval = binomtest(num_correct, num_images).proportion_ci(confidence_level=0.95, method="wilson")
    return Interval(value=num_correct / num_images, low=float(interval.low), high=float(interval.high))


def negative_log_likelihood(probabilities: Probabilities, labels: Labels) -> float:
    """Mean over the images of the negative logarithm of the true class's probability, in nats."""
    likelihoods = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(likelihoods, SMALLEST_PROBABILITY)).mean())


def expected_calibration_error(probabilities: Probabilities, labels: Labels, num_bins: int = NUM_BINS) -> float:
    """Mean distance of confidence and accuracy over bins that hold equally many images.

    Equal mass instead of equal width: no bin is empty, and none of a few images decides.

    Reference: Nixon et al., "Measuring Calibration in Deep Learning", arXiv 1904.01685.
    """
    confidences = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    order = np.argsort(confidences, kind="stable")
    distances = [
        len(part) * abs(confidences[part].mean() - correct[part].mean())
        for part in np.array_split(order, min(num_bins, len(labels)))
    ]
    return float(sum(distances) / len(labels))


def worst_confusions(counts: npt.NDArray[np.int64], class_names: Sequence[str] = CLASS_NAMES) -> tuple[Confusion, ...]:
    """The most frequent confusions, the first one the worst; those that never happened are left out.

    Args:
        counts: Confusion matrix of shape (num_classes, num_classes), rows true and columns predicted class.
        class_names: Names of the classes, in the order of the rows.
    """
    errors = counts - np.diag(np.diag(counts))
    worst = np.argsort(-errors, axis=None, kind="stable")[:NUM_WORST_CONFUSIONS]
    pairs = [tuple(int(index) for index in np.unravel_index(flat, errors.shape)) for flat in worst]
    return tuple(
        Confusion(
            true_class=class_names[true],
            predicted_class=class_names[predicted],
            count=int(errors[true, predicted]),
            share=float(errors[true, predicted] / counts[true].sum()),
        )
        for true, predicted in pairs
        if errors[true, predicted] > 0
    )
