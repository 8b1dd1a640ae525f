"""Where the images of drops go."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.preprocess.config import PreprocessConfig
from tasks.preprocess.dropped import Sides, parts_by_split
from tasks.store import Store
from tests.drops import noise
from tests.near_duplicates import publish_near_duplicates

BASE = ("train", "validation", "calibration", "train", None, None)
"""Splits of a base of four training and two test images; those of drops count on from 6."""


def splits(
    *drops: NDArray[np.uint8],
    pairs: Sequence[tuple[int, int]] = (),
    base_pairs: Sequence[int] = (0, 1, 2, 3, 4, 5),
    seed: int = 0,
) -> list[list[str]]:
    """The split of each image of each drop; the first pair is the most similar one."""
    config = PreprocessConfig(validation_fraction=0.05, calibration_fraction=0.1, split_seed=seed)
    indices = np.array(pairs, dtype=np.int32).reshape(-1, 2)
    sides = Sides(np.array(base_pairs, dtype=np.int32), BASE, indices, config)
    return [sides.of_next(images) for images in drops]


def test_shares_are_those_asked_for() -> None:
    (found,) = splits(noise(20_000)[0])
    for name, share in {"train": 0.85, "validation": 0.05, "calibration": 0.1}.items():
        # Four deviations of a binomial count.
        assert abs(found.count(name) / 20_000 - share) < 4 * np.sqrt(share * (1 - share) / 20_000)


def test_an_image_without_near_duplicates_keeps_its_split_whatever_comes_beside_it() -> None:
    images = noise(300)[0]
    (found,) = splits(images)
    assert splits(images[:100], images[100:]) == [found[:100], found[100:]]
    assert splits(images[::-1]) == [found[::-1]]


def test_another_seed_splits_otherwise() -> None:
    assert splits(noise(300)[0]) != splits(noise(300)[0], seed=1)


def test_an_image_goes_with_its_near_duplicate_in_the_base() -> None:
    images = noise(300)[0]
    pairs = [(2, 6 + number) for number in range(50)] + [(1, 60)]
    expected = ["calibration"] * 50 + splits(images)[0][50:]
    expected[54] = "validation"
    assert splits(images, pairs=pairs) == [expected]


def test_near_duplicates_within_and_between_drops_stay_on_one_side() -> None:
    first, second = noise(200, seed=1)[0], noise(200, seed=2)[0]
    rng = np.random.default_rng(0)
    pairs = [tuple(sorted(pair)) for pair in rng.permutation(np.arange(6, 406)).reshape(-1, 2).tolist()]
    found = [None] * 6 + [split for drop in splits(first, second, pairs=pairs) for split in drop]
    assert all(found[one] == found[other] for one, other in pairs)
    apart = [None] * 6 + [split for drop in splits(first, second) for split in drop]
    assert sum(apart[one] != apart[other] for one, other in pairs) > 20


def test_images_that_are_near_to_one_test_image_stay_on_one_side() -> None:
    images = noise(100)[0]
    together = splits(images[:50], images[50:], pairs=[(5, 6 + number) for number in range(100)])
    assert len(set(together[0] + together[1])) == 1
    # A test image that is near to one of train is of its group.
    pairs = [(5, 6 + number) for number in range(50)]
    assert splits(images[:50], pairs=pairs, base_pairs=(0, 1, 2, 3, 4, 1)) == [["validation"] * 50]


def test_between_two_splits_an_image_goes_with_the_one_that_it_is_more_like() -> None:
    images = noise(3)[0]
    assert splits(images[:1], pairs=[(1, 6), (2, 6)]) == [["validation"]]
    assert splits(images[:1], pairs=[(2, 6), (1, 6)]) == [["calibration"]]
    # So do those that hang on it: the first two are surely one photograph.
    assert splits(images, pairs=[(6, 7), (2, 7), (1, 6), (7, 8)]) == [["calibration"] * 3]


def test_a_later_drop_moves_no_image() -> None:
    """Not even one that would join what is in two splits by now."""
    images, later = noise(100)[0], noise(100, seed=1)[0]
    (alone,) = splits(images, pairs=[(1, 6)])
    pairs = [(6 + number, 106 + number) for number in range(100)] + [(6, 107), (3, 106)]
    found = splits(images, later, pairs=sorted([*pairs, (1, 6)], key=lambda pair: pair != (3, 106)))
    assert found[0] == alone
    assert found[1][1:] == alone[1:]


def test_near_duplicates_of_other_drops_are_refused(opened_store: Store) -> None:
    found = publish_near_duplicates(opened_store, 4, 2, drops={"ab" * 32: 3})
    with pytest.raises(ValueError, match="expected the same"):
        parts_by_split((), found, {}, PreprocessConfig())
