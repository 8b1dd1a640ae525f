from collections.abc import Sequence

import numpy as np
import pytest

from tasks.errors import SourceError
from tasks.preprocess.config import PreprocessConfig
from tasks.preprocess.splitting import arrays_digest, channel_statistics, grouped_indices
from tasks.preprocess.step import preprocess
from tasks.store import Store
from tasks.values.dataset import RawDataset
from tests.near_duplicates import publish_near_duplicates

LABELS = np.repeat(np.arange(10), [200] * 9 + [100]).astype(np.uint8)
SINGLE = np.arange(len(LABELS), dtype=np.int32)
"""Each image is a group of its own."""


def in_groups(*groups: Sequence[int]) -> np.ndarray:
    """The group of each image, where these belong together and each other one stands alone."""
    of_image = SINGLE.copy()
    for members in groups:
        of_image[list(members)] = min(members)
    return of_image


def num_torn(indices: dict[str, np.ndarray], groups: np.ndarray) -> int:
    """Groups with members in more than one split."""
    split = np.empty(len(groups), dtype=object)
    for name, chosen in indices.items():
        split[chosen] = name
    return sum(len(set(split[groups == group])) > 1 for group in np.unique(groups))


def test_splits_are_disjoint_and_leave_nothing_out() -> None:
    indices = grouped_indices(LABELS, SINGLE, 0.05, 0.1, 0)
    assert [len(indices[name]) for name in ("train", "validation", "calibration")] == [1615, 95, 190]
    assert sorted(np.concatenate(list(indices.values()))) == list(range(len(LABELS)))


def test_classes_keep_their_proportions() -> None:
    indices = grouped_indices(LABELS, SINGLE, 0.1, 0.1, 0)
    for name in ("train", "validation", "calibration"):
        counts = np.bincount(LABELS[indices[name]], minlength=10)
        assert counts[:9] == pytest.approx(2 * counts[9], abs=2)


def test_the_seed_decides() -> None:
    first, again, other = (grouped_indices(LABELS, SINGLE, 0.1, 0.1, seed)["validation"] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_too_few_images_are_refused() -> None:
    with pytest.raises(SourceError, match=r"20 training images cannot be split.*Give more"):
        grouped_indices(np.repeat(np.arange(10), 2).astype(np.uint8), SINGLE[:20], 0.05, 0.05, 0)


def test_split_keeps_near_duplicates_on_one_side() -> None:
    rng = np.random.default_rng(0)
    groups = in_groups(*rng.permutation(len(LABELS))[:600].reshape(-1, 3).tolist())
    indices = grouped_indices(LABELS, groups, 0.1, 0.2, 0)
    assert num_torn(indices, groups) == 0
    assert num_torn(grouped_indices(LABELS, SINGLE, 0.1, 0.2, 0), groups) > 50
    assert [len(indices[name]) for name in ("train", "validation", "calibration")] == [1330, 190, 380]
    assert sorted(np.concatenate(list(indices.values()))) == list(range(len(LABELS)))


def test_sizes_are_right_to_within_one_group_where_no_image_stands_alone() -> None:
    groups = (np.arange(len(LABELS), dtype=np.int32) // 8) * 8
    indices = grouped_indices(LABELS, groups, 0.05, 0.1, 0)
    assert num_torn(indices, groups) == 0
    assert 95 - 8 < len(indices["validation"]) <= 95
    assert 190 - 8 < len(indices["calibration"]) <= 190


def test_a_group_larger_than_a_split_is_trained_on() -> None:
    indices = grouped_indices(LABELS, in_groups(range(0, 300)), 0.05, 0.05, 0)
    assert set(range(300)) <= set(indices["train"])
    assert (len(indices["validation"]), len(indices["calibration"])) == (95, 95)


def test_one_pair_more_moves_few_images() -> None:
    before = grouped_indices(LABELS, SINGLE, 0.1, 0.1, 0)
    pair = (before["train"][0], before["validation"][0])
    after = grouped_indices(LABELS, in_groups(pair), 0.1, 0.1, 0)
    assert sum(len(np.setdiff1d(before[name], after[name])) for name in before) <= 4


def test_images_that_are_all_alike_are_refused() -> None:
    with pytest.raises(SourceError, match="near-duplicates stay on one side"):
        grouped_indices(LABELS, np.zeros_like(SINGLE), 0.1, 0.1, 0)


def test_channel_statistics_are_those_of_numpy() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5000, 4, 4, 3), dtype=np.uint8)
    images[..., 2] //= 2
    mean, std = channel_statistics(images)
    assert mean == pytest.approx((images / 255).mean(axis=(0, 1, 2)))
    assert std == pytest.approx((images / 255).std(axis=(0, 1, 2)))


def test_the_digest_sees_pixels_labels_and_order() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(50).astype(np.uint8)
    changed, swapped = images.copy(), labels.copy()
    changed[49, 31, 31, 2] ^= 1
    swapped[[0, 1]] = swapped[[1, 0]]
    digests = {arrays_digest(images, labels), arrays_digest(changed, labels), arrays_digest(images, swapped)}
    assert len(digests) == 3


def test_the_step_writes_mappable_arrays_of_the_right_rows(noise_dataset: RawDataset, opened_store: Store) -> None:
    near_duplicates = publish_near_duplicates(opened_store, 300, 60, [(0, 299), (7, 305)])
    config = PreprocessConfig(validation_fraction=0.1, calibration_fraction=0.2)
    splits = preprocess.fn(noise_dataset, near_duplicates, config)
    assert splits.num_images == {"train": 210, "validation": 30, "calibration": 60, "test": 60}
    folder, raw = opened_store.fetch(splits.artifact), opened_store.fetch(noise_dataset.artifact)
    loaded = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}
    assert (loaded["test_images"] == np.load(raw / "test_images.npy")).all()
    rows = {
        image.tobytes(): label
        for image, label in zip(*(np.load(raw / f"train_{kind}.npy") for kind in ("images", "labels")), strict=True)
    }
    seen = set()
    for name in ("train", "validation", "calibration"):
        for image, label in zip(loaded[f"{name}_images"], loaded[f"{name}_labels"], strict=True):
            assert rows[image.tobytes()] == label
            seen.add(image.tobytes())
    assert len(seen) == 300
    assert splits.channel_mean == pytest.approx((loaded["train_images"] / 255).mean(axis=(0, 1, 2)))
