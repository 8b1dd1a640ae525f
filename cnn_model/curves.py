"""Draws accuracy, loss, precision and recall over the epochs, and says what stands out in them.

`cnn_model.pictures` makes figures of them; a page with colours of its own passes another palette.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import FuncFormatter, MaxNLocator

from cnn_model.results import EpochMetrics, Scores, TrainingResult

Metric = Literal["accuracy", "loss", "precision", "recall"]
METRICS: tuple[Metric, ...] = get_args(Metric)


@dataclass(frozen=True)
class Palette:
    """The colours of a figure, each in any form that matplotlib takes."""

    paper: str
    ink: str
    muted: str
    rule: str
    train: str
    validation: str
    right: str
    wrong: str


LIGHT = Palette(
    paper="#ffffff",
    ink="#14171c",
    muted="#59616d",
    rule="#dde0e5",
    train="#6b7480",
    validation="#1b5fc1",
    right="#0f7045",
    wrong="#b4231a",
)

PANEL_INCHES = (4.9, 3.3)
"""With 72 units to the inch, a panel fills a phone's width nearly at its own size: text stays readable."""

_LABEL_GAP = 0.085
"""Least distance between the names of two curves, as a share of the axis: a line of text."""


@dataclass(frozen=True)
class Meeting:
    """Where the curve of train comes up to the one of validation.

    Attributes:
        epoch: The first epoch at whose end train is no longer worse.
        position: The place between this epoch and the one before at which the two lines cross.
        value: Of both lines there.
    """

    epoch: int
    position: float
    value: float


def meeting(history: Sequence[EpochMetrics], metric: Metric) -> Meeting | None:
    """Where train is for the first time no longer worse than validation, having been worse in the epoch before.

    From about there the network learns what holds for the training images alone.

    Returns:
        None if there is no such epoch, or no validation.
    """
    train, validation = _train(history, metric), _validation(history, metric)
    if validation is None:
        return None
    lag = train - validation if metric == "loss" else validation - train  # positive: train is worse
    for index in range(1, len(lag)):
        before, after = lag[index - 1], lag[index]
        if before > 0 >= after:
            share = before / (before - after)
            value = train[index - 1] + share * (train[index] - train[index - 1])
            return Meeting(epoch=index + 1, position=float(index + share), value=float(value))
    return None


def best_epoch(history: Sequence[EpochMetrics], metric: Metric) -> int | None:
    """The first epoch with the best validation figure; None if there is none.

    A recipe with early stopping keeps the weights of the best loss, one without those of the last epoch.
    """
    validation = _validation(history, metric)
    if validation is None or np.isnan(validation).all():
        return None
    return 1 + int(np.nanargmin(validation) if metric == "loss" else np.nanargmax(validation))


@dataclass(frozen=True)
class _Curve:
    name: str
    values: npt.NDArray[np.float64]
    colour: str
    style: str


def draw_curves(panel: FigureBase, training: TrainingResult, metric: Metric, palette: Palette, *, titled: bool) -> None:
    """Draw one figure of train and validation over the epochs into a part of a matplotlib figure.

    Args:
        panel: A figure or subfigure of `PANEL_INCHES`.
        training: Its history has at least one epoch.
        metric: Which figure.
        palette: The colours.
        titled: Whether the metric's name stands above.
    """
    panel.set_facecolor(palette.paper)
    axes = panel.add_axes((0.105, 0.095, 0.69, 0.66 if titled else 0.755))
    curves = [_Curve("train", _train(training.history, metric), palette.train, "--")]
    validation = _validation(training.history, metric)
    if validation is not None:
        curves.append(_Curve("validation", validation, palette.validation, "-"))
    epochs = range(1, len(training.history) + 1)
    for curve in curves:
        # One epoch makes no line, only a point.
        marker = "." if len(epochs) == 1 else None
        axes.plot(epochs, curve.values, curve.style, color=curve.colour, marker=marker, linewidth=1.8, label="_")
    _frame(axes, len(epochs), palette)
    _scale(axes, metric)
    _mark(axes, training, metric, palette)
    _name_curves(axes, curves)
    if titled:
        # Above the two lines of the legend.
        axes.set_title(metric.capitalize(), loc="left", pad=42, color=palette.ink, fontsize=11, fontweight="bold")


