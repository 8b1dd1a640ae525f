"""Whether drops are like what is there: good ones pass, and each fault of whole drops is found by its own check."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tasks import machine, store
from tasks.ingest.synthetic import CLASS_NAMES
from tasks.machine import Machine
from tasks.store import Store
from tasks.validate.config import ValidateConfig
from tasks.validate.drop_suite import run_drop_checks
from tasks.validate.drops import judge
from tasks.validate.faults import FAULTS, through_jpeg
from tasks.validate.likeness import Likeness
from tasks.validate.near_duplicates import Search
from tasks.validate.statistics import image_table
from tasks.values.baselines import Baselines
from tasks.values.dataset import RawDataset
from tasks.values.drops import Drop
from tasks.values.validation import DropCheck
from tests.drops import Arrays, pictures, publish_drop

NUM_TRAIN = 1_500
Compare = Callable[..., dict[str, DropCheck]]


def publish_base(target: Store, arrays: Arrays, name: str = "synthetic") -> RawDataset:
    images, labels = arrays
    with target.staging() as folder:
        for split in ("train", "test"):
            np.save(folder / f"{split}_images.npy", images)
            np.save(folder / f"{split}_labels.npy", labels)
        artifact = target.publish(folder)
    return RawDataset(
        name=name, artifact=artifact, class_names=CLASS_NAMES, num_train_images=len(labels), num_test_images=len(labels)
    )


@pytest.fixture(scope="module")
def module_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with machine.use(Machine(store=tmp_path_factory.mktemp("store"))):
        yield store.current()


@pytest.fixture(scope="module")
def base(module_store: Store) -> RawDataset:
    return publish_base(module_store, pictures(NUM_TRAIN, seed=1))


@pytest.fixture(scope="module")
def likeness(base: RawDataset) -> Likeness:
    """Learned once for all tests against the base itself."""
    return Likeness(base, Baselines(), ValidateConfig())


def failed(likeness: Likeness, target: Store, arrays: Arrays, published: Drop | None = None) -> dict[str, DropCheck]:
    """The checks that a drop fails, by their names."""
    images, labels = arrays
    drop = published or publish_drop(target, arrays)
    findings = likeness.findings(drop, image_table(images, labels, ""), images, labels.astype(np.int64))
    checks = run_drop_checks(findings, [f"{number}.png" for number in range(len(labels))])
    return {check.name: check for check in checks if not check.passed}


def critical(checks: dict[str, DropCheck]) -> set[str]:
    return {name for name, check in checks.items() if check.severity == "critical"}


def spoil(arrays: Arrays, name: str, count: int) -> Arrays:
    """The first images get a fault."""
    images, labels = (array.copy() for array in arrays)
    if name in FAULTS:
        images[:count] = FAULTS[name](images[:count])
    elif name == "labels shifted by one":
        labels[:count] = (labels[:count] + 1) % 10
    else:
        labels[:count] = np.random.default_rng(0).permutation(labels[:count])
    return images, labels


def test_good_drops_pass(likeness: Likeness, module_store: Store) -> None:
    for seed in range(10, 15):
        assert failed(likeness, module_store, pictures(300, seed)) == {}


@pytest.mark.parametrize("name", [*FAULTS, "labels shifted by one", "labels that do not fit"])
def test_each_fault_is_found_by_its_own_check(likeness: Likeness, module_store: Store, name: str) -> None:
    found = failed(likeness, module_store, spoil(pictures(500, seed=20), name, 200))
    assert name in critical(found)
    check = found[name]
    assert check.num_images is not None
    assert 100 < check.num_images < 300
    # Those that are shown are faulty ones, but for a few.
    assert len(check.files) == len(check.examples) == 20
    assert sum(place < 200 for place in check.examples) >= 15
    assert check.advice


def test_a_fault_of_few_images_is_told_and_does_not_make_a_drop_bad(likeness: Likeness, module_store: Store) -> None:
    found = failed(likeness, module_store, spoil(pictures(500, seed=21), "crushed images", 15))
    assert set(found) == {"crushed images"}
    assert found["crushed images"].severity == "warning"
    assert found["crushed images"].num_images in range(12, 19)
    assert sum(place < 15 for place in found["crushed images"].examples) >= 12


def test_what_cameras_save_is_no_fault(likeness: Likeness, module_store: Store) -> None:
    images, labels = pictures(500, seed=22)
    assert not critical(failed(likeness, module_store, (through_jpeg(images, 90), labels)))


@pytest.mark.parametrize(("share", "observed"), [(0.0, "0.0%"), (0.3, "30.0%")])
def test_a_class_that_is_missing_or_floods_the_drop(
    likeness: Likeness, module_store: Store, share: float, observed: str
) -> None:
    images, labels = pictures(3000, seed=23)
    own, others = np.flatnonzero(labels == 3), np.flatnonzero(labels != 3)
    count = int(share * 600)
    chosen = np.concatenate([own[:count], others[: 600 - count]])
    found = failed(likeness, module_store, (images[chosen], labels[chosen]))
    assert critical(found) == {"share of triangle"}
    assert found["share of triangle"].observed == observed
    assert bool(found["share of triangle"].examples) == (share > 0)


def test_darker_images_are_drift(likeness: Likeness, module_store: Store) -> None:
    images, labels = pictures(500, seed=25)
    found = failed(likeness, module_store, ((images * 0.5).astype(np.uint8), labels))
    assert {"drift of red", "drift of contrast"} <= critical(found)
    assert images[list(found["drift of red"].examples), ..., 0].mean() < images[..., 0].mean() / 2
    slightly = failed(likeness, module_store, ((images * 0.87).astype(np.uint8), labels))
    assert "drift of red" in slightly
    assert "drift of red" not in critical(slightly)


def test_what_shows_nothing_is_not_compared(base: RawDataset, likeness: Likeness, module_store: Store) -> None:
    """Blank images are found by a check of their own, and tilt no mean."""
    images, labels = pictures(500, seed=27)
    images[:100] = 0
    images[400:] = FAULTS["crushed images"](images[400:])
    folder = module_store.fetch(base.artifact)
    train, labels_of_train = (np.load(folder / f"train_{kind}.npy") for kind in ("images", "labels"))
    dataset = base.model_copy(update={"drops": (publish_drop(module_store, (images, labels)),)})
    table = image_table(train, labels_of_train, "train")
    (verdict,) = judge(dataset, table, Search(train, train[:0]), likeness, ValidateConfig())
    found = {check.name: check for check in verdict.failed}
    assert critical(found) == {"blank images", "crushed images", "drift of entropy"}
    assert min(found["crushed images"].examples) >= 400
    assert found["crushed images"].num_images in range(80, 121)
    assert "drift of red" not in found


def test_a_small_drop_is_not_compared(likeness: Likeness, module_store: Store) -> None:
    images, labels = pictures(49, seed=26)
    assert set(failed(likeness, module_store, (images * 0, labels))) == {"likeness"}


def test_nor_is_one_with_too_little_to_compare_with(module_store: Store) -> None:
    few = Likeness(publish_base(module_store, pictures(400, seed=1)), Baselines(), ValidateConfig())
    found = failed(few, module_store, pictures(100, seed=2))
    assert {name: check.severity for name, check in found.items()} == {"likeness": "info"}


def darker(arrays: Arrays, factor: float) -> Arrays:
    return (arrays[0] * factor).astype(np.uint8), arrays[1]


@pytest.fixture(scope="module")
def against(base: RawDataset, module_store: Store) -> dict[str, dict[str, DropCheck]]:
    """One darker drop, compared with what champions were trained on; what it fails."""
    last = publish_base(module_store, darker(pictures(NUM_TRAIN, seed=30), 0.75))
    dark = publish_drop(module_store, darker(pictures(NUM_TRAIN, seed=40), 0.3))
    grown = base.model_copy(update={"drops": (dark,)})
    few = publish_base(module_store, darker(pictures(100, seed=50), 0.7))
    arrays = darker(pictures(400, seed=31), 0.7)
    compared = {"first": (base,), "last": (last,), "both": (base, last), "grown": (grown,), "few": (few, base)}
    drops = {name: publish_drop(module_store, arrays, name) for name in compared}
    baselines = Baselines(
        of_drop={drops[name].digest: tuple(data.digest for data in chosen) for name, chosen in compared.items()},
        datasets={data.digest: data for data in (base, last, grown, few)},
    )
    likeness = Likeness(base, baselines, ValidateConfig(max_drop_drift=0.4))
    return {name: failed(likeness, module_store, arrays, drop) for name, drop in drops.items()}


def test_slow_drift_is_seen_against_the_first_champion(against: dict[str, dict[str, DropCheck]]) -> None:
    """The step from the last champion's data is small; all steps together are not."""
    name = "drift of red"
    assert name not in critical(against["last"])
    assert against["first"][name].severity == against["both"][name].severity == "critical"
    assert "as in the first champion's data" in against["both"][name].expected
    assert "as in the champion's data" in against["first"][name].expected


