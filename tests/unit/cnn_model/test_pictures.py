"""The pictures, by what stands in the figures: texts, bars, positions of the marks."""

import math
import os
import subprocess
import sys
from typing import Literal

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation

from cnn_model.class_names import CLASS_NAMES
from cnn_model.curves import METRICS, Metric, best_epoch, meeting
from cnn_model.metrics import evaluate
from cnn_model.pictures import plot_confusion_matrix, plot_images, plot_metric, plot_predictions, plot_training
from cnn_model.results import EpochMetrics, Scores, TrainingResult
from tests.results import make_training_result


def scores(metric: Metric, value: float) -> Scores:
    return Scores(loss=1, accuracy=0.5, precision=0.5, recall=0.5).model_copy(update={metric: value})


def history(metric: Metric, train: list[float], validation: list[float] | None) -> tuple[EpochMetrics, ...]:
    """Epochs in which one figure goes as given."""
    return tuple(
        EpochMetrics(
            epoch=index + 1,
            train=scores(metric, value),
            validation=scores(metric, validation[index]) if validation is not None else None,
            learning_rate=0.1,
            seconds=1,
            images_per_second=100,
        )
        for index, value in enumerate(train)
    )


def result(epochs: tuple[EpochMetrics, ...], best: int) -> TrainingResult:
    return make_training_result(epochs, best_epoch=best, seconds=3)


def images(num_images: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num_images, 32, 32, 3), dtype=np.uint8)


def titles(figure: Figure, where: Literal["left", "center"] = "center") -> list[str]:
    return [axes.get_title(loc=where) for axes in figure.axes if axes.get_title(loc=where)]


def marks(axes: Axes) -> dict[str, tuple[float, ...]]:
    """The named marks with their places."""
    named = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    return {str(line.get_label()): tuple(np.asarray(line.get_xydata())[0].tolist()) for line in named}


def written(axes: Axes) -> list[str]:
    legend = axes.get_legend()
    return [text.get_text() for text in [*axes.texts, *(legend.get_texts() if legend else [])]]


# Accuracy: train is worse in epochs 1 and 2, and better from 3 on. Between, it catches up 2 of 2 + 1 parts.
CROSSING = ([0.4, 0.6, 0.82], [0.5, 0.66, 0.79])


def test_curves_meet_where_train_is_no_longer_worse() -> None:
    met = meeting(history("accuracy", *CROSSING), "accuracy")
    assert met is not None
    assert met.epoch == 3
    assert met.position == pytest.approx(2 + 2 / 3)
    assert met.value == pytest.approx(0.6 + 0.22 * 2 / 3)


def test_less_loss_is_better() -> None:
    met = meeting(history("loss", [2.0, 1.0, 0.5], [1.5, 0.9, 0.8]), "loss")
    assert met is not None
    assert met.epoch == 3
    assert met.position == pytest.approx(2.25)


def test_curves_that_touch_have_met() -> None:
    met = meeting(history("recall", [0.1, 0.5, 0.6], [0.2, 0.5, 0.7]), "recall")
    assert met is not None
    assert (met.epoch, met.position, met.value) == (2, 2.0, 0.5)


def test_the_first_of_several_meetings_counts() -> None:
    met = meeting(history("accuracy", [0.1, 0.4, 0.4, 0.6], [0.2, 0.3, 0.5, 0.5]), "accuracy")
    assert met is not None
    assert met.epoch == 2


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        pytest.param([0.4, 0.5, 0.6], [0.5, 0.6, 0.7], id="train is always worse"),
        pytest.param([0.5, 0.6, 0.7], [0.4, 0.5, 0.6], id="train is always better"),
        pytest.param([0.5, 0.6, 0.7], [0.4, 0.7, 0.8], id="train becomes worse"),
        pytest.param([0.4, 0.6], None, id="no validation"),
        pytest.param([0.4], [0.5], id="one epoch"),
    ],
)
def test_curves_that_never_meet(train: list[float], validation: list[float] | None) -> None:
    epochs = history("accuracy", train, validation)
    assert meeting(epochs, "accuracy") is None
    assert not [name for name in marks(plot_metric(result(epochs, 1), "accuracy").axes[0]) if "meet" in name]


