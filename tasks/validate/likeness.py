"""Whether a drop is like its baselines, in findings that a person reads."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.validate.config import ValidateConfig
from tasks.validate.detectors import SHIFTED_LABELS, UNFIT_LABELS, Detectors
from tasks.validate.drift import MIN_BASELINE, MIN_IMAGES, Baseline, Departure, Sample, sample
from tasks.validate.drop_suite import Finding
from tasks.values.baselines import Baselines
from tasks.values.dataset import RawDataset
from tasks.values.drops import MAX_NAMED, Drop

OWN_BASE = ""
"""In place of a digest: the base of the dataset itself."""

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
        digests = self._baselines.of_drop.get(drop.digest) or (OWN_BASE,)
        compared = [
            self._baseline(digest).compare(table, images, labels, self._config, len(digests)) for digest in digests
        ]
        findings: list[Finding] = []
        for departures in zip(*compared, strict=True):
            distances = [departure.distance / departure.chance for departure in departures]
            place = distances.index(max(distances))
            if departures[place].kind != "class" or self._config.drop_classes == "alike":
                findings.append(self._finding(departures[place], _name(digests, place), len(table), labels))
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
        least = min(
            np.bincount(labels, minlength=len(self._dataset.class_names)).min()
            for _, labels in (self._base.learned, self._base.held_out)
        )
        if self._dataset.num_train_images < MIN_BASELINE or least < 2:
            return f"{self._dataset.num_train_images:,} images to compare with, fewer than {MIN_BASELINE}"
        return None

    def _baseline(self, digest: str) -> Baseline:
        if digest not in self._compared:
            images, labels = (
                self._base.held_out if digest == OWN_BASE else sample(self._baselines.datasets[digest]).held_out
            )
            self._compared[digest] = Baseline(images, labels, self._detectors, self._dataset.class_names)
        return self._compared[digest]

    def _finding(self, departure: Departure, baseline: str, num_images: int, labels: NDArray[np.int64]) -> Finding:
        match departure.kind:
            case "fault":
                return _fault(departure, num_images)
            case "class":
                own = labels == self._dataset.class_names.index(departure.name)
                return _class_share(departure, baseline, num_images, own)
            case _:
                return _pixels(departure, baseline)


def _name(digests: Sequence[str], place: int) -> str:
    if digests[place] == OWN_BASE:
        return "the base"
    return "the champion's data" if len(digests) == 1 else f"the {('first', 'last')[place]} champion's data"


def _not_compared(reason: str) -> Finding:
    return Finding(
        name="likeness",
        observed=f"not compared: {reason}",
        expected="a drop like what is there",
        advice="Look at the drop yourself, or send more images at once.",
        figure=1.0,
        told_as="info",
    )


def _fault(departure: Departure, num_images: int) -> Finding:
    share = max(departure.observed, 0.0)
    return Finding(
        name=departure.name,
        observed=f"about {share:.1%} of the images" if departure.observed > departure.chance else "none that show",
        expected=f"at most {departure.bad_beyond:.1%}, of which {departure.chance:.1%} may be chance",
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


def _pixels(departure: Departure, baseline: str) -> Finding:
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
