"""Whether a drop is like its baselines, in findings that a person reads."""

from dataclasses import replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.validate.config import ValidateConfig
from tasks.validate.detectors import SHIFTED_LABELS, UNFIT_LABELS, Detectors
from tasks.validate.drift import MIN_BASELINE, MIN_IMAGES, Baseline, Departure, Sample, properties, sample
from tasks.validate.drop_suite import Finding
from tasks.validate.statistics import image_table
from tasks.values.baselines import Baselines
from tasks.values.dataset import RawDataset
from tasks.values.drops import MAX_NAMED, Drop

FAULT_ADVICE = {
    "swapped channels": "Red and blue are exchanged: write the channels in the order red, green, blue.",
    "inverted images": "They are negatives: subtract them from 255.",
    "crushed images": "Save them as PNG, or as JPEG of quality 75 or more.",
    UNFIT_LABELS: "Look at the images shown: of all, their labels are the least likely.",
    SHIFTED_LABELS: "Count labels from 0, in the order of the classes; names instead of numbers are safer.",
}


class Likeness:
    """Compares the drops of one dataset with their baselines. What it learns, it learns when the first is compared.

    Args:
        dataset: Whose base teaches what good images look like.
        baselines: What each drop is to be like.
        config: The bounds.
    """

    def __init__(self, dataset: RawDataset, baselines: Baselines, config: ValidateConfig) -> None:
        self._dataset = dataset
        self._baselines = baselines
        self._config = config
        self._compared: dict[str, Baseline] = {}

    def findings(
        self, drop: Drop, table: pd.DataFrame, images: NDArray[np.uint8], labels: NDArray[np.int64]
    ) -> list[Finding]:
        """One finding a property, against that of the baselines from which the drop lies further off.

        Args:
            drop: The drop.
            table: Its image table.
            images: Its images.
            labels: Their labels.

        Raises:
            StoreError: if the artifact of a baseline is missing or damaged.
        """
        reason = self._too_little(len(table))
        if reason is not None:
            return [_not_compared(reason)]
        values = properties(table, images, labels, self._detectors, self._dataset.class_names)
        baselines = self._baselines_of(drop)
        worst: dict[str, tuple[Departure, str]] = {}
        for name, baseline in baselines.items():
            for departure in baseline.compare(values, self._config, len(baselines)):
                before = worst.get(departure.name)
                if before is None or departure.distance / departure.chance > before[0].distance / before[0].chance:
                    worst[departure.name] = (departure, name)
        findings = [
            self._finding(departure, name, len(table), labels)
            for departure, name in worst.values()
            if departure.kind != "class" or self._config.drop_classes == "alike"
        ]
        if self._config.drop_classes == "any":
            # Colours and shapes are those of its classes: nothing of it is bad.
            return [replace(finding, bad_above=None) for finding in findings]
        return findings

    @cached_property
    def _base(self) -> Sample:
        return sample(self._dataset.with_drops(()))

    @cached_property
    def _detectors(self) -> Detectors:
        return Detectors(*self._base.learned, *self._base.held_out, len(self._dataset.class_names))

    def _too_little(self, num_images: int) -> str | None:
        if num_images < MIN_IMAGES:
            return f"{num_images} images, fewer than {MIN_IMAGES}"
        if self._dataset.num_train_images < MIN_BASELINE:
            return f"{self._dataset.num_train_images:,} images to compare with, fewer than {MIN_BASELINE}"
        for _, labels in (self._base.learned, self._base.held_out):
            counts = np.bincount(labels, minlength=len(self._dataset.class_names))
            if counts.min() < 2:
                return f"the base has too few images of {self._dataset.class_names[counts.argmin()]} to learn from"
        return None

    def _baselines_of(self, drop: Drop) -> dict[str, Baseline]:
        """By what a person calls them: the champions' data that are large enough, or else the base."""
        digests = [
            digest
            for digest in self._baselines.of_drop.get(drop.digest, ())
            if _size(self._baselines.datasets[digest]) >= MIN_BASELINE
        ]
        if not digests:
            return {"the base": self._own}
        if len(digests) == 1:
            return {"the champion's data": self._baseline(digests[0])}
        return {
            "the first champion's data": self._baseline(digests[0]),
            "the last champion's data": self._baseline(digests[-1]),
        }

    @cached_property
    def _own(self) -> Baseline:
        return self._of(*self._base.held_out)

    def _baseline(self, digest: str) -> Baseline:
        if digest not in self._compared:
            self._compared[digest] = self._of(*sample(self._baselines.datasets[digest]).held_out)
        return self._compared[digest]

    def _of(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Baseline:
        table = image_table(images, labels.astype(np.uint8), "")
        values = properties(table, images, labels, self._detectors, self._dataset.class_names)
        return Baseline(values, self._detectors.faulty_means, self._dataset.class_names)

    def _finding(self, departure: Departure, baseline: str, num_images: int, labels: NDArray[np.int64]) -> Finding:
        match departure.kind:
            case "fault":
                return fault_finding(departure, num_images)
            case "class":
                own = labels == self._dataset.class_names.index(departure.name)
                return _class_share(departure, baseline, num_images, own)
            case _:
                return pixels_finding(departure, baseline)


def _size(dataset: RawDataset) -> int:
    return dataset.num_train_images + sum(drop.num_images for drop in dataset.drops)


def _not_compared(reason: str) -> Finding:
    return Finding(
        name="likeness",
        observed=f"not compared: {reason}",
        expected="a drop like what is there",
        advice="Look at the drop yourself, or send more images at once.",
        figure=1.0,
        told_as="info",
    )


def fault_finding(departure: Departure, num_images: int) -> Finding:
    """How many of the images have a fault."""
    share = min(max(departure.observed, 0.0), 1.0)
    return Finding(
        name=departure.name,
        observed=f"about {share:.1%} of the images" if departure.observed > departure.chance else "none that show",
        expected=f"at most {min(departure.bad_beyond, 1):.1%}, of which {departure.chance:.1%} may be chance",
        advice=FAULT_ADVICE[departure.name],
        figure=departure.observed,
        told_above=departure.chance,
        bad_above=departure.bad_beyond,
        num_images=round(share * num_images) if departure.observed > departure.chance else 0,
        images=tuple(departure.order[: min(MAX_NAMED, round(share * num_images))].tolist()),
    )


def _class_share(departure: Departure, baseline: str, num_images: int, own: NDArray[np.bool_]) -> Finding:
    too_many = departure.observed > departure.expected
    excess = round(departure.distance * num_images)
    return Finding(
        name=f"share of {departure.name}",
        observed=f"{departure.observed:.1%}",
        expected=f"{departure.expected:.1%} as in {baseline}, {departure.chance:.1%} more or less by chance",
        advice="Send what is missing as well; a mix that is meant is let through by --validate.drop-classes any.",
        figure=departure.distance,
        told_above=departure.chance,
        bad_above=departure.bad_beyond,
        num_images=excess if departure.distance > departure.chance else 0,
        images=tuple(np.flatnonzero(own)[:MAX_NAMED].tolist()) if too_many else (),
    )


def pixels_finding(departure: Departure, baseline: str) -> Finding:
    """How far colours, contrast and the like lie from those of a baseline."""
    return Finding(
        name=f"drift of {departure.name}",
        observed=f"{_figure(departure.observed)} on average",
        expected=f"{_figure(departure.expected)} as in {baseline}, {_figure(departure.chance)} more or less by chance",
        advice="See how these images were taken and reduced; where they are right, raise --validate.max-drop-drift.",
        figure=departure.distance,
        told_above=departure.chance,
        bad_above=departure.bad_beyond,
        images=tuple(departure.order[:MAX_NAMED].tolist()),
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2g}" if abs(value) < 1 else f"{value:.1f}"
