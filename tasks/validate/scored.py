"""Whether images that a model scored are like those that it was trained on, in findings that a person reads.

They have no labels: their classes are those that the model takes them for. A model confuses some classes more than
others, which moves their shares by a point or two; so these are told of from a bound of its own on.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.validate.config import ValidateConfig
from tasks.validate.detectors import SHIFTED_LABELS, UNFIT_LABELS, Detectors
from tasks.validate.drift import MIN_BASELINE, MIN_IMAGES, Baseline, Departure, Sample, properties, sample
from tasks.validate.drop_suite import Finding, run_drop_checks
from tasks.validate.likeness import fault_finding, pixels_finding
from tasks.validate.statistics import image_table
from tasks.values.dataset import RawDataset
from tasks.values.drops import MAX_NAMED
from tasks.values.scoring import Drift

OF_LABELS = (UNFIT_LABELS, SHIFTED_LABELS)
"""Faults of labels; the images have none."""

CONFUSION = 0.05
"""Share of all images by which a class may be off without a word; chance may allow for more."""

TRAINED_ON = "what the model was trained on"


def compare(
    images: NDArray[np.uint8], classes: NDArray[np.uint8], names: Sequence[str], trained_on: RawDataset
) -> Drift:
    """Hold scored images against training images, in findings that are never more than a warning.

    Args:
        images: Of those that were scored, ndarray of shape (num_images, 32, 32, 3), dtype=uint8.
        classes: What the model takes them for, ndarray of shape (num_images,), dtype=uint8.
        names: Theirs.
        trained_on: The dataset of the model.

    Raises:
        StoreError: if an artifact of the dataset is missing or damaged.
    """
    if len(images) < MIN_IMAGES:
        return Drift(not_compared=f"{len(images)} images could be read, fewer than {MIN_IMAGES}.")
    base = sample(trained_on)
    num_classes = len(trained_on.class_names)
    smallest = min(np.bincount(labels, minlength=num_classes).min() for _, labels in (base.learned, base.held_out))
    if trained_on.num_train_images < MIN_BASELINE or smallest < 2:
        return Drift(not_compared=f"there are too few images of {TRAINED_ON}, or of one of its classes.")
    findings = [
        _finding(departure, len(images), classes, trained_on.class_names)
        for departure in _departures(images, classes.astype(np.int64), trained_on.class_names, base)
    ]
    return Drift(checks=run_drop_checks(findings, names))


def _departures(
    images: NDArray[np.uint8], classes: NDArray[np.int64], class_names: Sequence[str], base: Sample
) -> list[Departure]:
    detectors = Detectors(*base.learned, *base.held_out, len(class_names))

    def described(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> pd.DataFrame:
        table = image_table(images, labels.astype(np.uint8), "")
        return properties(table, images, labels, detectors, class_names).drop(columns=[*OF_LABELS])

    baseline = Baseline(described(*base.held_out), detectors.faulty_means, class_names)
    return baseline.compare(described(images, classes), ValidateConfig(), 1)


def _finding(departure: Departure, num_images: int, classes: NDArray[np.uint8], class_names: Sequence[str]) -> Finding:
    match departure.kind:
        case "fault":
            expected = f"at most {departure.chance:.1%}, which may be chance"
            finding = replace(fault_finding(departure, num_images), expected=expected)
        case "class":
            finding = _class_finding(departure, classes == class_names.index(departure.name))
        case _:
            advice = "See how these images were taken and reduced; the model knows others, and may be wrong more often."
            finding = replace(pixels_finding(departure, TRAINED_ON), advice=advice)
    return replace(finding, bad_above=None)


def _class_finding(departure: Departure, own: NDArray[np.bool_]) -> Finding:
    bound = max(departure.chance, CONFUSION)
    return Finding(
        name=f"share of {departure.name}",
        observed=f"{departure.observed:.1%} by the model",
        expected=f"{departure.expected:.1%} as in {TRAINED_ON}, {bound:.1%} more or less",
        advice="Other things are shown than before, or the model fails on these images: look at some.",
        figure=departure.distance,
        told_above=bound,
        images=tuple(np.flatnonzero(own)[:MAX_NAMED].tolist()) if departure.observed > departure.expected else (),
    )