def test_diverged_curves_never_meet() -> None:
    assert meeting(history("loss", [2.0, math.inf, math.nan, 0.1], [1.0, math.inf, 1.0, math.nan]), "loss") is None


@pytest.mark.parametrize(
    ("metric", "validation", "best"),
    [
        ("accuracy", [0.5, 0.7, 0.6], 2),
        ("recall", [0.5, 0.7, 0.7], 2),
        ("loss", [0.5, 0.4, 0.6], 2),
        ("loss", [math.nan, 0.9, 0.8], 3),
        ("loss", [math.nan, math.inf, math.nan], None),
        ("precision", None, None),
    ],
)
def test_best_epoch_is_the_first_with_the_best_validation_figure(
    metric: Metric, validation: list[float] | None, best: int | None
) -> None:
    assert best_epoch(history(metric, [0.1, 0.2, 0.3], validation), metric) == best


@pytest.mark.parametrize("metric", METRICS)
def test_curves_are_the_history(metric: Metric) -> None:
    train, validation = CROSSING
    axes = plot_metric(result(history(metric, train, validation), 3), metric).axes[0]
    drawn = [np.asarray(line.get_xydata()).T.tolist() for line in axes.lines[:2]]
    assert drawn == [[[1, 2, 3], train], [[1, 2, 3], validation]]
    assert {"train", "validation", "epoch"} <= set(written(axes))


def test_marks_stand_at_their_epochs_and_are_named() -> None:
    epochs = history("accuracy", [0.4, 0.6, 0.82, 0.9], [0.5, 0.66, 0.79, 0.7])
    axes = plot_metric(result(epochs, 4), "accuracy").axes[0]
    found = marks(axes)
    assert found["best: epoch 3"] == pytest.approx((3, 0.79))
    assert found["kept: epoch 4"][0] == 4
    assert found["curves meet: epoch 3"] == pytest.approx((2 + 2 / 3, 0.6 + 0.22 * 2 / 3))
    assert set(found) <= set(written(axes))


def test_best_epoch_that_is_kept_has_one_name() -> None:
    found = marks(plot_metric(result(history("accuracy", *CROSSING), 3), "accuracy").axes[0])
    assert set(found) == {"best and kept: epoch 3", "curves meet: epoch 3"}


def test_without_validation_there_is_one_curve_and_the_epoch_kept() -> None:
    axes = plot_metric(result(history("accuracy", [0.4, 0.6], None), 2), "accuracy").axes[0]
    assert set(marks(axes)) == {"kept: epoch 2"}
    assert "validation" not in written(axes)


def test_training_has_a_titled_panel_for_each_figure() -> None:
    figure = plot_training(result(history("accuracy", *CROSSING), 3))
    assert titles(figure, "left") == ["Accuracy", "Loss", "Precision", "Recall"]


def test_names_of_curves_that_end_together_stay_apart() -> None:
    axes = plot_metric(result(history("accuracy", [0.4, 0.8], [0.5, 0.8]), 2), "accuracy").axes[0]
    names = [text for text in axes.texts if isinstance(text, Annotation)]
    heights = [name.xy[1] for name in names if name.get_text() in ("train", "validation")]
    assert abs(heights[0] - heights[1]) > 0.08


def test_no_text_of_the_curves_is_cut_off() -> None:
    figure = plot_training(result(history("accuracy", [0.4, 0.6, 0.82, 0.9], [0.5, 0.66, 0.79, 0.7]), 4))
    figure.draw_without_rendering()
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert box is not None
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1


