"""Planted faults: each is found by the check that is for it, with the number of images."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks.store import Store
from tasks.validate.checks import check_dataset, write_checks
from tasks.validate.config import ValidateConfig
from tasks.values.dataset import RawDataset
from tasks.values.validation import Check, DataValidationError

Arrays = dict[str, np.ndarray]


@pytest.fixture
def folder(noise_dataset: RawDataset, opened_store: Store, tmp_path: Path) -> Path:
    return Path(shutil.copytree(opened_store.fetch(noise_dataset.artifact), tmp_path / "dataset"))


def check(dataset: RawDataset, folder: Path, plant: Callable[[Arrays], None] | None = None) -> dict[str, Check]:
    """The checks by name, failed critical ones included."""
    names = [f"{split}_{kind}" for split in ("train", "test") for kind in ("images", "labels")]
    arrays = {name: np.load(folder / f"{name}.npy") for name in names}
    if plant is not None:
        plant(arrays)
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
    try:
        checks = check_dataset(dataset, folder, ValidateConfig()).checks
    except DataValidationError as error:
        checks = error.checks
    return {item.name: item for item in checks}


def test_clean_data_pass_every_check(noise_dataset: RawDataset, folder: Path) -> None:
    checks = check(noise_dataset, folder)
    assert [name for name, item in checks.items() if not item.passed] == []
    assert len(checks) == 26


def relabel(arrays: Arrays) -> None:
    arrays["train_labels"][:7] = 11


def drop_class(arrays: Arrays) -> None:
    arrays["test_labels"][arrays["test_labels"] == 4] = 5


def scale_to_one(arrays: Arrays) -> None:
    arrays["train_images"] //= 255


def copy_test_into_train(arrays: Arrays) -> None:
    arrays["train_images"][:5] = arrays["test_images"][:5]


def lose_images(arrays: Arrays) -> None:
    arrays["train_images"] = arrays["train_images"][:-9]
    arrays["train_labels"] = arrays["train_labels"][:-9]


@pytest.mark.parametrize(
    ("plant", "name", "observed", "num_images"),
    [
        (relabel, "labels in range", "7 of 360", 7),
        (drop_class, "classes in test", "missing 4", None),
        (scale_to_one, "images with contrast", "300 of 360", 300),
        (copy_test_into_train, "test images in train", "5", 5),
        (lose_images, "number of train images", "291", None),
    ],
)
def test_a_critical_fault_stops_and_is_counted(
    noise_dataset: RawDataset,
    folder: Path,
    plant: Callable[[Arrays], None],
    name: str,
    observed: str,
    num_images: int | None,
) -> None:
    found = check(noise_dataset, folder, plant)[name]
    assert (found.passed, found.severity) == (False, "critical")
    assert found.observed.startswith(observed)
    if num_images is not None:
        assert found.num_images == num_images
    with pytest.raises(DataValidationError, match=name):
        check_dataset(noise_dataset, folder, ValidateConfig())


def blank(arrays: Arrays) -> None:
    arrays["train_images"][0] = 128


def repeat(arrays: Arrays) -> None:
    arrays["train_images"][10] = arrays["train_images"][20]


def contradict(arrays: Arrays) -> None:
    arrays["train_images"][11] = arrays["train_images"][22]


def mirror_test_into_train(arrays: Arrays) -> None:
    arrays["train_images"][:12] = np.minimum(arrays["test_images"][:12, :, ::-1], 230)
    arrays["train_labels"][:12] = arrays["test_labels"][:12]


def contradict_in_other_colours(arrays: Arrays) -> None:
    arrays["train_images"][11] = arrays["train_images"][22] // 2 + 20


def flood(arrays: Arrays) -> None:
    arrays["train_labels"][arrays["train_labels"] == 1] = np.arange((arrays["train_labels"] == 1).sum()) % 2


def brighten(arrays: Arrays) -> None:
    arrays["test_images"][..., 0] = np.minimum(arrays["test_images"][..., 0].astype(int) + 15, 255)


@pytest.mark.parametrize(
    ("plant", "name", "num_images"),
    [
        (blank, "blank images", 1),
        (repeat, "duplicates", 2),
        (contradict, "contradictory labels", 2),
        (mirror_test_into_train, "near-duplicates of train in test", None),
        (contradict_in_other_colours, "contradictory near-duplicates in train", 2),
        (flood, "class balance in train", None),
        (brighten, "mean red in test", None),
    ],
)
def test_a_lesser_fault_warns_and_is_counted(
    noise_dataset: RawDataset, folder: Path, plant: Callable[[Arrays], None], name: str, num_images: int | None
) -> None:
    found = check(noise_dataset, folder, plant)[name]
    assert (found.passed, found.severity) == (False, "warning")
    if num_images is not None:
        assert found.num_images == num_images


@pytest.mark.parametrize(
    ("plant", "name", "rows"),
    [
        (relabel, "labels in range", tuple(range(7))),
        (scale_to_one, "wrong scale", tuple(range(20))),
        (blank, "blank images", (0,)),
        (repeat, "duplicates", (10, 20)),
    ],
)
def test_a_failed_check_shows_images_and_says_what_to_do(
    noise_dataset: RawDataset, folder: Path, plant: Callable[[Arrays], None], name: str, rows: tuple[int, ...]
) -> None:
    found = check(noise_dataset, folder, plant)
    assert found[name].examples == rows
    assert all(item.advice for item in found.values())


def test_swapped_channels_of_photographs_are_found(folder: Path, noise_dataset: RawDataset) -> None:
    """Photographs are measured against CIFAR-10's means: red 125.3 and blue 113.9 levels."""

    def photographs(red: float, blue: float) -> Callable[[Arrays], None]:
        def plant(arrays: Arrays) -> None:
            for split in ("train", "test"):
                shape = arrays[f"{split}_images"].shape
                noise = np.random.default_rng(1).normal((red, 122.9, blue), 40, shape)
                arrays[f"{split}_images"] = np.clip(noise, 0, 255).astype(np.uint8)

        return plant

    dataset = noise_dataset.model_copy(update={"name": "unofficial-photographs"})
    failed = {name for name, item in check(dataset, folder, photographs(113.9, 125.3)).items() if not item.passed}
    assert {"mean red in train", "mean blue in train"} <= failed


def test_what_was_found_is_written_without_pickle(noise_dataset: RawDataset, folder: Path, tmp_path: Path) -> None:
    findings = check_dataset(noise_dataset, folder, ValidateConfig())
    write_checks(tmp_path, findings.checks, findings.images)
    with np.load(tmp_path / "statistics.npz", allow_pickle=False) as columns:
        assert list(columns["digest"]) == list(findings.images["digest"])
        assert columns["split"][-1] == "test"
    assert len(json.loads((tmp_path / "checks.json").read_text())) == len(findings.checks)
