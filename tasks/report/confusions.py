"""Confusion matrices as tables with shades: one model's, and what changed from the champion's."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_model.results import EvaluationResult
from tasks.report.gallery import ScoredImages


@dataclass(frozen=True)
class Cell:
    """A cell of a confusion matrix, or of the difference of two.

    Attributes:
        count: Images; of a difference more (above 0) or fewer (below 0).
        hit: Whether the colour says good: images that were recognised; of a difference, more of these or fewer
            mistakes.
        shade: Depth of the colour, 0 to 100. Right ones stay pale, by their share; mistakes, by their share against
            the worst one, are what the eye should find. Of a difference, by its size against the largest.
    """

    count: int
    hit: bool
    shade: int


Matrix = tuple[tuple[Cell, ...], ...]
"""Rows true and columns predicted class."""


@dataclass(frozen=True)
class Change:
    """How much more often one class is taken for another; `count` below 0 is less often."""

    true_class: str
    predicted_class: str
    count: int


def matrix(result: EvaluationResult) -> Matrix:
    """The confusion matrix with shares and shades."""
    shares = [[count / (sum(row) or 1) for count in row] for row in result.confusion_matrix]
    mistakes = (share for i, row in enumerate(shares) for j, share in enumerate(row) if i != j)
    worst = max(mistakes, default=0) or 1
    return tuple(
        tuple(
            Cell(
                count=count,
                hit=i == j,
                shade=round(65 * shares[i][j] if i == j else 100 * shares[i][j] / worst),
            )
            for j, count in enumerate(row)
        )
        for i, row in enumerate(result.confusion_matrix)
    )


def difference(challenger: ScoredImages, champion: ScoredImages) -> Matrix:
    """The challenger's confusion matrix minus the champion's."""
    change = _counts(challenger) - _counts(champion)
    largest = int(abs(change).max()) or 1
    return tuple(
        tuple(
            Cell(count=count, hit=(count > 0) == (i == j), shade=round(100 * abs(count) / largest))
            for j, count in enumerate(row)
        )
        for i, row in enumerate(change.tolist())
    )


def largest_changes(cells: Matrix, class_names: tuple[str, ...], number: int) -> tuple[Change, ...]:
    """The confusions that changed most, mistakes alone; the largest first, worse before better."""
    changes = [
        Change(class_names[i], class_names[j], cell.count)
        for i, row in enumerate(cells)
        for j, cell in enumerate(row)
        if i != j and cell.count
    ]
    return tuple(sorted(changes, key=lambda change: (-abs(change.count), -change.count))[:number])


def _counts(scored: ScoredImages) -> NDArray[np.int64]:
    """Confusion matrix of shape (num_classes, num_classes)."""
    num_classes = len(scored.class_names)
    flat = num_classes * scored.labels + scored.predictions
    return np.bincount(flat, minlength=num_classes**2).reshape(num_classes, num_classes)