def test_a_baseline_includes_its_drops(against: dict[str, dict[str, DropCheck]]) -> None:
    assert against["first"]["drift of contrast"].severity == "critical"
    assert "drift of contrast" not in critical(against["grown"])


def test_a_champions_data_that_are_too_few_are_no_baseline(against: dict[str, dict[str, DropCheck]]) -> None:
    assert against["few"] == against["first"]


def test_a_drop_of_one_class_can_be_let_through(base: RawDataset, module_store: Store) -> None:
    images, labels = pictures(4_000, seed=60)
    alone = images[labels == 5], labels[labels == 5]
    lenient = Likeness(base, Baselines(), ValidateConfig(drop_classes="any"))
    found = failed(lenient, module_store, alone)
    assert not critical(found)
    assert not [name for name in found if name.startswith("share of")]


def test_a_fault_that_shows_in_no_image_of_the_base_is_not_looked_for(module_store: Store) -> None:
    images, labels = pictures(NUM_TRAIN, seed=70)
    grey = images[..., :1].repeat(3, axis=-1)
    likeness = Likeness(publish_base(module_store, (grey, labels)), Baselines(), ValidateConfig())
    found = failed(likeness, module_store, pictures(300, seed=71))
    assert "swapped channels" not in found
    assert "drift of saturation" in critical(found)
