"""Accuracy on corrupted test images as the page has it: a table by corruption and severity, and its means."""

from dataclasses import dataclass

from tasks.report import charts, words
from tasks.values.decision import RobustnessComparison
from tasks.values.robustness import Robustness


@dataclass(frozen=True)
class CorruptionRow:
    """One corruption.

    Attributes:
        challenger: Accuracy by severity.
        champion: Likewise; empty where no champion was looked at.
    """

    name: str
    challenger: tuple[float, ...]
    champion: tuple[float, ...]


@dataclass(frozen=True)
class RobustnessTable:
    """All corruptions.

    Attributes:
        severities: In their order.
        rows: In the order of the suite; the last one is the mean of the others.
        comparison: With the champion, where it was made.
        chart: Means by severity, as an `<svg>`.
    """

    robustness: Robustness
    severities: tuple[int, ...]
    rows: tuple[CorruptionRow, ...]
    comparison: RobustnessComparison | None
    chart: str


def robustness_table(robustness: Robustness, comparison: RobustnessComparison | None) -> RobustnessTable:
    """Lay out the figures of a model, and of the champion beside it.

    Args:
        robustness: Of the new model.
        comparison: With the champion's; None where there is none.

    Raises:
        ValueError: if a figure is missing, or the champion's are of another sample.
    """
    champion = comparison.champion if comparison is not None else None
    if champion is not None and (champion.test_digest, champion.num_images) != (
        robustness.test_digest,
        robustness.num_images,
    ):
        raise ValueError(
            f"The champion's figures are of {champion.num_images} images of {champion.test_digest[:12]}, this model's "
            f"of {robustness.num_images} of {robustness.test_digest[:12]}; expected the same. Run again."
        )
    severities = tuple(sorted({score.severity for score in robustness.scores}))
    names = tuple(dict.fromkeys(score.corruption for score in robustness.scores))
    own = _by_corruption(robustness, names, severities)
    other = _by_corruption(champion, names, severities) if champion is not None else {}
    rows = [CorruptionRow(name, own[name], other.get(name, ())) for name in names]
    mean = CorruptionRow("Mean", _means(list(own.values())), _means(list(other.values())))
    lines: list[tuple[str, bool, tuple[float, ...]]] = []
    if champion is not None:
        lines.append(("champion", False, (champion.clean_accuracy, *mean.champion)))
    lines.append(("this model", True, (robustness.clean_accuracy, *mean.challenger)))
    return RobustnessTable(robustness, severities, (*rows, mean), comparison, charts.severity(lines))


def _by_corruption(
    robustness: Robustness, names: tuple[str, ...], severities: tuple[int, ...]
) -> dict[str, tuple[float, ...]]:
    found = {(score.corruption, score.severity): score.accuracy for score in robustness.scores}
    missing = [f"{name} {level}" for name in names for level in severities if (name, level) not in found]
    if missing:
        raise ValueError(
            f"There is no accuracy under {words.option(missing)}; expected one for each corruption and severity. Run "
            "the evaluation again."
        )
    return {name: tuple(found[name, level] for level in severities) for name in names}


def _means(rows: list[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(sum(column) / len(rows) for column in zip(*rows, strict=True))