def _train(history: Sequence[EpochMetrics], metric: Metric) -> npt.NDArray[np.float64]:
    return _values([epoch.train for epoch in history], metric)


def _validation(history: Sequence[EpochMetrics], metric: Metric) -> npt.NDArray[np.float64] | None:
    """None where the recipe trains on all images."""
    scores = [epoch.validation for epoch in history if epoch.validation is not None]
    if not scores or len(scores) < len(history):
        return None
    return _values(scores, metric)


def _values(scores: Sequence[Scores], metric: Metric) -> npt.NDArray[np.float64]:
    """NaN where training diverged: an infinite value has no place in a figure either."""
    values = np.array([getattr(score, metric) for score in scores], np.float64)  # (num_epochs,)
    return np.where(np.isfinite(values), values, np.nan)


def _frame(axes: Axes, num_epochs: int, palette: Palette) -> None:
    """Little ink: a base line, horizontal rules, few ticks."""
    axes.set_facecolor("none")
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(palette.rule)
    axes.grid(axis="y", color=palette.rule, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=palette.muted, length=0, labelsize=9.5, pad=5)
    axes.set_xlim(1 - 0.02 * num_epochs, num_epochs + 0.02 * num_epochs)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axes.margins(y=0.12)
    axes.annotate(
        "epoch",
        xy=(1, 0),
        xycoords="axes fraction",
        xytext=(6, -5),
        textcoords="offset points",
        va="top",
        color=palette.muted,
        fontsize=9.5,
    )


def _scale(axes: Axes, metric: Metric) -> None:
    """Loss from 0 on; the others in per cent, up to 100 and no further."""
    low, high = axes.get_ylim()
    if metric == "loss":
        axes.set_ylim(bottom=0)
    else:
        axes.set_ylim(max(low, -0.02), min(high, 1.02))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g} %"))


def _mark(axes: Axes, training: TrainingResult, metric: Metric, palette: Palette) -> None:
    """A dot, a dotted line and an open diamond, named in a legend above: there no curve is in their way."""
    kept, best = training.best_epoch, best_epoch(training.history, metric)
    validation = _validation(training.history, metric)
    if best is not None and validation is not None:
        name = f"best and kept: epoch {best}" if best == kept else f"best: epoch {best}"
        axes.plot([best], [validation[best - 1]], "o", color=palette.validation, label=name, markersize=7)
    name = "_" if best == kept else f"kept: epoch {kept}"
    axes.axvline(kept, color=palette.muted, linewidth=1.2, linestyle=":", label=name)
    met = meeting(training.history, metric)
    if met is not None:
        name = f"curves meet: epoch {met.epoch}"
        axes.plot(
            [met.position], [met.value], "D", color=palette.ink, markerfacecolor=palette.paper, label=name, markersize=6
        )
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1),
        ncols=2,
        frameon=False,
        borderpad=0.2,
        handlelength=1.2,
        handletextpad=0.5,
        columnspacing=1.4,
        labelcolor=palette.muted,
        fontsize=9.5,
    )


def _name_curves(axes: Axes, curves: list[_Curve]) -> None:
    """Name each curve at its right end instead of in a legend, and keep two names apart."""
    low, high = axes.get_ylim()
    ends = [float(curve.values[-1]) for curve in curves]
    # In the middle where training diverged: there is no line whose end could be named.
    heights = [(end - low) / (high - low) if math.isfinite(end) else 0.5 for end in ends]
    if len(heights) == 2 and abs(heights[0] - heights[1]) < _LABEL_GAP:
        middle, sign = sum(heights) / 2, 1 if heights[0] >= heights[1] else -1
        heights = [middle + sign * _LABEL_GAP / 2, middle - sign * _LABEL_GAP / 2]
    for curve, height in zip(curves, heights, strict=True):
        axes.annotate(
            curve.name,
            xy=(1, height),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=curve.colour,
            fontsize=9.5,
            fontweight="bold",
        )
