"""The gate's decision as the page says it: its conditions, and the differences on one scale, as in a forest plot."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.ticker import MaxNLocator

from cnn_model.results import Interval
from tasks.report import words
from tasks.values.decision import Comparison, Decision, Guard, PairedFigure

Verdict = Literal["better", "worse", ""]


@dataclass(frozen=True)
class Condition:
    """One condition of a promotion.

    Attributes:
        tone: "good" passed, "bad" speaks against a promotion, "warn" does not hold and is only reported.
        state: The same in words.
        sentence: What holds, or what was found instead.
    """

    name: str
    tone: Literal["good", "bad", "warn"]
    state: str
    sentence: str


@dataclass(frozen=True)
class Row:
    """One difference, challenger minus champion.

    Attributes:
        values: The champion's and the challenger's figure, in words; empty where they are not known.
        difference: As the axis has it.
        text: The difference in words.
        interval: Its 95 % interval in words.
        verdict: "better" or "worse" where that is shown: where the interval leaves out 0; of a class, where the
            corrected test finds it worse. Else empty.
    """

    name: str
    values: str
    difference: Interval
    text: str
    interval: str
    verdict: Verdict


@dataclass(frozen=True)
class Tick:
    """A figure below the scale; a minor one gives way where there is little room."""

    value: float
    text: str
    minor: bool


@dataclass(frozen=True)
class Axis:
    """The scale that the rows of a table share.

    Attributes:
        ticks: Where a figure stands on it.
        margin: What is still accepted; None where there is no such line.
    """

    low: float
    high: float
    ticks: tuple[Tick, ...]
    margin: float | None

    def place(self, value: float) -> float:
        """Where a difference stands, in per cent of the width; what is beyond an end, at that end."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(share, 0.0), 1.0), 2)


@dataclass(frozen=True)
class Forest:
    """Differences with intervals on one scale.

    Attributes:
        groups: Rows, by what they are about.
        worse_is: On which side of 0 the challenger is worse.
    """

    groups: dict[str, tuple[Row, ...]]
    axis: Axis
    worse_is: Literal["left", "right"]


def conditions(decision: Decision) -> tuple[Condition, ...]:
    """What was looked at, what speaks against a promotion first."""
    found = [_condition(guard, decision) for guard in decision.guards]
    return tuple(sorted(found, key=lambda condition: ("bad", "warn", "good").index(condition.tone)))


def _condition(guard: Guard, decision: Decision) -> Condition:
    margin = f"{100 * decision.margin:.2f} points"
    names = {
        "floor": ("Floor", "the accuracy is not below it"),
        "accuracy": ("Accuracy", f"not worse than the champion's by {margin}"),
        "anchor": ("Anchor", f"not worse by {margin} than the last champion that no refresh chose"),
        "classes": ("Classes", "none is significantly worse"),
        "calibration": ("Probabilities", "not significantly worse"),
        "corruptions": ("Corruptions", "not significantly worse on corrupted test images"),
        "champion": ("Champion", "it can be compared with"),
        "approval": ("Approval", "a person gave it"),
        "robustness": ("Robustness", "the accuracy on corrupted images has not dropped too far"),
    }
    name, holds = names[guard.name]
    if guard.name == "accuracy" and decision.policy == "improve":
        holds = "better than the champion's"
    if guard.passed:
        return Condition(name, "good", "passed" if guard.decides else "passed, only reported", holds)
    if guard.decides:
        return Condition(name, "bad", "speaks against", guard.sentence)
    return Condition(name, "warn", "only reported", guard.sentence)


def accuracy_forest(decision: Decision) -> Forest:
    """Accuracy against each opponent, on all test images and without near-duplicates, and recall of each class."""
    overall = tuple(_accuracy_row(found) for found in decision.comparisons)
    classes = tuple(
        _row(
            found.class_name,
            "",
            Interval(value=found.difference, low=found.low, high=found.high),
            in_points=True,
            verdict="worse" if found.worse else "",
        )
        for found in decision.classes
        if found.num_images
    )
    margin = -decision.margin if decision.policy != "improve" else None
    groups = {"Accuracy": overall, "Recall of each class": classes}
    return _forest(groups, margin, in_points=True, worse_is="left")


def calibration_forest(comparison: Comparison, margin: float | None) -> Forest:
    """How good the probabilities are; of each figure less is better.

    Args:
        comparison: With the champion, on all test images.
        margin: By how much each may be worse.
    """
    rows = (
        _calibration_row("Log-loss, nats", comparison.log_loss),
        _calibration_row("Brier score", comparison.brier_score),
        _calibration_row("Calibration error", comparison.calibration_error),
    )
    return _forest({"Probabilities": rows}, margin, in_points=False, worse_is="right")


def _accuracy_row(found: Comparison) -> Row:
    digits = words.digits_for(found.num_images)
    before, after = (
        words.percent(figure.value, digits) for figure in (found.accuracy.champion, found.accuracy.challenger)
    )
    values = f"version {found.version}: {before}\u00a0→\u00a0{after}"
    name = f"{found.opponent.capitalize()}, {'all images' if found.images == 'all' else found.images}"
    difference = found.accuracy.difference
    return _row(name, values, difference, in_points=True, verdict=_verdict(difference, more_is="better"))


def _calibration_row(name: str, figure: PairedFigure) -> Row:
    values = f"{figure.champion.value:.4f} → {figure.challenger.value:.4f}"
    verdict = _verdict(figure.difference, more_is="worse")
    return _row(name, values, figure.difference, in_points=False, verdict=verdict)


def _verdict(difference: Interval, more_is: Verdict) -> Verdict:
    if difference.low <= 0 <= difference.high:
        return ""
    less_is: Verdict = "worse" if more_is == "better" else "better"
    return more_is if difference.value > 0 else less_is


def _row(name: str, values: str, difference: Interval, *, in_points: bool, verdict: Verdict) -> Row:
    say = words.points if in_points else words.signed
    return Row(
        name=name,
        values=values,
        difference=difference,
        text=say(difference.value),
        interval=f"{say(difference.low)} to {say(difference.high)}",
        verdict=verdict,
    )


def _forest(
    groups: dict[str, tuple[Row, ...]], margin: float | None, *, in_points: bool, worse_is: Literal["left", "right"]
) -> Forest:
    rows: Sequence[Row] = [row for group in groups.values() for row in group]
    ends = [0.0] if margin is None else [0.0, margin]
    ends += [bound for row in rows for bound in (row.difference.low, row.difference.high)]
    low, high = min(ends), max(ends)
    # A little room, so that no dot stands at the very edge; and a scale also where nothing differs.
    room = 0.06 * (high - low) or 0.01
    low, high = low - room, high + room
    scale = 100 if in_points else 1
    locator = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10])
    places = [float(place) for place in locator.tick_values(scale * low, scale * high)]
    # As many decimals as the steps have: "0.5", not "0.50".
    digits = max(len(f"{place:.6g}".partition(".")[2]) for place in places)
    step = places[1] - places[0]
    ticks = tuple(
        Tick(place / scale, words.signed(place, digits) if place else "0", minor=round(place / step) % 2 == 1)
        for place in places
        if low <= place / scale <= high
    )
    return Forest({name: group for name, group in groups.items() if group}, Axis(low, high, ticks, margin), worse_is)
