"""Planted faults in drops: each is found by the check that is for it, with how many images and which."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import store
from tasks.store import Store
from tasks.validate.checks import check_dataset
from tasks.validate.config import ValidateConfig
from tasks.validate.drops import judge
from tasks.validate.likeness import Likeness
from tasks.validate.step import validate
from tasks.values.baselines import Baselines
from tasks.values.dataset import RawDataset
from tasks.values.drops import Drop, Unreadable
from tasks.values.validation import DropCheck, DropVerdict, Validation
from tests.conftest import publish_arrays
from tests.drops import Arrays, noise, publish_drop
from tests.near_duplicates import photographs

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
        found = check_dataset(noise_dataset, base, ValidateConfig())
        dataset, config = noise_dataset.model_copy(update={"drops": drops}), ValidateConfig(**bounds)
        return judge(dataset, found.images, found.search, Likeness(dataset, Baselines(), config), config)

    return verdicts


def failed(verdict: DropVerdict) -> dict[str, DropCheck]:
    return {check.name: check for check in verdict.failed}


def test_a_clean_drop_passes_every_check(make: Callable[..., Drop], judged: Judge) -> None:
    (verdict,) = judged(make(noise(200)))
    assert (verdict.good, verdict.num_images) == (True, (20,) * 10)
    assert [check.name for check in verdict.failed] == ["likeness"]
    assert len({check.name for check in verdict.checks}) == len(verdict.checks) == 12


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


@pytest.fixture
def photographed(opened_store: Store) -> RawDataset:
    """A base of 300 training and 60 test images that look like photographs."""
    images = photographs(360)
    return publish_arrays(opened_store, images[:300], images[300:])


@pytest.fixture
def validated(photographed: RawDataset) -> Callable[..., Validation]:
    def step(*drops: Drop) -> Validation:
        return validate.fn(photographed.model_copy(update={"drops": drops}), Baselines(), ValidateConfig())

    return step


def base_images(dataset: RawDataset, split: str) -> np.ndarray:
    images: np.ndarray = np.load(store.current().fetch(dataset.artifact) / f"{split}_images.npy")
    return images


def again(images: np.ndarray) -> np.ndarray:
    """The same photographs, mirrored and a little darker."""
    return images[:, :, ::-1] // 8 * 7


def photographic(num_images: int, seed: int = 100) -> Arrays:
    return photographs(num_images, seed), (np.arange(num_images) % 10).astype(np.uint8)


@pytest.mark.parametrize(
    ("num_images", "count", "severity"),
    [(40, 5, "info"), (40, 6, "critical"), (200, 10, "info"), (200, 11, "critical")],
)
def test_test_images_that_were_changed_are_found(
    make: Callable[..., Drop],
    validated: Callable[..., Validation],
    photographed: RawDataset,
    num_images: int,
    count: int,
    severity: str,
) -> None:
    images, labels = photographic(num_images)
    images[:count] = again(base_images(photographed, "test")[:count])
    (verdict,) = validated(make((images, labels))).drops
    check = failed(verdict)["near-duplicates of test images"]
    assert (check.severity, check.num_images, verdict.good) == (severity, count, severity != "critical")
    assert check.files == tuple(f"a/{number}.png" for number in range(count))
    assert set(failed(verdict)) == {check.name, "likeness"}


def test_copies_of_test_images_are_not_counted_again_as_near_ones(
    make: Callable[..., Drop], validated: Callable[..., Validation], photographed: RawDataset
) -> None:
    images, labels = photographic(40)
    test = base_images(photographed, "test")
    images[0], images[1] = test[3], again(test[4:5])[0]
    images[30] = images[1]
    checks = failed(validated(make((images, labels))).drops[0])
    assert checks["test images"].files == ("a/0.png",)
    assert checks["near-duplicates of test images"].files == ("a/1.png", "a/30.png")


def test_a_drop_that_is_sent_again_in_another_form_is_a_warning(
    make: Callable[..., Drop], validated: Callable[..., Validation], photographed: RawDataset
) -> None:
    images, labels = photographic(100)
    images[:3] = again(base_images(photographed, "train")[:3])
    twice = again(images), labels
    twice[0][50:52] = images[50:52]  # equal ones are told by the check for these
    verdicts = validated(make((images, labels), "a"), make(twice, "b"), make(photographic(100, seed=101), "c")).drops
    first, second, third = (failed(verdict).get("near-duplicates of what is there already") for verdict in verdicts)
    assert first is not None
    assert second is not None
    assert (first.num_images, first.files, first.severity) == (3, ("a/0.png", "a/1.png", "a/2.png"), "info")
    assert (second.num_images, second.severity, third) == (98, "warning", None)
    assert len(second.files) == 20


def test_test_images_that_are_near_to_an_accepted_drop_are_left_out(
    make: Callable[..., Drop], validated: Callable[..., Validation], photographed: RawDataset
) -> None:
    images, labels = photographic(40)
    images[:2] = again(base_images(photographed, "test")[[7, 9]])
    found = validated(make((images, labels))).near_duplicates
    assert np.flatnonzero(found.test_images_in_train()).tolist() == [7, 9]
    assert found.num_test_images_in_train == 2
    assert (found.base_groups() == np.arange(360)).all()


def test_bad_drops_take_no_part_in_the_near_duplicates(
    make: Callable[..., Drop], validated: Callable[..., Validation], photographed: RawDataset
) -> None:
    good, bad = photographic(40), photographic(40, seed=102)
    good[0][5] = again(bad[0][6:7])[0]
    bad[0][:20] = again(base_images(photographed, "test")[:20])
    drops = make(bad, "a"), make(good, "b"), make(photographic(40, seed=103), "c")
    with_bad, without = validated(*drops), validated(*drops[1:])
    assert [verdict.good for verdict in with_bad.drops] == [False, True, True]
    assert with_bad.near_duplicates == without.near_duplicates
    assert with_bad.near_duplicates.drops == (drops[1].digest, drops[2].digest)
    assert with_bad.near_duplicates.num_test_images_in_train == 0
