"""Where the images of drops go."""

import numpy as np
from numpy.typing import NDArray

from tasks.preprocess.dropped import split_of_images
from tasks.values.pixels import pixel_sha256
from tests.drops import noise


def splits(images: NDArray[np.uint8], seed: int = 0, of_base: dict[str, str] | None = None) -> list[str]:
    return split_of_images(images, 0.05, 0.1, seed, of_base or {})


def test_shares_are_those_asked_for() -> None:
    found = splits(noise(20_000)[0])
    for name, share in {"train": 0.85, "validation": 0.05, "calibration": 0.1}.items():
        # Four deviations of a binomial count.
        assert abs(found.count(name) / 20_000 - share) < 4 * np.sqrt(share * (1 - share) / 20_000)


def test_an_image_keeps_its_split_whatever_comes_beside_it() -> None:
    images = noise(300)[0]
    assert splits(images[100:200]) == splits(images)[100:200]
    assert splits(images[::-1]) == splits(images)[::-1]


def test_another_seed_splits_otherwise() -> None:
    assert splits(noise(300)[0]) != splits(noise(300)[0], seed=1)


def test_a_copy_of_a_base_image_goes_with_it() -> None:
    images = noise(300)[0]
    of_base = {pixel_sha256(image): "calibration" for image in images[:50]}
    assert splits(images, of_base=of_base) == ["calibration"] * 50 + splits(images)[50:]
