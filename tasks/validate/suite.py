"""What the data must be like: the expectations, with what each is for.

Two tables are checked. `images` has one row an image (`tasks.validate.statistics`); `dataset` has one row in all, with
figures that no single image has: how uneven the classes are, how far the channel means lie from the reference, how
many test images stand in train as well, or have a near-duplicate there. Expectations live in code and not in a stored
suite: Great Expectations drops one whose class is not imported when it loads a stored suite, and only logs it.

Bounds on single images come from the 60,000 images of CIFAR-10, which all pass: contrast 4.2 to 115.0, sharpness 19 to
16,957, at most 80.1 % black and 95.4 % white pixels.
"""

from dataclasses import dataclass

import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.row_conditions import Column
from numpy.typing import NDArray

from cnn_model.class_names import CLASS_NAMES
from tasks.validate.config import ValidateConfig
from tasks.validate.statistics import COLOURS, COLUMNS
from tasks.values.dataset import RawDataset
from tasks.values.near_duplicates import in_train

CIFAR10_MEANS = (125.31, 122.95, 113.87)
"""Red, green and blue means of CIFAR-10's 50,000 training images, in levels of 0 to 255 (0.4914, 0.4822, 0.4465)."""

CIFAR10_SIZES = {"train": 50_000, "test": 10_000}

MAX_MEAN_SHIFT = 8.0
"""Levels. The published test images are 1.2 off; swapping red and blue moves both by 11.4."""

MIN_CONTRAST = 2.0
"""Levels. Images of 0 to 1 stored as bytes have at most 0.5."""


@dataclass(frozen=True)
class NamedExpectation:
    """An expectation with the name and the wording that a person reads.

    Attributes:
        expected: What is expected, in words.
        counts_images: Whether the observed value is a number of images.
        advice: What to do where it fails, in a sentence.
    """

    name: str
    expected: str
    expectation: Expectation
    counts_images: bool = False
    advice: str = ""


def image_expectations(dataset: RawDataset) -> list[NamedExpectation]:
    """What each image, and the table of them, must be like."""
    labels = list(range(len(CLASS_NAMES)))
    # What is published is known; of other data, that the arrays are as many as were counted when they came.
    counted = {"train": dataset.num_train_images, "test": dataset.num_test_images}
    sizes = CIFAR10_SIZES if dataset.name == "cifar10" else counted
    return [
        NamedExpectation(
            "columns",
            f"the {len(COLUMNS)} columns of the image table",
            gxe.ExpectTableColumnsToMatchSet(column_set=list(COLUMNS), exact_match=True, severity="critical"),
            advice="The program is at fault, not the data: report it.",
        ),
        *(
            NamedExpectation(
                f"number of {split} images",
                f"{size:,}",
                gxe.ExpectTableRowCountToEqual(value=size, row_condition=Column("split") == split, severity="critical"),
                advice="Fetch the source again: it was cut off on the way, or mixed with another.",
            )
            for split, size in sizes.items()
        ),
        NamedExpectation(
            "labels present",
            "a label for each image",
            gxe.ExpectColumnValuesToNotBeNull(column="label", severity="critical"),
            advice="Give each image a label, or leave it out.",
        ),
        NamedExpectation(
            "labels in range",
            "0 to 9",
            gxe.ExpectColumnValuesToBeInSet(column="label", value_set=labels, severity="critical"),
            advice="Count labels from 0, in the order of the classes.",
        ),
        *(
            NamedExpectation(
                f"classes in {split}",
                "all ten classes",
                gxe.ExpectColumnDistinctValuesToEqualSet(
                    column="label", value_set=labels, row_condition=Column("split") == split, severity="critical"
                ),
                advice="Look for the files of the class that is missing.",
            )
            for split in sizes
        ),
        NamedExpectation(
            "wrong scale",
            "levels of 0 to 255",
            _between("brightest", min_value=2, severity="warning"),
            advice="Values of 0 to 1 were stored as bytes, or the images are black: multiply by 255 before.",
        ),
        NamedExpectation(
            "images with contrast",
            f"at least {MIN_CONTRAST:g} levels of contrast in 99 % of the images",
            _between("contrast", min_value=MIN_CONTRAST, mostly=0.99, severity="critical"),
            advice="Look at the program that wrote the images: on these nothing is to be seen.",
        ),
        NamedExpectation(
            "blank images",
            f"at least {MIN_CONTRAST:g} levels of contrast in each image",
            _between("contrast", min_value=MIN_CONTRAST, severity="warning"),
            advice="Leave them out: nothing is to be seen on them.",
        ),
        NamedExpectation(
            "structureless images",
            "a sharpness of at least 5",
            _between("sharpness", min_value=5.0, severity="warning"),
            advice="See whether anything is to be recognised on them, else leave them out.",
        ),
        NamedExpectation(
            "black images",
            "at most 98 % black pixels",
            _between("share_black", max_value=0.98, severity="warning"),
            advice="Leave them out: nothing is to be seen on them.",
        ),
        NamedExpectation(
            "white images",
            "at most 98 % white pixels",
            _between("share_white", max_value=0.98, severity="warning"),
            advice="Leave them out: nothing is to be seen on them.",
        ),
        NamedExpectation(
            "duplicates",
            "each image once",
            gxe.ExpectColumnValuesToBeUnique(column="digest", severity="warning"),
            advice="Keep one of each: a repeated image weighs twice.",
        ),
    ]


