"""Planted faults in drops: each is found by the check that is for it, with how many images and which."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.store import Store
from tasks.validate.checks import check_dataset
from tasks.validate.config import ValidateConfig
from tasks.validate.drops import judge
from tasks.validate.likeness import Likeness
from tasks.values.baselines import Baselines
from tasks.values.dataset import RawDataset
from tasks.values.drops import Drop, Unreadable
from tasks.values.validation import DropCheck, DropVerdict
from tests.drops import noise, publish_drop

Judge = Callable[..., tuple[DropVerdict, ...]]


@pytest.fixture
def make(opened_store: Store) -> Callable[..., Drop]:
    """Publishes a drop as ingest does."""
    return partial(publish_drop, opened_store)


@pytest.fixture
def base(noise_dataset: RawDataset, opened_store: Store) -> Path:
    return opened_store.fetch(noise_dataset.artifact)


@pytest.fixture
def judged(noise_dataset: RawDataset, base: Path) -> Judge:
    def verdicts(*drops: Drop, **bounds: Any) -> tuple[DropVerdict, ...]:
        table = check_dataset(noise_dataset, base, ValidateConfig()).images
        dataset, config = noise_dataset.model_copy(update={"drops": drops}), ValidateConfig(**bounds)
        return judge(dataset, table, Likeness(dataset, Baselines(), config), config)

    return verdicts


def failed(verdict: DropVerdict) -> dict[str, DropCheck]:
    return {check.name: check for check in verdict.failed}


def test_a_clean_drop_passes_every_check(make: Callable[..., Drop], judged: Judge) -> None:
    (verdict,) = judged(make(noise(200)))
    assert (verdict.good, verdict.num_images) == (True, (20,) * 10)
    assert [check.name for check in verdict.failed] == ["likeness"]
    assert len({check.name for check in verdict.checks}) == len(verdict.checks) == 10


def test_one_published_test_image_makes_a_drop_bad(make: Callable[..., Drop], judged: Judge, base: Path) -> None:
    images, labels = noise(200)
    images[17] = np.load(base / "test_images.npy")[5]
    (verdict,) = judged(make((images, labels)), max_drop_fault_share=1.0)
    assert not verdict.good
    check = failed(verdict)["test images"]
    assert (check.severity, check.num_images, check.files) == ("critical", 1, ("a/17.png",))


def blank(images: np.ndarray, labels: np.ndarray, base: Path, count: int) -> None:
    images[:count] = np.arange(count).reshape(-1, 1, 1, 1)


def scale_to_one(images: np.ndarray, labels: np.ndarray, base: Path, count: int) -> None:
    images[:count] = images[:count] > 127


def repeat(images: np.ndarray, labels: np.ndarray, base: Path, count: int) -> None:
    images[100 : 100 + count] = images[:count]


def copy_base(images: np.ndarray, labels: np.ndarray, base: Path, count: int) -> None:
    images[:count] = np.load(base / "train_images.npy")[:count]


def contradict(images: np.ndarray, labels: np.ndarray, base: Path, count: int) -> None:
    images[:count] = np.load(base / "train_images.npy")[1 : count + 1]


@pytest.mark.parametrize(
    ("plant", "name"),
    [
        (blank, "blank images"),
        (scale_to_one, "wrong scale"),
        (repeat, "duplicates within the drop"),
        (copy_base, "images that are there already"),
        (contradict, "contradictory labels"),
    ],
)
@pytest.mark.parametrize(("count", "severity"), [(2, "warning"), (3, "critical")])
def test_up_to_one_in_a_hundred_is_a_warning(
    make: Callable[..., Drop],
    judged: Judge,
    base: Path,
    plant: Callable[..., None],
    name: str,
    count: int,
    severity: str,
) -> None:
    images, labels = noise(200)
    plant(images, labels, base, count)
    (verdict,) = judged(make((images, labels)))
    check = failed(verdict)[name]
    assert (check.severity, check.num_images) == (severity, count)
    first = 100 if plant is repeat else 0
    assert check.files == tuple(f"a/{first + number}.png" for number in range(count))
    assert verdict.good == (severity == "warning")


def test_an_image_with_two_labels_within_a_drop_is_a_contradiction(make: Callable[..., Drop], judged: Judge) -> None:
    images, labels = noise(200)
    images[1] = images[0]
    assert failed(judged(make((images, labels)))[0])["contradictory labels"].files == ("a/0.png", "a/1.png")


def test_a_drop_is_compared_with_the_good_ones_before_it(make: Callable[..., Drop], judged: Judge) -> None:
    first, other = noise(200, seed=1), noise(200, seed=2)
    verdicts = judged(make(first, "a"), make((first[0][::-1], first[1][::-1]), "b"), make(other, "c"))
    assert [verdict.good for verdict in verdicts] == [True, False, True]
    assert failed(verdicts[1])["images that are there already"].num_images == 200


def test_a_bad_drop_takes_no_other_with_it(make: Callable[..., Drop], judged: Judge) -> None:
    first = noise(200, seed=1)
    bad = make(first, "a", num_unreadable=100)
    verdicts = judged(bad, make((first[0][::-1], first[1][::-1]), "b"))
    assert [verdict.good for verdict in verdicts] == [False, True]


def test_a_drop_that_cannot_be_read_says_why(make: Callable[..., Drop], judged: Judge) -> None:
    empty = (np.empty((0, 32, 32, 3), np.uint8), np.empty(0, np.uint8))
    (verdict,) = judged(make(empty, problem="It mixes formats."))
    assert failed(verdict)["readable drop"].observed == "It mixes formats."
    assert verdict.num_images == (0,) * 10


@pytest.mark.parametrize(("count", "good"), [(2, True), (3, False)])
def test_unreadable_files_are_named_and_count_as_images(
    make: Callable[..., Drop], judged: Judge, count: int, good: bool
) -> None:
    unreadable = tuple(Unreadable(name=f"cat/{number}.png", reason="damaged") for number in range(count))
    (verdict,) = judged(make(noise(200), num_unreadable=count, unreadable=unreadable))
    check = failed(verdict)["readable files"]
    assert verdict.good == good
    assert check.observed == f"{count} of {200 + count} could not be read, such as cat/0.png: damaged"
    assert check.files[1] == "cat/1.png: damaged"


def test_at_most_twenty_images_are_named(make: Callable[..., Drop], judged: Judge) -> None:
    images, labels = noise(200)
    images[:50] = 0
    check = failed(judged(make((images, labels)))[0])["blank images"]
    assert (check.num_images, len(check.files)) == (50, 20)
