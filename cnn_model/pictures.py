"""The pictures that a tutorial of image classification shows: sample images, curves, confusion matrix, predictions.

Each function returns a matplotlib `Figure`, drawn with matplotlib's objects, without pyplot and its global state:
`figure.savefig("curves.png")` writes it, and a notebook shows it after `%matplotlib inline`. Knows the results of
training and evaluation and nothing of Keras.

Example:
    training = TrainingResult.model_validate_json(Path("training.json").read_text())
    plot_training(training).savefig("training.png")
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnn_model.class_names import CLASS_NAMES
from cnn_model.curves import LIGHT, METRICS, PANEL_INCHES, Metric, Palette, draw_curves
from cnn_model.results import EvaluationResult, TrainingResult


def plot_images(
    images: npt.NDArray[Any], labels: npt.NDArray[Any], class_names: Sequence[str] = CLASS_NAMES, num_columns: int = 5
) -> Figure:
    """A grid of images, each below the name of its class.

    Args:
        images: ndarray of shape (num_images, height, width, 3), dtype=uint8.
        labels: ndarray of shape (num_images,), integers.
        class_names: Names of the labels, in their order.
        num_columns: Images side by side.

    Raises:
        ValueError: if there is no image, or not a label for each.
    """
    _check(images, labels)
    num_rows = math.ceil(len(images) / num_columns)
    figure = Figure(figsize=(1.2 * num_columns, 1.4 * num_rows), facecolor=LIGHT.paper, layout="constrained")
    for position, (image, label) in enumerate(zip(images, labels, strict=True), start=1):
        axes = figure.add_subplot(num_rows, num_columns, position)
        _show(axes, image)
        axes.set_title(class_names[label], color=LIGHT.ink, fontsize=10)
    return figure


def plot_training(training: TrainingResult, palette: Palette = LIGHT) -> Figure:
    """Accuracy, loss, precision and recall over the epochs, as four panels of `plot_metric`."""
    width, height = PANEL_INCHES
    figure = Figure(figsize=(2 * width, 2 * height))
    panels = np.asarray(figure.subfigures(2, 2)).flat
    for panel, metric in zip(panels, METRICS, strict=True):
        draw_curves(panel, training, metric, palette, titled=True)
    return figure


def plot_metric(training: TrainingResult, metric: Metric, palette: Palette = LIGHT, *, titled: bool = True) -> Figure:
    """One figure of train and validation over the epochs, with what stands out marked and named.

    Marked are the best epoch of validation, the epoch whose weights the model has, and where the curves meet.

    Args:
        training: Its history has at least one epoch.
        metric: Which figure.
        palette: The colours.
        titled: Whether the metric's name stands above.
    """
    figure = Figure(figsize=PANEL_INCHES)
    draw_curves(figure, training, metric, palette, titled=titled)
    return figure


def plot_confusion_matrix(result: EvaluationResult) -> Figure:
    """How many images of each class were taken for which; the deeper the colour, the larger the share of the class."""
    counts = np.array(result.confusion_matrix)  # (num_classes, num_classes), rows true and columns predicted class
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [metrics.class_name for metrics in result.per_class]
    figure = Figure(figsize=(6.6, 6.2), facecolor=LIGHT.paper, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted class", color=LIGHT.muted)
    axes.set_ylabel("true class", color=LIGHT.muted)
    axes.tick_params(length=0, labelcolor=LIGHT.ink)
    axes.spines[:].set_visible(False)
    for (row, column), count in np.ndenumerate(counts):
        colour = LIGHT.paper if shares[row, column] > 0.5 else LIGHT.ink if count else LIGHT.muted
        axes.text(column, row, str(count), ha="center", va="center", fontsize=9, color=colour)
    return figure


def plot_predictions(
    images: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    probabilities: npt.NDArray[Any],
    class_names: Sequence[str] = CLASS_NAMES,
    num_columns: int = 2,
) -> Figure:
    """Single predictions: each image beside bars of the probabilities of all classes.

    The true class has a tick, a class that was predicted instead of it a cross.

    Args:
        images: ndarray of shape (num_images, height, width, 3), dtype=uint8.
        labels: ndarray of shape (num_images,), integers: the true classes.
        probabilities: ndarray of shape (num_images, num_classes), range [0, 1].
        class_names: Names of the labels, in their order.
        num_columns: Images side by side.

    Raises:
        ValueError: if there is no image, or not a label and a row of probabilities for each.
    """
    _check(images, labels, probabilities)
    num_rows = math.ceil(len(images) / num_columns)
    figure = Figure(figsize=(4.6 * num_columns, 2.4 * num_rows), facecolor=LIGHT.paper, layout="constrained")
    grid = figure.add_gridspec(num_rows, 2 * num_columns, width_ratios=[1, 1.5] * num_columns)
    for index, (image, label, row) in enumerate(zip(images, labels, probabilities, strict=True)):
        line, column = divmod(index, num_columns)
        _show(figure.add_subplot(grid[line, 2 * column]), image)
        _draw_probabilities(figure.add_subplot(grid[line, 2 * column + 1]), int(label), row, class_names)
    return figure


def _check(images: npt.NDArray[Any], *others: npt.NDArray[Any]) -> None:
    if len(images) == 0:
        raise ValueError("There are 0 images; expected one or more. Choose some.")
    for other in others:
        if len(other) != len(images):
            raise ValueError(
                f"{len(images)} images and {len(other)} labels or rows of probabilities; expected as many of each. "
                "Take the same part of all arrays."
            )


def _show(axes: Axes, image: npt.NDArray[Any]) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set_axis_off()


def _draw_probabilities(axes: Axes, label: int, probabilities: npt.NDArray[Any], class_names: Sequence[str]) -> None:
    """Bars from the first class at the top to the last, probabilities of shape (num_classes,)."""
    predicted = int(probabilities.argmax())
    marks = {predicted: (" ✗", LIGHT.wrong), label: (" ✓", LIGHT.right)}
    places = range(len(class_names))
    colours = [marks[place][1] if place in marks else LIGHT.train for place in places]
    bars = axes.barh(places, probabilities, color=colours, height=0.7)
    axes.bar_label(bars, [f"{100 * share:.1f} %" for share in probabilities], padding=3, fontsize=8, color=LIGHT.muted)
    axes.set_yticks(places, [name + marks.get(place, ("", ""))[0] for place, name in enumerate(class_names)])
    for tick, colour, place in zip(axes.get_yticklabels(), colours, places, strict=True):
        tick.set(color=colour if place in marks else LIGHT.ink, fontweight="bold" if place in marks else "normal")
    axes.tick_params(length=0, labelsize=8.5)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25)  # room for the figure at the end of a full bar
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    verdict = class_names[label] if predicted == label else f"{class_names[label]}, taken for {class_names[predicted]}"
    axes.set_title(verdict, loc="left", color=LIGHT.ink, fontsize=10)