def test_grid_has_every_image_under_the_name_of_its_class() -> None:
    shown = images(7)
    figure = plot_images(shown, np.array([3, 0, 9, 3, 1, 2, 5]), num_columns=3)
    assert titles(figure) == ["cat", "airplane", "truck", "cat", "automobile", "bird", "dog"]
    for axes, image in zip(figure.axes, shown, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), image)


def test_grid_has_the_columns_asked_for() -> None:
    figure = plot_images(images(7), np.arange(7), num_columns=3)
    figure.draw_without_rendering()
    rows = [round(axes.get_position().y0, 3) for axes in figure.axes]
    assert [rows.count(row) for row in sorted(set(rows), reverse=True)] == [3, 3, 1]


def test_no_image_and_unequal_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match=r"There are 0 images; expected one or more\."):
        plot_images(images(0), np.arange(0))
    with pytest.raises(ValueError, match=r"2 images and 3 labels or rows of probabilities; expected as many"):
        plot_images(images(2), np.arange(3))
    with pytest.raises(ValueError, match=r"2 images and 1 labels or rows of probabilities; expected as many"):
        plot_predictions(images(2), np.arange(2), np.full((1, 10), 0.1))


def test_confusion_matrix_has_every_count_and_both_names_of_a_class() -> None:
    labels = np.repeat(np.arange(10), 3).astype(np.uint8)
    probabilities = np.eye(10, dtype=np.float32)[labels]
    probabilities[9] = np.eye(10, dtype=np.float32)[5]  # the first cat is taken for a dog
    axes = plot_confusion_matrix(evaluate(probabilities, labels)).axes[0]
    counts = {text.get_position(): text.get_text() for text in axes.texts}  # by (column, row)
    assert len(counts) == 100
    assert (counts[0, 0], counts[3, 3], counts[5, 3], counts[3, 5]) == ("3", "2", "1", "0")
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [tick.get_text() for tick in ticks] == list(CLASS_NAMES)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")


def test_prediction_has_a_bar_for_each_probability() -> None:
    probabilities = np.random.default_rng(1).dirichlet(np.ones(10), 3).astype(np.float32)
    shown = images(3)
    figure = plot_predictions(shown, np.array([0, 1, 2]), probabilities)
    assert len(figure.axes) == 6
    for index, row in enumerate(probabilities):
        pictured, bars = figure.axes[2 * index], figure.axes[2 * index + 1]
        np.testing.assert_array_equal(pictured.images[0].get_array(), shown[index])
        lengths = [bar.get_width() for bar in bars.patches if isinstance(bar, Rectangle)]
        np.testing.assert_allclose(lengths, row)
        assert [text.get_text() for text in bars.texts] == [f"{100 * share:.1f} %" for share in row]


def test_prediction_marks_the_true_and_the_predicted_class() -> None:
    probabilities = np.full((2, 10), 0.05)
    probabilities[:, 5] = 0.55
    figure = plot_predictions(images(2), np.array([5, 3]), probabilities)
    right, wrong = ([tick.get_text() for tick in figure.axes[index].get_yticklabels()] for index in (1, 3))
    assert [name for name in right if name not in CLASS_NAMES] == ["dog ✓"]
    assert [name for name in wrong if name not in CLASS_NAMES] == ["cat ✓", "dog ✗"]
    assert titles(figure, "left") == ["dog", "cat, taken for dog"]


def test_drawing_loads_neither_pyplot_nor_a_framework() -> None:
    """Whoever draws on a server needs no display, leaves no figures open, and does not wait for TensorFlow."""
    code = (
        "import sys, numpy as np\n"
        "from cnn_model.pictures import plot_images\n"
        "plot_images(np.zeros((1, 32, 32, 3), np.uint8), np.zeros(1, int)).savefig(sys.argv[1], format='png')\n"
        "print({'matplotlib.pyplot', 'keras', 'tensorflow', 'prefect'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, os.devnull], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
