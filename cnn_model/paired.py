"""Two models on the same images: paired tests and intervals. NumPy and SciPy alone; decides nothing.

Every figure of a model (accuracy, log-loss, Brier score, calibration error) is here a mean over the images, so what two
models differ by is a mean of paired differences. The tests take counts and sums of any shape, so that one call serves
an observation and thousands of simulated ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import binom, norm

from cnn_model.metrics import NUM_BINS, SMALLEST_PROBABILITY, Labels, Probabilities
from cnn_model.results import Interval

Floats = npt.NDArray[np.float64]

CHUNK = 200
"""Resamples at once: 8 MB of weights for 10,000 images."""

DETECTION_POWER = 0.8


@dataclass(frozen=True)
class ImageFigures:
    """What one model makes of each image; all arrays have the shape (num_images,).

    Attributes:
        correct: Whether the likeliest class is the label; dtype=bool.
        log_loss: Negative log-likelihood in nats.
        brier_score: Squared distance of the probabilities from the label's, summed over the classes, 0 to 2.
        gap: Confidence minus `correct`, -1 to 1.
        bins: Bin of the calibration error, of equal mass by confidence; dtype=int64.
    """

    correct: npt.NDArray[np.bool_]
    log_loss: Floats
    brier_score: Floats
    gap: Floats
    bins: npt.NDArray[np.int64]

    @property
    def calibration_error(self) -> Floats:
        """Each image's part of the expected calibration error: the gap, with the sign of its bin's mean gap."""
        signs = np.sign(np.bincount(self.bins, weights=self.gap, minlength=NUM_BINS))
        return self.gap * signs[self.bins]


@dataclass(frozen=True)
class PairedIntervals:
    """A figure of two models on the same images, and of their difference; bootstrap intervals at 95 %."""

    challenger: Interval
    champion: Interval
    difference: Interval


def score_images(probabilities: Probabilities, labels: Labels) -> ImageFigures:
    """Score each image.

    Args:
        probabilities: ndarray of shape (num_images, num_classes), each row with sum 1; at least one image.
        labels: ndarray of shape (num_images,).
    """
    rows = np.arange(len(labels))
    likelihoods = probabilities[rows, labels].astype(np.float64)
    confidences = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    bins = np.empty(len(labels), np.int64)
    parts = np.array_split(np.argsort(confidences, kind="stable"), min(NUM_BINS, len(labels)))
    bins[np.concatenate(parts)] = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    squares = np.einsum("ij,ij->i", probabilities, probabilities, dtype=np.float64)
    return ImageFigures(
        correct=correct,
        log_loss=-np.log(np.maximum(likelihoods, SMALLEST_PROBABILITY)),
        brier_score=squares - 2 * likelihoods + 1,
        gap=confidences - correct,
        bins=bins,
    )


def better_p(wins: npt.ArrayLike, losses: npt.ArrayLike) -> Floats:
    """McNemar's exact test, one-sided: the probability of so many wins, or more, of equal models.

    Args:
        wins: Images that the challenger alone gets right.
        losses: Images that the champion alone gets right; of the same shape.
    """
    wins, losses = np.asarray(wins, np.float64), np.asarray(losses, np.float64)
    return np.asarray(binom.sf(wins - 1, wins + losses, 0.5), np.float64)


def mcnemar_p(wins: npt.ArrayLike, losses: npt.ArrayLike) -> Floats:
    """McNemar's exact test, two-sided."""
    smaller: Floats = np.minimum(better_p(wins, losses), better_p(losses, wins))
    return np.minimum(2 * smaller, np.ones(()))


def not_worse_p(wins: npt.ArrayLike, losses: npt.ArrayLike, num_images: int, margin: float) -> Floats:
    """One-sided test that the challenger's accuracy is not lower by the margin or more; small says that it is not.

    The score test: unlike Wald's it holds for few images and where the two models hardly ever differ.

    Args:
        wins: Images that the challenger alone gets right; need not be whole.
        losses: Images that the champion alone gets right; of the same shape.
        num_images: All images.
        margin: The difference to exclude, above 0, below 1.

    Reference: Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
        design", Statistics in Medicine 17 (1998).
    """
    return np.asarray(norm.sf(_tango_score(wins, losses, num_images, -margin)), np.float64)


