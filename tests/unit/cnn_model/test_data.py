from pathlib import Path

import numpy as np
import pytest

from cnn_model.data import load_split, load_splits
from cnn_model.failures import BadDataError

IMAGES = np.zeros((4, 32, 32, 3), np.uint8)
LABELS = np.array([0, 1, 2, 9], np.uint8)


def _load(folder: Path, images: object, labels: object) -> None:
    np.save(folder / "images.npy", np.asarray(images))
    np.save(folder / "labels.npy", np.asarray(labels))
    load_split(folder / "images.npy", folder / "labels.npy")


def test_splits_are_mapped_into_memory_and_not_read(splits_folder: Path):
    splits = load_splits(splits_folder)

    assert isinstance(splits.train.images, np.memmap)
    assert (len(splits.train), len(splits.validation), len(splits.calibration)) == (200, 40, 40)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.astype(np.float32), LABELS, r"holds float32 of shape \(4, 32, 32, 3\); expected uint8 .*; write"),
        (IMAGES[:, :16], LABELS, r"shape \(4, 16, 32, 3\); expected"),
        (IMAGES, LABELS[:3], r"shape \(3,\); expected uint8 of shape \(4,\)"),
        (IMAGES, LABELS.astype(np.int64), "holds int64"),
        (IMAGES, np.array([0, 1, 2, 11], np.uint8), "holds the label 11; expected 0 to 9"),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path: Path, images: object, labels: object, message: str):
    with pytest.raises(BadDataError, match=message):
        _load(tmp_path, images, labels)


def test_a_missing_file_and_one_that_is_no_array_are_refused(tmp_path: Path):
    with pytest.raises(BadDataError, match=r"train_images\.npy cannot be read .* write the splits again"):
        load_splits(tmp_path)
    (tmp_path / "images.npy").write_bytes(b"not an array")
    with pytest.raises(BadDataError, match=r"images\.npy cannot be read"):
        load_split(tmp_path / "images.npy", tmp_path / "labels.npy")


def test_an_array_of_objects_is_refused_and_not_unpickled(tmp_path: Path):
    with pytest.raises(BadDataError, match="cannot be read"):
        _load(tmp_path, np.array([{}], dtype=object), LABELS)


def test_an_empty_train_split_is_refused(tmp_path: Path):
    for name in ("train", "validation", "calibration"):
        np.save(tmp_path / f"{name}_images.npy", IMAGES[:0])
        np.save(tmp_path / f"{name}_labels.npy", LABELS[:0])

    with pytest.raises(BadDataError, match="no image; expected one or more"):
        load_splits(tmp_path)
