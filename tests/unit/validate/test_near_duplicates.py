import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tasks.validate import near_duplicates
from tasks.validate.near_duplicates import find_pairs, group

Photograph = np.ndarray


def photographs(num_images: int, seed: int = 0) -> np.ndarray:
    """Images like photographs in that their amplitude falls as 1 / frequency, and their channels go together."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((num_images, 64, 64, 1)) + 0.3 * rng.standard_normal((num_images, 64, 64, 3))
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64))
    waves = np.fft.fft2(noise, axes=(1, 2)) / np.maximum(frequency, 1 / 64)[:, :, None]
    fields = np.fft.ifft2(waves, axes=(1, 2)).real
    fields = fields[:, 8:40, 8:40] / fields.std(axis=(1, 2, 3), keepdims=True)
    images: np.ndarray = np.clip(128 + 45 * fields, 0, 255).astype(np.uint8)
    return images


def found(images: np.ndarray) -> set[tuple[int, int]]:
    return {(int(first), int(second)) for first, second in find_pairs(images).indices}


def mirrored(image: Photograph) -> Photograph:
    return image[:, ::-1]


def darker(image: Photograph) -> Photograph:
    return image // 2 + 10


def another_tint(image: Photograph) -> Photograph:
    tinted: Photograph = np.clip(image * [1.1, 0.9, 0.8] + [-10, 10, 5], 0, 255).astype(np.uint8)
    return tinted


def moved(image: Photograph) -> Photograph:
    return np.roll(image, (1, -1), axis=(0, 1))


def enlarged(image: Photograph) -> Photograph:
    picture = Image.fromarray(image).resize((128, 128), Image.Resampling.BICUBIC).crop((3, 3, 125, 125))
    return np.asarray(picture.resize((32, 32), Image.Resampling.BICUBIC))


def compressed(image: Photograph) -> Photograph:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=60)
    return np.asarray(Image.open(buffer))


@pytest.mark.parametrize("change", [mirrored, darker, another_tint, moved, enlarged, compressed])
def test_a_changed_photograph_is_found_and_no_other(change: Callable[[Photograph], Photograph]) -> None:
    images = photographs(200)
    images[150] = change(images[30])
    assert found(images) == {(30, 150)}


def test_the_most_similar_pair_stands_first() -> None:
    images = photographs(50)
    images[10], images[20], images[30] = enlarged(images[3]), images[4], another_tint(images[5])
    pairs = find_pairs(images)
    assert pairs.indices.tolist() == [[4, 20], [5, 30], [3, 10]]
    assert pairs.similarity[0] == 1
    assert (pairs.similarity >= near_duplicates.MIN_SIMILARITY).all()


def test_noise_has_no_near_duplicates() -> None:
    assert found(np.random.default_rng(0).integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)) == set()


def test_flat_images_are_duplicates_of_their_equals_alone() -> None:
    """A constant image has no direction, and its noise has one that says nothing."""
    levels = np.array([0, 30, 90, 90, 200, 30], dtype=np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (6, 32, 32, 3)).copy()
    images[4] += np.random.default_rng(0).integers(0, 3, (32, 32, 3), dtype=np.uint8)
    assert found(images) == {(1, 5), (2, 3)}


def test_many_equal_images_take_linear_room() -> None:
    images = np.repeat(photographs(2), (3000, 1), axis=0)
    assert found(images) == {(0, index) for index in range(1, 3000)}


def test_many_near_duplicates_hang_together_in_linear_room() -> None:
    rng = np.random.default_rng(0)
    heap = photographs(1).astype(int) + rng.integers(-4, 5, (1500, 32, 32, 3))
    images = np.concatenate([np.clip(heap, 0, 255).astype(np.uint8), photographs(100, seed=1)])
    pairs = find_pairs(images)
    assert len(pairs.indices) <= 5 * 1500
    assert np.unique(group(len(images), pairs.indices)).tolist() == [0, *range(1500, 1600)]


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images = photographs(700)
    images[500:] = [enlarged(image) for image in images[:200]]
    several = find_pairs(images)
    monkeypatch.setattr(near_duplicates, "MAX_THREADS", 1)
    one = find_pairs(images)
    assert (several.indices == one.indices).all()
    assert (several.similarity == one.similarity).all()


@pytest.mark.parametrize("num_images", [0, 1, 2])
def test_fewer_images_than_make_a_pair(num_images: int) -> None:
    assert found(photographs(num_images)) == set()


def test_groups_join_what_pairs_connect_through_others() -> None:
    pairs = np.array([[4, 5], [1, 5], [2, 7]], dtype=np.int32)
    assert group(9, pairs).tolist() == [0, 1, 2, 3, 1, 1, 6, 2, 8]
