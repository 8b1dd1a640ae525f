import numpy as np
import pytest

from tasks.errors import SourceError
from tasks.preprocess.config import PreprocessConfig
from tasks.preprocess.splitting import arrays_digest, channel_statistics, stratified_indices
from tasks.preprocess.step import preprocess
from tasks.store import Store
from tasks.values.dataset import RawDataset
from tasks.values.validation import Validation

LABELS = np.repeat(np.arange(10), [200] * 9 + [100]).astype(np.uint8)


def test_splits_are_disjoint_and_leave_nothing_out() -> None:
    indices = stratified_indices(LABELS, 0.05, 0.1, 0)
    assert [len(indices[name]) for name in ("train", "validation", "calibration")] == [1615, 95, 190]
    assert sorted(np.concatenate(list(indices.values()))) == list(range(len(LABELS)))


def test_classes_keep_their_proportions() -> None:
    indices = stratified_indices(LABELS, 0.1, 0.1, 0)
    for name in ("train", "validation", "calibration"):
        counts = np.bincount(LABELS[indices[name]], minlength=10)
        assert counts[:9] == pytest.approx(2 * counts[9], abs=2)


def test_the_seed_decides() -> None:
    first, again, other = (stratified_indices(LABELS, 0.1, 0.1, seed)["validation"] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_too_few_images_are_refused() -> None:
    with pytest.raises(SourceError, match=r"20 training images cannot be split.*Give more"):
        stratified_indices(np.repeat(np.arange(10), 2).astype(np.uint8), 0.05, 0.05, 0)


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
    validation = Validation(artifact=noise_dataset.artifact, checks=())
    config = PreprocessConfig(validation_fraction=0.1, calibration_fraction=0.2)
    splits = preprocess.fn(noise_dataset, validation, config)
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