def difference_interval(wins: int, losses: int, num_images: int) -> Interval:
    """The difference in accuracy of two models with Tango's 95 % score interval: what the test of `not_worse_p` leaves.

    It holds for the few images of one class, and for models that never differ; at two-sided 5 % it leaves out 0 where
    McNemar's test without continuity correction finds a difference.

    Args:
        wins: Images that the challenger alone gets right.
        losses: Images that the champion alone gets right.
        num_images: All images, at least 1.

    Reference: Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
        design", Statistics in Medicine 17 (1998).
    """
    value, quantile = (wins - losses) / num_images, float(norm.isf(0.025))

    def limit(bound: float, side: int) -> float:
        def excess(difference: float) -> float:
            return side * float(_tango_score(wins, losses, num_images, difference)) - quantile

        # Of models that differ in every image, always in the same way, the estimate is the bound already.
        return float(brentq(excess, value, bound)) if excess(bound) > 0 else bound

    return Interval(value=value, low=limit(-1 + 1e-9, 1), high=limit(1 - 1e-9, -1))


def _tango_score(wins: npt.ArrayLike, losses: npt.ArrayLike, num_images: int, difference: float) -> Floats:
    """How many standard errors the wins are above what a difference in accuracy, above -1 and below 1, would give."""
    wins, losses = np.asarray(wins, np.float64), np.asarray(losses, np.float64)
    b = -wins - losses + (2 * num_images - wins + losses) * difference
    c = -losses * difference * (1 - difference)
    # The rate of losses under the hypothesis that this is the difference.
    rate = (np.sqrt(np.maximum(b**2 - 8 * num_images * c, 0)) - b) / (4 * num_images)
    variance = np.maximum(num_images * (2 * rate + difference * (1 - difference)), 1e-300)
    return np.asarray((wins - losses - num_images * difference) / np.sqrt(variance), np.float64)


def above_p(sums: npt.ArrayLike, squares: npt.ArrayLike, num_images: int, margin: float) -> Floats:
    """One-sided test that a mean difference is above the margin; small says that it is.

    Args:
        sums: Sum of the differences over the images.
        squares: Sum of their squares; broadcast to `sums`.
        num_images: All images.
        margin: What the difference may be.
    """
    means = np.asarray(sums, np.float64) / num_images
    variance = np.maximum(np.asarray(squares, np.float64) / num_images - means**2, 0) / num_images
    # Where all images differ alike there is no doubt left.
    return np.asarray(norm.sf((means - margin) / np.sqrt(np.maximum(variance, 1e-30))), np.float64)


def holm(p_values: Floats) -> Floats:
    """Holm's correction over the last axis: what may be compared with the level for the whole family.

    Args:
        p_values: ndarray of shape (..., num_tests).
    """
    num_tests = p_values.shape[-1]
    order = np.argsort(p_values, axis=-1)
    stepped = np.take_along_axis(p_values, order, axis=-1) * (num_tests - np.arange(num_tests))
    adjusted = np.empty_like(p_values)
    np.put_along_axis(adjusted, order, np.minimum(1.0, np.maximum.accumulate(stepped, axis=-1)), axis=-1)
    return adjusted


def detectable_difference(wins: int, losses: int, num_images: int, level: float = 0.05) -> float:
    """The difference in accuracy that a two-sided test finds with 80 % probability, given how often the models differ.

    Args:
        wins: Images that the challenger alone gets right.
        losses: Images that the champion alone gets right.
        num_images: All images.
        level: Of the test.
    """
    # Of models that never differ the next image may be the first that they differ in.
    differing = max(wins + losses, 1) / num_images
    mean = (wins - losses) / num_images
    error = np.sqrt((differing - mean**2) / num_images)
    return float((norm.isf(level / 2) + norm.isf(1 - DETECTION_POWER)) * error)


