"""Scored images against training images: good ones pass, exchanged channels and other classes are told of."""

import json

import numpy as np
import pytest

from tasks.store import Reference, Store
from tasks.validate.scored import compare
from tasks.validate.scored_step import drift
from tasks.values.dataset import RawDataset
from tasks.values.scoring import Drift
from tests.conftest import publish_arrays
from tests.drops import pictures

NAMES = [f"{number}.png" for number in range(400)]


@pytest.fixture
def trained_on(opened_store: Store) -> RawDataset:
    images, labels = pictures(1500, seed=1)
    # As `publish_arrays` labels them: the ten classes in turn.
    order = np.stack([np.flatnonzero(labels == label) for label in range(10)], axis=1).ravel()
    return publish_arrays(opened_store, images[order], pictures(20, seed=2)[0])


def failed(found: Drift) -> set[str]:
    assert found.not_compared == ""
    assert {check.severity for check in found.checks} == {"warning"}
    return {check.name for check in found.warnings}


def test_images_like_those_of_the_training_pass(trained_on: RawDataset) -> None:
    images, classes = pictures(400, seed=3)
    found = compare(images, classes, NAMES, trained_on)
    assert failed(found) == set()
    names = {check.name for check in found.checks}
    assert {"swapped channels", "inverted images", "drift of red", "share of cat"} <= names
    assert not any("label" in name for name in names), "scored images have no labels"


def test_exchanged_channels_are_told_of_with_the_advice_and_the_images(trained_on: RawDataset) -> None:
    images, classes = pictures(400, seed=3)
    images[:80] = images[:80, ..., ::-1]
    found = compare(images, classes, NAMES, trained_on)
    assert "swapped channels" in failed(found)
    (check,) = [check for check in found.warnings if check.name == "swapped channels"]
    assert "in the order red, green, blue" in check.advice
    assert len(set(check.files) & set(NAMES[:80])) > len(check.files) / 2


def test_a_class_that_takes_over_is_told_of_from_five_points_on(trained_on: RawDataset) -> None:
    images, classes = pictures(400, seed=3)
    few, many = classes.copy(), classes.copy()
    few[np.flatnonzero(classes == 5)[:12]] = 3  # three points
    many[classes == 5] = 3
    assert failed(compare(images, few, NAMES, trained_on)) == set()
    assert failed(compare(images, many, NAMES, trained_on)) == {"share of cat", "share of dog"}


def test_a_handful_says_too_little(trained_on: RawDataset) -> None:
    images, classes = pictures(49, seed=3)
    assert compare(images, classes, NAMES, trained_on).not_compared == "49 images could be read, fewer than 50."


def test_the_step_reads_the_sample_of_a_scoring(opened_store: Store, trained_on: RawDataset) -> None:
    images, classes = pictures(400, seed=3)
    with opened_store.staging() as folder:
        np.save(folder / "images.npy", 255 - images)
        np.save(folder / "classes.npy", classes)
        (folder / "names.json").write_text(json.dumps(NAMES))
        sample: Reference = opened_store.publish(folder)
    assert "inverted images" in failed(drift.fn(sample, trained_on))
