"""Planted faults in images that are kept for testing only: what stops a run, and what is told of."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.store import Store
from tasks.validate.config import ValidateConfig
from tasks.validate.extra_test import judge_extra_test, require_good
from tasks.validate.near_duplicates import Search
from tasks.validate.statistics import image_table
from tasks.validate.step import validate
from tasks.values.baselines import Baselines
from tasks.values.dataset import RawDataset
from tasks.values.drops import Drop, Unreadable
from tasks.values.validation import Check, DataValidationError, DropCheck, DropVerdict
from tests.conftest import publish_arrays
from tests.drops import Arrays, noise, publish_drop
from tests.near_duplicates import photographs

Judge = Callable[..., DropVerdict]

OF_THE_DATASET = Check(name="duplicates", severity="warning", passed=True, observed="none", expected="none")


@pytest.fixture
def make(opened_store: Store) -> Callable[..., Drop]:
    return lambda arrays, **more: publish_drop(opened_store, arrays, "ours", **more)


@pytest.fixture
def judged(noise_dataset: RawDataset, base: dict[str, np.ndarray], make: Callable[..., Drop]) -> Judge:
    """What is said of such extra test images, beside a check of the dataset; as the step does it, but quickly."""
    tables = [image_table(base[f"{split}_images"], base[f"{split}_labels"], split) for split in ("train", "test")]
    table = pd.concat(tables, ignore_index=True)
    search = Search(base["train_images"], base["test_images"])

    def verdict(arrays: Arrays, **more: Any) -> DropVerdict:
        dataset = noise_dataset.model_copy(update={"extra_test": make(arrays, **more)})
        given = judge_extra_test(dataset, table, search, ValidateConfig())
        assert given is not None
        require_good(given, "ours", (OF_THE_DATASET,))
        return given

    return verdict


@pytest.fixture
def base(noise_dataset: RawDataset, opened_store: Store) -> dict[str, np.ndarray]:
    folder = opened_store.fetch(noise_dataset.artifact)
    names = ("train_images", "train_labels", "test_images", "test_labels")
    return {name: np.load(folder / f"{name}.npy") for name in names}


def failed(verdict: DropVerdict) -> dict[str, DropCheck]:
    return {check.name: check for check in verdict.failed}


def test_clean_images_pass_every_check(judged: Judge) -> None:
    verdict = judged(noise(200))
    assert (verdict.good, verdict.failed, verdict.num_images) == (True, (), (20,) * 10)
    assert len(verdict.checks) == 11


def test_one_training_image_of_the_base_stops_the_run(judged: Judge, base: dict[str, np.ndarray]) -> None:
    images, labels = noise(200)
    images[17] = base["train_images"][5]
    with pytest.raises(
        DataValidationError, match=r"1 critical .* training images: observed 1 of 200 images.*\(ours/17\.png\).*nothing"
    ) as caught:
        judged((images, labels))
    assert [check.name for check in caught.value.checks if not check.passed] == ["extra test images: training images"]
    assert caught.value.checks[0] == OF_THE_DATASET


def test_a_class_alone_and_half_of_them_blank_repeated_or_contradictory_is_told_of(
    judged: Judge, base: dict[str, np.ndarray]
) -> None:
    images, _ = noise(200)
    labels = np.full(200, 3, np.uint8)
    images[:60] = np.arange(60, dtype=np.uint8).reshape(-1, 1, 1, 1)
    images[100:140] = images[60]
    images[150], labels[150] = base["test_images"][4], base["test_labels"][4] + 1
    images[160], labels[160] = images[161], 7
    verdict = judged((images, labels))
    found = failed(verdict)
    assert verdict.good
    assert {name: check.num_images for name, check in found.items() if check.severity == "warning"} == {
        "blank images": 60,
        "repeated images": 41,
        "contradictory labels": 3,
        "published test images": 1,
    }
    assert found["contradictory labels"].files == ("ours/150.png", "ours/160.png", "ours/161.png")
    assert found["classes"].severity == "info"


@pytest.mark.parametrize("count", [2, 3])
def test_up_to_one_unreadable_file_in_a_hundred_is_a_warning(judged: Judge, count: int) -> None:
    unreadable = tuple(Unreadable(name=f"cat/{number}.png", reason="damaged") for number in range(count))
    if count == 2:
        verdict = judged(noise(200), num_unreadable=count, unreadable=unreadable)
        assert failed(verdict)["readable files"].severity == "warning"
        return
    with pytest.raises(DataValidationError, match=r"readable files: observed 3 of 203 .* cat/0\.png: damaged"):
        judged(noise(200), num_unreadable=count, unreadable=unreadable)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"problem": "It mixes formats."}, "readable folder: observed It mixes formats"),
        ({"num_unreadable": 4}, "no image could be read"),
    ],
)
def test_a_folder_without_a_readable_image_stops_the_run(judged: Judge, fault: dict[str, Any], message: str) -> None:
    empty = (np.empty((0, 32, 32, 3), np.uint8), np.empty(0, np.uint8))
    with pytest.raises(DataValidationError, match=message):
        judged(empty, **fault)


def test_one_of_them_makes_a_drop_bad(
    noise_dataset: RawDataset, opened_store: Store, make: Callable[..., Drop]
) -> None:
    extra, (images, labels) = noise(40, seed=1), noise(200, seed=2)
    clean = publish_drop(opened_store, (images.copy(), labels), "clean")
    images[17] = extra[0][9]
    leak = publish_drop(opened_store, (images, labels), "leak")
    dataset = noise_dataset.model_copy(update={"extra_test": make(extra), "drops": (leak, clean)})
    verdicts = validate.fn(dataset, Baselines(), ValidateConfig(max_drop_fault_share=1.0)).drops
    assert [verdict.good for verdict in verdicts] == [False, True]
    check = failed(verdicts[0])["test images"]
    assert (check.severity, check.num_images, check.files) == ("critical", 1, ("leak/17.png",))


def test_a_drop_of_their_photographs_in_another_form_is_bad(opened_store: Store, make: Callable[..., Drop]) -> None:
    images = photographs(400)
    labels = (np.arange(400) % 10).astype(np.uint8)
    dataset = publish_arrays(opened_store, images[:300], images[300:340])
    mirrored = publish_drop(opened_store, (images[340:380, :, ::-1].copy(), labels[:40]), "mirrored")
    extra = make((images[340:380], labels[:40]))
    judged = dataset.model_copy(update={"extra_test": extra, "drops": (mirrored,)})
    (verdict,) = validate.fn(judged, Baselines(), ValidateConfig()).drops
    assert failed(verdict)["near-duplicates of test images"].num_images == 40
    assert not verdict.good
    (alone,) = validate.fn(judged.without_extra_test(), Baselines(), ValidateConfig()).drops
    assert alone.good


def test_near_duplicates_and_so_the_splits_do_not_hang_on_them(
    noise_dataset: RawDataset, make: Callable[..., Drop], caplog: pytest.LogCaptureFixture
) -> None:
    images, labels = noise(40)
    images[7] = 0
    with_them = noise_dataset.model_copy(update={"extra_test": make((images, labels))})
    one, other = (validate.fn(dataset, Baselines(), ValidateConfig()) for dataset in (noise_dataset, with_them))
    assert one.near_duplicates == other.near_duplicates
    assert "Extra test images, blank images: observed 1 of 40 images" in caplog.text
    assert one.extra_test is None
    assert other.extra_test is not None
    assert other.extra_test.num_images == (4,) * 10
    assert with_them.without_extra_test() == noise_dataset
    assert with_them.digest == noise_dataset.digest