def bootstrap(
    challenger: ImageFigures, champion: ImageFigures, num_resamples: int, seed: int = 0
) -> dict[str, PairedIntervals]:
    """Accuracy, log-loss, Brier score and calibration error of two models on the same images, each with its interval.

    Percentiles over resamples of the images, the same for both models, centred on the estimate: resamples overrate a
    calibration error. The bins of the calibration error stay those of the whole.

    Args:
        challenger: One model.
        champion: The other, on the same images.
        num_resamples: At least 2.
        seed: Of the resampling.

    Returns:
        By name: "accuracy", "log_loss", "brier_score", "calibration_error".
    """
    columns = np.concatenate([_columns(challenger), _columns(champion)], axis=1)
    means = _resampled_means(columns, num_resamples, seed)
    first, second = (_figures(part) for part in np.split(means, 2, axis=1))
    return {
        name: PairedIntervals(_interval(first[name]), _interval(second[name]), _interval(first[name] - second[name]))
        for name in first
    }


def compare_means(challenger: Floats, champion: Floats, num_resamples: int, seed: int = 0) -> PairedIntervals:
    """The means of two models' values on the same images, and of their difference, each with its interval.

    Args:
        challenger: One value an image, ndarray of shape (num_images,).
        champion: Likewise.
        num_resamples: At least 2.
        seed: Of the resampling.
    """
    first, second = _resampled_means(np.column_stack([challenger, champion]), num_resamples, seed).T
    return PairedIntervals(_interval(first), _interval(second), _interval(first - second))


def mean_interval(values: Floats, num_resamples: int, seed: int = 0) -> Interval:
    """The mean of one value an image, with its bootstrap interval over the images.

    Args:
        values: ndarray of shape (num_images,).
        num_resamples: At least 2.
        seed: Of the resampling.
    """
    return _interval(_resampled_means(values[:, None], num_resamples, seed)[:, 0])


def _resampled_means(columns: Floats, num_resamples: int, seed: int) -> Floats:
    """The means of all columns over the images, and below them those over each resample of the images.

    Args:
        columns: ndarray of shape (num_images, num_columns).
        num_resamples: How many.
        seed: Of the resampling.

    Returns:
        ndarray of shape (1 + num_resamples, num_columns).
    """
    num_images = len(columns)
    rng = np.random.default_rng(seed)
    means = [columns.mean(axis=0, dtype=np.float64)[None]]
    columns = columns.astype(np.float32)
    for start in range(0, num_resamples, CHUNK):
        size = min(CHUNK, num_resamples - start)
        drawn = rng.integers(0, num_images, (size, num_images), dtype=np.int64)
        drawn += num_images * np.arange(size)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * num_images).reshape(size, num_images)
        means.append((weights.astype(np.float32) @ columns).astype(np.float64) / num_images)
    return np.concatenate(means)


def _columns(figures: ImageFigures) -> Floats:
    """Shape (num_images, 3 + NUM_BINS), of which `_figures` takes the means."""
    gaps = np.zeros((len(figures.gap), NUM_BINS))
    gaps[np.arange(len(gaps)), figures.bins] = figures.gap
    return np.column_stack([figures.correct, figures.log_loss, figures.brier_score, gaps])


def _figures(means: Floats) -> dict[str, Floats]:
    names = ("accuracy", "log_loss", "brier_score")
    return {name: means[:, column] for column, name in enumerate(names)} | {
        "calibration_error": np.abs(means[:, len(names) :]).sum(axis=1)
    }


def _interval(drawn: Floats) -> Interval:
    """The interval of a figure, given the estimate and, after it, its values over the resamples."""
    value, resampled = float(drawn[0]), drawn[1:]
    low, high = np.quantile(resampled - resampled.mean(), (0.025, 0.975)) + value
    return Interval(value=value, low=float(low), high=float(high))


def swaps(num_images: int, num_trials: int, seed: int = 0) -> Iterator[npt.NDArray[np.float32]]:
    """Draw, for pairs of equal models, which of two models made which prediction.

    Args:
        num_images: All images.
        num_trials: How many pairs.
        seed: Of the draws.

    Yields:
        Signs of shape (size, num_images), where the sizes add up to `num_trials`: 1 where the predictions for an image
        stay, -1 where they are swapped.
    """
    rng = np.random.default_rng(seed)
    for start in range(0, num_trials, CHUNK):
        size = min(CHUNK, num_trials - start)
        yield 2 * rng.integers(0, 2, (size, num_images), dtype=np.int8).astype(np.float32) - 1
