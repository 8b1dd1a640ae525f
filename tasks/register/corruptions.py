"""What corrupted test images say of a new model and the champion: how they are read, and what is counted.

Of each image of the sample it is counted in how many of its corrupted forms a model recognises it; so the mean accuracy
is a mean over images, and two models differ by a mean of paired differences.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cnn_model import paired
from cnn_model.paired import Floats
from tasks import store
from tasks.register.config import RegisterConfig
from tasks.values.decision import PairedFigure, RobustnessComparison
from tasks.values.robustness import Robustness, RobustnessPair


@dataclass(frozen=True)
class Recognised:
    """Which corrupted images one model recognised.

    Attributes:
        figures: The same in figures.
        positions: The sample's places among the test images, ndarray of shape (num_images,), dtype=int64.
        correct: ndarray of shape (num_corruptions, 3, num_images), dtype=bool.
    """

    figures: Robustness
    positions: npt.NDArray[np.int64]
    correct: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CorruptedImages:
    """Both models on corrupted test images.

    Attributes:
        challenger: None where it could not be scored.
        champion: Likewise.
        problem: Why one of them could not be.
    """

    challenger: Recognised | None
    champion: Recognised | None
    problem: str = ""

    @property
    def both(self) -> "tuple[Recognised, Recognised] | None":
        """Challenger and champion, where they were scored on the same corrupted images."""
        if self.challenger is None or self.champion is None:
            return None
        one, other = self.challenger, self.champion
        same = one.correct.shape == other.correct.shape and np.array_equal(one.positions, other.positions)
        return (one, other) if same else None

    @property
    def obstacle(self) -> str:
        """Why they cannot be compared."""
        if self.challenger is not None and self.champion is not None:
            return "the two models were scored on different corrupted images"
        return self.problem.rstrip(".") or "one of the two was not scored"


class CorruptionEvidence:
    """How much better or worse a challenger is on corrupted images.

    Args:
        challenger: One model.
        champion: The other, on the same corrupted images.
        max_drop: What the challenger's mean accuracy may be lower by.
    """

    def __init__(self, challenger: Recognised, champion: Recognised, max_drop: float) -> None:
        self._challenger, self._champion, self._max_drop = challenger, champion, max_drop
        self._first, self._second = (
            model.correct.mean(axis=(0, 1), dtype=np.float64) for model in (challenger, champion)
        )
        self._differences = self._first - self._second

    def sums(self, signs: npt.NDArray[np.float32]) -> Floats:
        """Sums of the differences, challenger minus champion, where a sign of -1 swaps the two models for an image.

        Args:
            signs: One for each test image, ndarray of shape (num_pairs, num_test_images).

        Returns:
            ndarray of shape (num_pairs,).
        """
        sampled = signs[:, self._challenger.positions]
        return np.asarray(sampled @ self._differences.astype(np.float32), np.float64)

    def worse_p(self, sums: Floats) -> Floats:
        """One-sided test that the challenger is worse by more than `max_drop`; small says that it is."""
        squares = float(self._differences @ self._differences)
        return paired.above_p(-sums, squares, len(self._differences), self._max_drop)

    @property
    def difference(self) -> float:
        """In mean accuracy, challenger minus champion."""
        return float(self._differences.mean())

    def comparison(self, num_resamples: int) -> RobustnessComparison:
        """For people, with intervals."""
        return RobustnessComparison(
            challenger=self._challenger.figures,
            champion=self._champion.figures,
            mean_accuracy=PairedFigure(**vars(paired.compare_means(self._first, self._second, num_resamples))),
        )


def load(pair: RobustnessPair | None) -> CorruptedImages | None:
    """Read what the two models recognised; None where no image was corrupted.

    Raises:
        StoreError: if an artifact is missing or damaged.
    """
    if pair is None:
        return None
    return CorruptedImages(_load(pair.challenger), _load(pair.champion), pair.problem)


def test_digests(pair: RobustnessPair | None) -> set[str]:
    """Of the test images that the samples were drawn from."""
    models = (pair.challenger, pair.champion) if pair is not None else ()
    return {model.test_digest for model in models if model is not None}


def condition(pair: RobustnessPair | None, rule: RegisterConfig) -> dict[str, str | int | None]:
    """What a decision hangs on beside the rule's own values, where corrupted images decide."""
    if rule.max_drop is None:
        return {}
    if pair is None or pair.challenger is None:
        return {"corruption_images": 0, "corruption_problem": pair.problem if pair is not None else ""}
    return {"corruption_images": pair.challenger.num_images, "corruption_problem": pair.problem}


def _load(figures: Robustness | None) -> Recognised | None:
    if figures is None:
        return None
    folder = store.current().fetch(figures.artifact)
    positions, correct = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("positions", "correct"))
    return Recognised(figures, positions, correct)
