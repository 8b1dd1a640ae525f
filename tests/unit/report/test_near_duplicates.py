import base64
import io

import numpy as np
import pytest
from PIL import Image

from tasks import store
from tasks.report.contents import ReportContents
from tasks.report.near_duplicates import Member, PairGallery, pair_gallery
from tasks.values.dataset import RawDataset


def pairs(contents: ReportContents, num_pairs: int = 12) -> PairGallery:
    assert contents.near_duplicates is not None
    return pair_gallery(dataset(contents), contents.near_duplicates, num_pairs)


def dataset(contents: ReportContents) -> RawDataset:
    assert contents.dataset is not None
    return contents.dataset


def test_leaking_pairs_have_the_test_image_first_and_end_with_the_most_doubtful(promoted: ReportContents) -> None:
    found = pairs(promoted)
    places = [(pair.first.place, pair.second.place) for pair in found.leaking]
    assert places == [("test 3", "train 3"), ("test 7", "train 4")]
    assert [pair.first.class_name for pair in found.leaking] == ["cat", "horse"]
    assert [pair.similarity for pair in found.leaking] == pytest.approx([1, 0.925])
    assert [pair.first.place for pair in pairs(promoted, num_pairs=1).leaking] == ["test 3"]


def test_contradictory_pairs_lie_within_train_and_differ_in_label(promoted: ReportContents) -> None:
    found = pairs(promoted)
    (pair,) = found.contradictory
    assert {(member.place, member.class_name) for member in (pair.first, pair.second)} == {
        ("train 21", "automobile"),
        ("train 32", "bird"),
    }
    assert (found.num_leaking, found.num_contradictory, found.num_within_train) == (2, 1, 2)


def test_a_test_image_counts_that_is_near_to_train_through_another_one(promoted: ReportContents) -> None:
    # The test images 6 and 7 are a pair, and 7 has another one with train.
    assert pairs(promoted).num_test_images_in_train == 3


def test_a_member_shows_its_image_pixel_for_pixel(promoted: ReportContents) -> None:
    folder = store.current().fetch(dataset(promoted).artifact)
    pair = pairs(promoted).leaking[1]
    assert (np.load(folder / "test_images.npy")[7] == pixels(pair.first)).all()
    assert (np.load(folder / "train_images.npy")[4] == pixels(pair.second)).all()


def pixels(member: Member) -> np.ndarray:
    data = base64.b64decode(member.source.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)))


def test_no_pairs_are_asked_for(promoted: ReportContents) -> None:
    found = pairs(promoted, num_pairs=0)
    assert (found.leaking, found.contradictory, found.num_leaking) == ((), (), 2)


def test_pairs_with_drops_say_which_file(with_drops: ReportContents) -> None:
    found = pairs(with_drops)
    places = [(pair.first.place, pair.second.place) for pair in found.dropped_leaking]
    assert places == [("test 2", "berlin/cat/0001.png"), ("test 5", "berlin/cat/0005.png")]
    places = [(pair.first.place, pair.second.place) for pair in found.dropped]
    assert places == [("berlin/cat/0015.png", "train 5"), ("berlin/cat/0008.png", "berlin/cat/0002.png")]
    assert with_drops.dataset is not None
    images = np.load(store.current().fetch(with_drops.dataset.drops[0].artifact) / "images.npy")
    assert (images[15] == pixels(found.dropped[0].first)).all()


def test_pairs_with_drops_count_beside_those_of_the_base(promoted: ReportContents, with_drops: ReportContents) -> None:
    base, found = pairs(promoted), pairs(with_drops)
    assert (base.num_dropped_leaking, base.num_dropped) == (0, 0)
    assert (found.num_dropped_leaking, found.num_dropped) == (2, 2)
    assert (found.num_leaking, found.num_within_train) == (base.num_leaking, base.num_within_train)
    assert [pair.first for pair in found.leaking] == [pair.first for pair in base.leaking]
    # Two more test images are near to what is trained on, and one pair with a drop has two labels.
    assert (base.num_test_images_in_train, found.num_test_images_in_train) == (3, 5)
    assert (base.num_contradictory, found.num_contradictory) == (1, 2)
    assert found.contradictory[1].first.place == "berlin/cat/0008.png"


def test_drops_that_are_not_accepted_shift_no_other(with_drops: ReportContents) -> None:
    """A run that was stopped has its bad drops in the dataset, and they have no near-duplicates."""
    dataset = with_drops.dataset
    assert dataset is not None
    bad = dataset.drops[0].model_copy(update={"name": "bern", "digest": "cd" * 32, "num_images": 3})
    stopped = with_drops.model_copy(update={"dataset": dataset.model_copy(update={"drops": (bad, *dataset.drops)})})
    assert pairs(stopped) == pairs(with_drops)
