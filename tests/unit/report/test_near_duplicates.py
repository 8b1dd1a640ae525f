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
    places = [(pair.first.split, pair.first.index, pair.second.split, pair.second.index) for pair in found.leaking]
    assert places == [("test", 3, "train", 3), ("test", 7, "train", 4)]
    assert [pair.first.class_name for pair in found.leaking] == ["cat", "horse"]
    assert [pair.similarity for pair in found.leaking] == pytest.approx([1, 0.925])
    assert [pair.first.index for pair in pairs(promoted, num_pairs=1).leaking] == [3]


def test_contradictory_pairs_lie_within_train_and_differ_in_label(promoted: ReportContents) -> None:
    found = pairs(promoted)
    (pair,) = found.contradictory
    assert {(member.index, member.class_name) for member in (pair.first, pair.second)} == {
        (21, "automobile"),
        (32, "bird"),
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