def dataset_expectations(config: ValidateConfig) -> list[NamedExpectation]:
    """What the dataset as a whole must be like; one row, made by `dataset_table`."""
    return [
        *(
            NamedExpectation(
                f"class balance in {split}",
                f"each class within {config.max_class_imbalance:.0%} of an equal share",
                _figure(f"imbalance_{split}", max_value=config.max_class_imbalance),
                advice="See whether a class lost or gained files; else raise --validate.max-class-imbalance.",
            )
            for split in ("train", "test")
        ),
        NamedExpectation(
            "test images in train",
            "none",
            _figure("test_images_in_train", max_value=0, severity="critical"),
            counts_images=True,
            advice="Take them out of train: a model that has learned its test images cannot be judged by them.",
        ),
        NamedExpectation(
            "contradictory labels",
            "none: equal images have equal labels",
            _figure("contradictory_images", max_value=0),
            counts_images=True,
            advice="Look which label is right, and put the other right with --ingest.corrections.",
        ),
        NamedExpectation(
            "near-duplicates of train in test",
            f"at most {config.max_test_images_in_train:.1%} of the test images",
            _figure("share_of_test_near_train", max_value=config.max_test_images_in_train),
            advice="Go by the accuracy without near-duplicates: the one on all test images flatters.",
        ),
        NamedExpectation(
            "contradictory near-duplicates in train",
            "none: near-duplicates have equal labels",
            _figure("contradictory_near_duplicates", max_value=0),
            counts_images=True,
            advice="Look at the pairs of different labels among the near-duplicates: one label may be wrong.",
        ),
        *(
            NamedExpectation(
                f"mean {colour} in {split}",
                f"within {MAX_MEAN_SHIFT:g} levels of the reference",
                _figure(f"shift_{colour}_{split}", min_value=-MAX_MEAN_SHIFT, max_value=MAX_MEAN_SHIFT),
                advice="See whether red and blue are exchanged, or the images inverted, darkened or brightened.",
            )
            for split in ("train", "test")
            for colour in COLOURS
        ),
    ]


def dataset_table(
    images: pd.DataFrame, dataset_name: str, pairs: NDArray[np.int32], groups: NDArray[np.int32]
) -> pd.DataFrame:
    """Figures of the dataset as a whole, in one row.

    Args:
        images: One row an image, train before test.
        dataset_name: As in `RawDataset`.
        pairs: Near-duplicates by their rows, shape (num_pairs, 2).
        groups: The group of near-duplicates of each row, named by its smallest row.

    The reference of the channel means is CIFAR-10's; for practice images, which do not resemble it, their own train
    split's.
    """
    train, test = (images[images["split"] == split] for split in ("train", "test"))
    means = [f"mean_{colour}" for colour in COLOURS]
    reference = train[means].mean().to_numpy() if dataset_name == "synthetic" else np.array(CIFAR10_MEANS)
    shifts = {
        f"shift_{colour}_{split}": shift
        for split, table in (("train", train), ("test", test))
        for colour, shift in zip(COLOURS, table[means].mean().to_numpy() - reference, strict=True)
    }
    labels_of_image = images.groupby("digest")["label"].nunique()
    near_train = in_train(groups, len(train), len(test))
    labels_of_pair = images["label"].to_numpy()[pairs]
    contradictory = (labels_of_pair[:, 0] != labels_of_pair[:, 1]) & (pairs < len(train)).all(axis=1)
    row = {
        "imbalance_train": _imbalance(train["label"]),
        "imbalance_test": _imbalance(test["label"]),
        "test_images_in_train": int(test["digest"].isin(train["digest"]).sum()),
        "contradictory_images": int(images["digest"].isin(labels_of_image.index[labels_of_image > 1]).sum()),
        "share_of_test_near_train": float(near_train.mean()) if len(near_train) else 0.0,
        "contradictory_near_duplicates": len(np.unique(pairs[contradictory])),
        **shifts,
    }
    return pd.DataFrame([row])


def _imbalance(labels: "pd.Series[int]") -> float:
    """The largest departure of a class's share from an equal one, as a fraction of the equal one."""
    counts = np.bincount(labels.to_numpy(), minlength=len(CLASS_NAMES))[: len(CLASS_NAMES)]
    equal = max(len(labels), 1) / len(CLASS_NAMES)
    return float(np.abs(counts - equal).max() / equal)


def _between(
    column: str,
    *,
    severity: str,
    min_value: float | None = None,
    max_value: float | None = None,
    mostly: float = 1.0,
) -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(
        column=column, min_value=min_value, max_value=max_value, mostly=mostly, severity=severity
    )


def _figure(
    column: str, *, min_value: float | None = None, max_value: float | None = None, severity: str = "warning"
) -> Expectation:
    """A bound on the one value of a column of the dataset table; its maximum is that value, and is reported."""
    return gxe.ExpectColumnMaxToBeBetween(column=column, min_value=min_value, max_value=max_value, severity=severity)
