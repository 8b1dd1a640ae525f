"""The report's own charts, in the look of the curves of training: reliability, severity of corruption, history.

Each gives an `<svg>` for the page, or takes values of which the page has a table as well. The champion is grey and
dashed, the challenger in colour; neither is told by its colour alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from cnn_model.curves import PANEL_INCHES
from cnn_model.reliability import ReliabilityBin
from cnn_model.results import Interval
from tasks.report import words
from tasks.report.figures import PLACEHOLDERS, inline_svg

CHAMPION, CHALLENGER = PLACEHOLDERS.train, PLACEHOLDERS.validation
FONT_SIZE = 9.5


@dataclass(frozen=True)
class ModelBins:
    """The reliability of one model.

    Attributes:
        name: What the page calls the model.
        is_challenger: Else it is the champion.
    """

    name: str
    is_challenger: bool
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class Point:
    """A run in the history.

    Attributes:
        same_images: Whether its test images are those of the run on the page.
        promoted: Whether its model became champion.
        current: Whether it is the run on the page.
    """

    started: datetime
    accuracy: Interval
    same_images: bool
    promoted: bool
    current: bool


def reliability(models: Sequence[ModelBins]) -> str:
    """Accuracy over confidence, the challenger last and on top."""
    figure, axes = _panel()
    start = min((found.confidence for model in models for found in model.bins), default=0.0)
    axes.plot([0, 1], [0, 1], ":", color=PLACEHOLDERS.muted, linewidth=1.2)
    for model in models:
        _errorbars(axes, model, [found.confidence for found in model.bins], relative=False)
    axes.set_xlim(max(start - 0.05, 0), 1.015)
    axes.set_ylim(max(min(found.accuracy.low for model in models for found in model.bins) - 0.03, 0), 1.02)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g} %"))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    _legend(axes)
    _name_axis(axes, "confidence")
    described = "; ".join(
        f"{model.name}: from {words.percent(model.bins[0].accuracy.value)} right at "
        f"{words.percent(model.bins[0].confidence)} confidence to {words.percent(model.bins[-1].accuracy.value)} at "
        f"{words.percent(model.bins[-1].confidence)}"
        for model in models
    )
    return inline_svg(figure, "reliability", "Accuracy over confidence in bins of equally many images", described)


def gaps(models: Sequence[ModelBins]) -> str:
    """Accuracy minus confidence by bin: there no bin hides another, as near certainty they do above."""
    figure, axes = _panel()
    num_bins = max(len(model.bins) for model in models)
    axes.axhline(0, color=PLACEHOLDERS.muted, linewidth=1.2, linestyle=":")
    for model in models:
        shift = 0.0 if len(models) == 1 else 0.16 if model.is_challenger else -0.16
        _errorbars(axes, model, [number + shift for number in range(1, len(model.bins) + 1)], relative=True)
    axes.set_xlim(0.4, num_bins + 0.6)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda gap, _: words.points(gap, 0)))
    axes.set_xticks([1, num_bins] if num_bins > 1 else [1], ["unsurest", "surest"][:num_bins])
    _legend(axes)
    described = "; ".join(
        f"{model.name}: between {words.points(min(values))} and {words.points(max(values))} points"
        for model in models
        if (values := [found.accuracy.value - found.confidence for found in model.bins])
    )
    return inline_svg(figure, "gaps", "Accuracy minus confidence by bin, in points", described)


def severity(lines: Sequence[tuple[str, bool, Sequence[float]]]) -> str:
    """Mean accuracy over all corruptions by severity.

    Args:
        lines: Name, whether it is the challenger, and the accuracy on clean images and then at each severity.
    """
    figure, axes = _panel()
    for name, is_challenger, values in lines:
        colour, style, marker = (CHALLENGER, "-", "o") if is_challenger else (CHAMPION, "--", "s")
        axes.plot(range(len(values)), values, style, marker=marker, color=colour, linewidth=1.8, label=name)
    num_severities = max(len(values) for _, _, values in lines) - 1
    axes.set_xlim(-0.15, num_severities + 0.15)
    axes.set_xticks(range(num_severities + 1), ["clean", *(str(level) for level in range(1, num_severities + 1))])
    axes.margins(y=0.15)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g} %"))
    _legend(axes)
    _name_axis(axes, "severity")
    described = "; ".join(
        f"{name}: {words.percent(values[0])} on clean images, {words.percent(values[-1])} at the highest severity"
        for name, _, values in lines
    )
    return inline_svg(figure, "severity", "Mean accuracy over all corruptions by severity", described)


def history(points: Sequence[Point]) -> str:
    """The accuracy of every run with its interval, in the order of the runs."""
    figure, axes = _panel(legend_rows=2)
    numbered = list(enumerate(points, start=1))
    same = [(place, point) for place, point in numbered if point.same_images]
    groups = (
        ("promoted", "o", CHALLENGER, CHALLENGER, [item for item in same if item[1].promoted]),
        ("not promoted", "o", CHALLENGER, PLACEHOLDERS.paper, [item for item in same if not item[1].promoted]),
        ("other test images", "D", CHAMPION, PLACEHOLDERS.paper, [item for item in numbered if item not in same]),
    )
    for name, marker, colour, fill, chosen in groups:
        if not chosen:
            continue
        values = np.array([point.accuracy.value for _, point in chosen])
        bounds = np.array([[point.accuracy.low, point.accuracy.high] for _, point in chosen]).T
        axes.errorbar(
            [place for place, _ in chosen],
            values,
            yerr=abs(bounds - values),
            fmt=marker,
            color=colour,
            markerfacecolor=fill,
            markersize=5.5,
            elinewidth=1.2,
            label=name,
        )
    for place in (place for place, point in numbered if point.current):
        axes.axvline(place, color=PLACEHOLDERS.muted, linewidth=1.2, linestyle=":", label="this run", zorder=0)
    axes.set_xlim(0.4, len(points) + 0.6)
    axes.margins(y=0.12)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g} %"))
    _date_ticks(axes, [point.started for point in points])
    _legend(axes)
    described = f"{len(points)} runs"
    if same:
        shares = [point.accuracy.value for _, point in same]
        described += f"; on these test images between {words.percent(min(shares), 2)} and "
        described += words.percent(max(shares), 2)
    return inline_svg(figure, "history-chart", "Accuracy of the runs with 95 % intervals", described + ".")


def _date_ticks(axes: Axes, dates: Sequence[datetime]) -> None:
    """The first, the last and, of many, the middle one; the outer ones within the axes."""
    ends = sorted({1, (len(dates) + 1) // 2, len(dates)} if len(dates) > 4 else {1, len(dates)})
    axes.set_xticks(ends, [words.day(dates[place - 1]) for place in ends])
    for label, place in zip(axes.get_xticklabels(), ends, strict=True):
        label.set_horizontalalignment("center" if 1 < place < len(dates) else "left" if place == 1 else "right")


def _panel(legend_rows: int = 1) -> tuple[Figure, Axes]:
    """Little ink, as the curves of training have it; room for the legend above."""
    figure = Figure(figsize=PANEL_INCHES)
    figure.set_facecolor(PLACEHOLDERS.paper)
    axes = figure.add_axes((0.115, 0.14, 0.865, 0.84 - 0.075 * legend_rows))
    axes.set_facecolor("none")
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(PLACEHOLDERS.rule)
    axes.grid(axis="y", color=PLACEHOLDERS.rule, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=PLACEHOLDERS.muted, length=0, labelsize=FONT_SIZE, pad=5)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    return figure, axes


def _errorbars(axes: Axes, model: ModelBins, places: Sequence[float], *, relative: bool) -> None:
    values = np.array([found.accuracy.value for found in model.bins])
    bounds = np.array([[found.accuracy.low, found.accuracy.high] for found in model.bins]).T  # (2, num_bins)
    shift = np.array([found.confidence for found in model.bins]) if relative else np.zeros(len(values))
    axes.errorbar(
        places,
        values - shift,
        yerr=abs(bounds - values),
        fmt="o" if model.is_challenger else "s",
        color=CHALLENGER if model.is_challenger else CHAMPION,
        markerfacecolor=CHALLENGER if model.is_challenger else PLACEHOLDERS.paper,
        markersize=4.5,
        elinewidth=1.2,
        label=model.name,
    )


def _legend(axes: Axes) -> None:
    """Above the chart: there nothing is in its way."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(-0.02, 1.005),
            ncols=2,
            frameon=False,
            borderpad=0.2,
            handlelength=1.4,
            handletextpad=0.5,
            columnspacing=1.4,
            labelcolor=PLACEHOLDERS.muted,
            fontsize=FONT_SIZE,
        )


def _name_axis(axes: Axes, name: str) -> None:
    """Below the middle."""
    axes.annotate(
        name,
        xy=(0.5, 0),
        xycoords="axes fraction",
        xytext=(0, -20),
        textcoords="offset points",
        ha="center",
        va="top",
        color=PLACEHOLDERS.muted,
        fontsize=FONT_SIZE,
    )
