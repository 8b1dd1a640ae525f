"""The evidence on a new model: paired figures of it and the champions on the same test images, and what they show.

The same code judges what was observed and, for the power, pairs of equal models that are made by swapping the two
models' predictions image by image. Decisions rest on exact and closed tests.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cnn_model import paired
from cnn_model.metrics import Labels, Probabilities
from cnn_model.paired import Floats
from cnn_model.results import Interval
from tasks.register.config import RegisterConfig
from tasks.register.corruptions import CorruptionEvidence
from tasks.values.decision import ClassComparison, Guard, GuardName, Mode

LEVEL = 0.05
"""Of each test: two-sided for better, so that it agrees with the 95 % interval; one-sided for all others."""

CALIBRATION = {"calibration_error": "calibration error", "brier_score": "Brier score", "log_loss": "log-loss"}


@dataclass(frozen=True)
class TestImages:
    """What the models were asked.

    Attributes:
        labels: ndarray of shape (num_images,), dtype=uint8; at least one.
        distinct: Those without near-duplicate in train; ndarray of shape (num_images,), dtype=bool.
        class_names: Names of the labels, in their order.
    """

    __test__ = False  # pytest looks for classes of such names

    labels: Labels
    distinct: npt.NDArray[np.bool_]
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Opponent:
    """A champion to compare with.

    Attributes:
        version: Its version.
        probabilities: On the same test images, ndarray of shape (num_images, num_classes); None where it could not be
            scored.
        problem: Why it could not be.
    """

    version: int
    probabilities: Probabilities | None
    problem: str = ""

    @property
    def scored(self) -> Probabilities:
        """The probabilities of one that was scored."""
        assert self.probabilities is not None, "only opponents that were scored are compared"
        return self.probabilities


@dataclass(frozen=True)
class _Counts:
    """What the guards look at: of one pair of models, or of many simulated ones along the first axis.

    Attributes:
        correct: Images that the challenger gets right, shape (num_pairs,).
        net: Wins minus losses against the champion: all images, distinct images, shape (num_pairs, 2).
        anchor: Wins and losses against the anchor, likewise: shape (num_pairs, 4); None without one.
        classes: Wins minus losses by class, shape (num_pairs, num_classes).
        calibration: Sums of the differences in `CALIBRATION`, shape (num_pairs, 3).
        corruptions: Sums of the differences under corruption, shape (num_pairs,); None where there are none.
    """

    correct: Floats
    net: Floats
    anchor: Floats | None
    classes: Floats
    calibration: Floats
    corruptions: Floats | None


class Evidence:
    """A challenger and a champion, and the anchor beside them where there is one.

    Args:
        challenger: Its probabilities, ndarray of shape (num_images, num_classes).
        images: The test images.
        champion: Scored.
        anchor: Scored as well, or None.
        corruptions: Challenger and champion on corrupted images, or None.
        rule: The policy and its bounds.
    """

    def __init__(
        self,
        challenger: Probabilities,
        images: TestImages,
        champion: Opponent,
        anchor: Opponent | None,
        corruptions: CorruptionEvidence | None,
        rule: RegisterConfig,
    ) -> None:
        self._rule, self._images, self._anchor, self._corruptions = rule, images, anchor, corruptions
        self._total = len(images.labels)
        self._num_distinct = int(images.distinct.sum())
        self._first = paired.score_images(challenger, images.labels)
        self._second = paired.score_images(champion.scored, images.labels)
        self._third = paired.score_images(anchor.scored, images.labels) if anchor is not None else None
        self._groups = (np.eye(len(images.class_names))[images.labels]).astype(np.float32)
        self._sizes = np.bincount(images.labels, minlength=len(images.class_names))
        self._tested = self._sizes >= rule.min_class_images
        self._differing = (self._first.correct != self._second.correct).astype(np.float64)
        self._differences = np.column_stack(
            [getattr(self._first, name) - getattr(self._second, name) for name in CALIBRATION]
        )
        self._observed = self._count(np.ones((1, self._total), np.float32))

    def guards(self) -> Iterator[Guard]:
        """The conditions on the figures, as they were observed."""
        holds = {name: bool(passed[0]) for name, passed in self._holds(self._observed).items()}
        sentences: dict[GuardName, str] = {
            "accuracy": self._accuracy_sentence(),
            "anchor": self._anchor_sentence(),
            "classes": self._classes_sentence(),
            "calibration": self._calibration_sentence(),
            "corruptions": self._corruptions_sentence(),
        }
        for name, passed in holds.items():
            sentence = "" if passed else sentences[name]
            yield Guard(name=name, passed=passed, decides=name not in self._reported, sentence=sentence)

    def power_for_equal(self, num_trials: int) -> float:
        """The share of equal challengers that the whole rule promotes.

        Were the two models equal, each swap of predictions would have been as likely as what was observed.
        """
        num_promoted = 0
        for signs in paired.swaps(self._total, num_trials):
            counts = self._count(signs)
            allowed = counts.correct >= self._rule.min_accuracy * self._total
            for name, passed in self._holds(counts).items():
                if name not in self._reported:
                    allowed = allowed & passed
            num_promoted += int(allowed.sum())
        return num_promoted / num_trials

    def class_comparisons(self) -> tuple[ClassComparison, ...]:
        """Each class, in their order."""
        p_values = self._worse_p_by_class(self._observed)[0]
        tested = iter(p_values)
        found = []
        for index, name in enumerate(self._images.class_names):
            size = int(self._sizes[index])
            differing = int(self._differing @ self._groups[:, index])
            net = int(self._observed.classes[0, index])
            p_value = float(next(tested)) if self._tested[index] else None
            wins, losses = (differing + net) // 2, (differing - net) // 2
            unknown = Interval(value=0.0, low=-1.0, high=1.0)
            difference = paired.difference_interval(wins, losses, size) if size else unknown
            found.append(
                ClassComparison(
                    class_name=name,
                    num_images=size,
                    num_wins=wins,
                    num_losses=losses,
                    difference=difference.value,
                    low=difference.low,
                    high=difference.high,
                    worse_p=p_value,
                    worse=p_value is not None and p_value <= LEVEL,
                )
            )
        return tuple(found)

    @property
    def _reported(self) -> set[GuardName]:
        """The guards that stand in nobody's way."""
        modes: dict[GuardName, Mode] = {
            "classes": self._rule.classes,
            "calibration": self._rule.calibration,
            "corruptions": "report" if self._rule.max_drop is None else "gate",
        }
        return {name for name, mode in modes.items() if mode == "report"}

    @property
    def _sets(self) -> tuple[int, ...]:
        """How many test images there are, and how many distinct ones where that are others."""
        return (self._total, self._num_distinct) if 0 < self._num_distinct < self._total else (self._total,)

    def _count(self, signs: npt.NDArray[np.float32]) -> _Counts:
        """Count, where a sign of -1 swaps the predictions of challenger and champion for an image.

        Args:
            signs: ndarray of shape (num_pairs, num_images).
        """
        first, second = self._first.correct.astype(np.float32), self._second.correct.astype(np.float32)
        subsets = np.column_stack([np.ones(self._total), self._images.distinct]).astype(np.float32)
        anchor = None
        if self._third is not None:
            third = self._third.correct.astype(np.float32)
            # Wins are where a model is right and the anchor wrong; losses where it is the other way round.
            sides = [(first * (1 - third), second * (1 - third)), ((1 - first) * third, (1 - second) * third)]
            counts = [
                (one + other) @ subsets / 2 + signs @ ((one - other)[:, None] * subsets) / 2 for one, other in sides
            ]
            anchor = np.rint(np.concatenate(counts, axis=1)).astype(np.float64)
        net = (first - second)[:, None]
        return _Counts(
            correct=(first + second).sum() / 2 + (signs @ net)[:, 0] / 2,
            net=np.rint(signs @ (net * subsets)).astype(np.float64),
            anchor=anchor,
            classes=np.rint(signs @ (net * self._groups)).astype(np.float64),
            calibration=(signs @ self._differences.astype(np.float32)).astype(np.float64),
            corruptions=self._corruptions.sums(signs) if self._corruptions is not None else None,
        )

    def _holds(self, counts: _Counts) -> dict[GuardName, npt.NDArray[np.bool_]]:
        """Which conditions hold, for each pair."""
        holds: dict[GuardName, npt.NDArray[np.bool_]] = {"accuracy": _all(self._accuracy_holds(counts))}
        if counts.anchor is not None and self._rule.policy == "refresh":
            wins, losses = np.split(counts.anchor, 2, axis=1)
            holds["anchor"] = _all(self._not_worse(wins, losses))
        holds["classes"] = _all(self._worse_p_by_class(counts) > LEVEL)
        holds["calibration"] = _all(self._worse_p_of_calibration(counts) > LEVEL)
        if self._corruptions is not None and counts.corruptions is not None:
            holds["corruptions"] = self._corruptions.worse_p(counts.corruptions) > LEVEL
        return holds

    def _accuracy_holds(self, counts: _Counts) -> npt.NDArray[np.bool_]:
        """Whether accuracy is high enough, on all test images and the distinct ones; shape (num_pairs, 1 or 2)."""
        differing = np.array([self._differing.sum(), self._differing @ self._images.distinct])
        wins, losses = (differing + counts.net) / 2, (differing - counts.net) / 2
        if self._rule.policy == "improve":
            return paired.better_p(wins, losses)[:, : len(self._sets)] <= LEVEL / 2
        return self._not_worse(wins, losses)

    def _not_worse(self, wins: Floats, losses: Floats) -> npt.NDArray[np.bool_]:
        """Likewise of wins and losses, of shape (num_pairs, 2)."""
        p_values = [
            paired.not_worse_p(wins[:, column], losses[:, column], size, self._rule.margin)
            for column, size in enumerate(self._sets)
        ]
        return np.stack(p_values, axis=1) <= LEVEL

    def _worse_p_by_class(self, counts: _Counts) -> Floats:
        """Of the tested classes alone, corrected; shape (num_pairs, num_tested)."""
        differing = (self._differing @ self._groups)[self._tested]
        net = counts.classes[:, self._tested]
        return paired.holm(paired.better_p((differing - net) / 2, (differing + net) / 2))

    def _worse_p_of_calibration(self, counts: _Counts) -> Floats:
        """Corrected; shape (num_pairs, 3)."""
        squares = (self._differences**2).sum(axis=0)
        return paired.holm(paired.above_p(counts.calibration, squares, self._total, self._rule.calibration_margin))

    def _accuracy_sentence(self) -> str:
        where = ""
        if self._accuracy_holds(self._observed)[0, 0]:
            where = f" on the {self._num_distinct:,} test images without near-duplicate in train"
        if self._rule.policy == "improve":
            return f"it is not shown to be better than the champion{where}"
        return f"it is not excluded that it is worse than the champion by {points(self._rule.margin)}{where}"

    def _anchor_sentence(self) -> str:
        if self._third is None or self._anchor is None:
            return ""
        difference = float(self._first.correct.mean() - self._third.correct.mean())
        return (
            f"it is not excluded that it is worse by {points(self._rule.margin)} than the last champion that no "
            f"refresh chose, version {self._anchor.version} ({points(difference, signed=True)})"
        )

    def _classes_sentence(self) -> str:
        worse = [found for found in self.class_comparisons() if found.worse]
        parts = ", ".join(f"{found.class_name} ({points(found.difference, signed=True)})" for found in worse)
        return f"significantly worse at {parts}"

    def _calibration_sentence(self) -> str:
        p_values = self._worse_p_of_calibration(self._observed)[0]
        means = self._observed.calibration[0] / self._total
        worse = [
            f"{words} {mean:+.4f}"
            for words, p_value, mean in zip(CALIBRATION.values(), p_values, means, strict=True)
            if p_value <= LEVEL
        ]
        return f"its probabilities are significantly worse ({', '.join(worse)})"

    def _corruptions_sentence(self) -> str:
        if self._corruptions is None:
            return ""
        margin = f" by more than {points(self._rule.max_drop)}" if self._rule.max_drop else ""
        difference = points(self._corruptions.difference, signed=True)
        return f"its accuracy on corrupted images is significantly worse{margin} ({difference})"


def _all(conditions: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether all of a pair's conditions hold; shape (num_pairs, num_conditions) to (num_pairs,)."""
    return np.asarray(conditions.all(axis=1))


def points(share: float, *, signed: bool = False) -> str:
    """A difference in accuracy as people say it: 0.0021 as "0.21 points"."""
    return f"{100 * share:{'+' if signed else ''}.2f} points"
