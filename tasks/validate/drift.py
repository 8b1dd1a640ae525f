"""Compares a drop with what is there: how far it lies off, and how far good images would by chance.

A drop is compared property by property, each the mean of a column over its images: figures of the pixels, which class
an image is of, and how likely it has a fault (`tasks.validate.detectors`). How far off chance alone takes a drop of its
size is found by drawing such drops from the baseline's images, and a bound holds for all properties together: it is the
share of drawn drops with any property beyond it that counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks import store
from tasks.validate.config import ValidateConfig
from tasks.validate.detectors import Detectors
from tasks.values.dataset import RawDataset
from tasks.values.pixels import pixel_sha256

Kind = Literal["fault", "class", "pixels"]

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

PIXEL_PROPERTIES = {
    "mean_red": "red",
    "mean_green": "green",
    "mean_blue": "blue",
    "contrast": "contrast",
    "entropy": "entropy",
    "sharpness": "sharpness",
    "saturation": "saturation",
    "share_black": "black pixels",
    "share_white": "white pixels",
}
"""Columns of the image table, and what a person calls them."""

MIN_IMAGES = 50
"""Of a smaller drop a mean says too little."""

MIN_BASELINE = 500
"""Of a smaller baseline nothing can be learned."""

SAMPLE = 12_000
"""Images of a baseline that are looked at; half of them teach, half are compared with."""

NUM_DRAWS = 10_000
CHUNK_DRAWS = 250

FALSE_ALARMS = 0.01
"""Share of good drops that are warned of, over all properties and baselines together. Bad is what lies further off than
any of the draws, one in `NUM_DRAWS`, and than the configuration allows."""

SHARPEST = 20
"""A property separates by at most so many deviations: what separates better would find less than one image in a
hundred, and a single odd image of the baseline would move the bound of all properties."""


MIN_GAP = 0.01
"""Between the mean scores of faulty and of good images, 0 to 1. Below it a fault shows in no image."""


@dataclass(frozen=True)
class Departure:
    """How one property of a drop compares with one baseline.

    Attributes:
        name: Of the property.
        kind: fault: `observed` and `allowed` are shares of faulty images. class: shares of a class. pixels: means.
        observed: Of the drop.
        expected: Of the baseline; 0 for a fault.
        chance: How far good drops of this size come from `expected` at most, but for `FALSE_ALARMS` of them.
        bad_beyond: How far from `expected` a drop may be before it is bad.
        order: Indices of the drop's images, those that contribute most first.
    """

    name: str
    kind: Kind
    observed: float
    expected: float
    chance: float
    bad_beyond: float
    order: NDArray[np.int64]

    @property
    def distance(self) -> float:
        """How far the drop is off; of a fault, only upwards counts."""
        return self.observed - self.expected if self.kind == "fault" else abs(self.observed - self.expected)


@dataclass(frozen=True)
class _Property:
    """A column of the table of properties, and in what it is measured."""

    name: str
    kind: Kind
    mean: float
    scale: float
    gap: float


class Baseline:
    """Good images, of which drops are expected to be like.

    Args:
        values: What `properties` gives of held-out ones.
        faulty_means: See `Detectors`.
        class_names: Names of the labels.
    """

    def __init__(self, values: pd.DataFrame, faulty_means: Mapping[str, float], class_names: Sequence[str]) -> None:
        self._faulty_means = faulty_means
        self._class_names = class_names
        self._columns = [found for name in values if (found := self._measure(str(name), values[name])) is not None]
        self._values = values[[column.name for column in self._columns]].to_numpy(np.float32)
        self._bounds = lru_cache(maxsize=None)(self._draw)

    def compare(self, values: pd.DataFrame, config: ValidateConfig, num_baselines: int) -> list[Departure]:
        """How a drop compares, property by property.

        Args:
            values: What `properties` gives of the drop.
            config: Holds what is bad.
            num_baselines: With how many it is compared; they share the false alarms.
        """
        warned, largest = self._bounds(_on_grid(len(values)), FALSE_ALARMS / num_baselines)
        return [
            self._departure(column, values[column.name].to_numpy(np.float64), warned, largest, config)
            for column in self._columns
        ]

    def _departure(
        self, column: _Property, values: NDArray[np.float64], warned: float, largest: float, config: ValidateConfig
    ) -> Departure:
        off = float(values.mean()) - column.mean
        kind = column.kind
        # A fault is told in shares of faulty images, all else in its own unit.
        unit = column.gap if kind == "fault" else 1.0
        allowed = column.scale * config.max_drop_drift if kind == "pixels" else config.max_drop_drift_share * unit
        expected = 0.0 if kind == "fault" else column.mean
        return Departure(
            name=column.name,
            kind=kind,
            observed=expected + off / unit,
            expected=expected,
            chance=warned * column.scale / unit,
            bad_beyond=max(largest * column.scale, allowed) / unit,
            order=np.argsort(-values if off >= 0 else values, kind="stable"),
        )

    def _measure(self, name: str, values: "pd.Series[float]") -> _Property | None:
        """None for a fault that cannot be told from none, such as swapped channels among grey images."""
        mean, deviation = float(values.mean()), float(values.std())
        if name in self._faulty_means:
            gap = self._faulty_means[name] - mean
            if gap < max(deviation, MIN_GAP):
                return None
            return _Property(name, "fault", mean, max(deviation, gap / SHARPEST), gap)
        kind: Kind = "class" if name in self._class_names else "pixels"
        is_share = kind == "class" or name in (PIXEL_PROPERTIES["share_black"], PIXEL_PROPERTIES["share_white"])
        return _Property(name, kind, mean, max(deviation, 1 / SHARPEST if is_share else 1e-3), 1.0)

    def _draw(self, num_images: int, false_alarms: float) -> tuple[float, float]:
        """How far drawn drops are off at most, in deviations: all but a share of them, and all.

        Args:
            num_images: Of each drawn drop.
            false_alarms: The share.
        """
        rng = np.random.default_rng(0)
        mean, scale = (np.array([getattr(column, name) for column in self._columns]) for name in ("mean", "scale"))
        upwards = np.array([column.kind == "fault" for column in self._columns])
        total = len(self._values)
        furthest = []
        for _ in range(0, NUM_DRAWS, CHUNK_DRAWS):
            counts = _drawn(rng, num_images, total)
            off = (counts.astype(np.float32) @ self._values / num_images - mean) / scale
            furthest.append(np.where(upwards, off, np.abs(off)).max(axis=1))
        distances = np.concatenate(furthest)
        # The baseline is a sample as well, and its means are off by as much as its size says.
        both = np.sqrt(1 + num_images / total)
        return float(np.quantile(distances, 1 - false_alarms) * both), float(distances.max() * both)


def properties(
    table: pd.DataFrame, images: Images, labels: Labels, detectors: Detectors, class_names: Sequence[str]
) -> pd.DataFrame:
    """What is compared: one row an image, one column a property.

    Args:
        table: The image table.
        images: The images, shape (num_images, 32, 32, 3), dtype=uint8.
        labels: Theirs, shape (num_images,).
        detectors: Score the faults.
        class_names: Names of the labels.
    """
    pixels = table[list(PIXEL_PROPERTIES)].rename(columns=PIXEL_PROPERTIES)
    classes = pd.DataFrame(np.eye(len(class_names))[labels], columns=[*class_names])
    faults = detectors.scores(images, labels)
    return pd.concat([frame.reset_index(drop=True) for frame in (pixels, classes, faults)], axis=1)


def _on_grid(num_images: int) -> int:
    """The size that is drawn, of two digits, so that drops share what is drawn; the smaller, the wider a bound."""
    step: int = 10 ** max(len(str(num_images)) - 2, 0)
    return num_images // step * step


def _drawn(rng: np.random.Generator, num_images: int, total: int) -> NDArray[np.int64]:
    """How often each image is in each of some drawn drops, shape (CHUNK_DRAWS, total)."""
    if num_images > total:
        # The same, by another road: of many images, counts are faster drawn than places.
        return rng.multinomial(num_images, np.full(total, 1 / total), CHUNK_DRAWS)
    places = rng.integers(0, total, (CHUNK_DRAWS, num_images)) + total * np.arange(CHUNK_DRAWS)[:, None]
    return np.bincount(places.ravel(), minlength=CHUNK_DRAWS * total).reshape(CHUNK_DRAWS, total)


@dataclass(frozen=True)
class Sample:
    """Images of a dataset, apart by their pixels: an image that teaches is never among those compared with.

    Attributes:
        learned: Images and labels that teach.
        held_out: Those that drops are compared with.
    """

    learned: tuple[Images, Labels]
    held_out: tuple[Images, Labels]


def sample(dataset: RawDataset) -> Sample:
    """Draw from a dataset's training images, base and drops alike; the same ones each time.

    Raises:
        StoreError: if an artifact of the dataset is missing or damaged.
    """
    parts = [(store.current().fetch(dataset.artifact), "train_")]
    parts += [(store.current().fetch(drop.artifact), "") for drop in dataset.drops]
    arrays = [
        tuple(
            np.load(folder / f"{prefix}{kind}.npy", mmap_mode="r", allow_pickle=False) for kind in ("images", "labels")
        )
        for folder, prefix in parts
    ]
    starts = np.cumsum([0, *(len(labels) for _, labels in arrays)])
    total = int(starts[-1])
    chosen = np.sort(np.random.default_rng(0).choice(total, min(total, SAMPLE), replace=False))
    picked = [
        (np.asarray(images[inside]), np.asarray(labels[inside]))
        for (images, labels), start, stop in zip(arrays, starts[:-1], starts[1:], strict=True)
        for inside in [chosen[(chosen >= start) & (chosen < stop)] - start]
    ]
    images = np.concatenate([part for part, _ in picked])
    labels = np.concatenate([part for _, part in picked]).astype(np.int64)
    teaches = np.array([int(pixel_sha256(image)[0], 16) % 2 == 0 for image in images], dtype=np.bool_)
    return Sample((images[teaches], labels[teaches]), (images[~teaches], labels[~teaches]))
