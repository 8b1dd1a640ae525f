import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tasks.validate import near_duplicates
from tasks.validate.near_duplicates import Pairs, Search, group
from tests.near_duplicates import photographs

Photograph = np.ndarray


def find_pairs(images: np.ndarray) -> Pairs:
    return Search(images, images[:0]).pairs


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


def in_turn(train: np.ndarray, test: np.ndarray, *drops: np.ndarray) -> Search:
    """A search that has kept every drop."""
    search = Search(train, test)
    for images in drops:
        search.keep(search.look(images))
    return search


def test_a_drop_is_paired_with_train_test_earlier_drops_and_itself() -> None:
    images = photographs(100)
    first, second = photographs(10, seed=1), photographs(10, seed=2)
    first[3], first[4] = mirrored(images[7]), compressed(images[80])
    second[0], second[9], second[5] = darker(first[6]), moved(second[8]), images[81]
    pairs = in_turn(images[:70], images[70:], first, second).pairs
    assert {(int(a), int(b)) for a, b in pairs.indices} == {(7, 103), (80, 104), (106, 110), (118, 119), (81, 115)}


def test_drops_leave_what_was_found_in_the_base_as_it_is() -> None:
    images = photographs(300)
    images[250:] = [enlarged(image) for image in images[:50]]
    alone = Search(images[:200], images[200:])
    drop = np.stack([another_tint(image) for image in images[:120]])
    beside = in_turn(images[:200], images[200:], drop)
    of_base = beside.pairs.indices[:, 1] < 300
    assert (of_base.sum(), len(beside.pairs.indices)) == (len(alone.pairs.indices), len(alone.pairs.indices) + 170)
    assert (beside.pairs.indices[of_base] == alone.pairs.indices).all()
    assert (beside.pairs.similarity[of_base] == alone.pairs.similarity).all()
    assert (beside.base_groups() == alone.groups()).all()


def test_a_drop_between_two_images_of_the_base_joins_them_and_not_in_the_base_alone() -> None:
    images = photographs(60)
    between = images[10].copy()
    images[10], images[40] = (np.roll(between, shift, axis=(0, 1)) for shift in ((1, 1), (-1, -1)))
    search = in_turn(images[:30], images[30:], between[None])
    assert sorted(search.pairs.indices.tolist()) == [[10, 60], [40, 60]]
    assert search.groups()[[10, 40, 60]].tolist() == [10, 10, 10]
    assert (search.base_groups() == np.arange(60)).all()


def test_a_drop_that_is_not_kept_leaves_no_trace() -> None:
    images, heap = photographs(100), photographs(1, seed=1)[0]
    rng = np.random.default_rng(0)
    bad = np.stack([np.clip(heap + rng.integers(-3, 4, heap.shape), 0, 255).astype(np.uint8) for _ in range(50)])
    with_bad, without = Search(images[:70], images[70:]), Search(images[:70], images[70:])
    assert with_bad.look(bad).near(100, 150).sum() == 49
    good = np.stack([bad[0], mirrored(bad[1]), darker(images[90])])
    for search in (with_bad, without):
        search.keep(search.look(good))
    assert with_bad.pairs.indices.tolist() == without.pairs.indices.tolist() == [[90, 102], [100, 101]]
    assert (with_bad.pairs.similarity == without.pairs.similarity).all()


def test_a_heap_of_like_images_hides_no_neighbour_in_test() -> None:
    """An image has room for five neighbours, of which there are more and nearer ones in train and in the drop."""
    images = photographs(100)
    photograph = images[90]
    images[:30] = [np.clip(photograph + shade, 0, 255) for shade in np.arange(1, 31)[:, None, None, None]]
    heap = np.stack([np.clip(photograph.astype(int) - shade, 0, 255).astype(np.uint8) for shade in range(1, 31)])
    batch = Search(images[:70], images[70:]).look(heap)
    assert batch.near(70, 100).all()
    assert batch.near(0, 70).all()
