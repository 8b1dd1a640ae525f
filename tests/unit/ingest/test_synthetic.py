import hashlib

import numpy as np
import pytest

from tasks.ingest import records, synthetic
from tasks.ingest.records import Records


def drawn(num_images: int, seed: int = 0) -> dict[str, Records]:
    return {name: records.parse(data, name) for name, data in synthetic.files(num_images, seed)}


@pytest.fixture(scope="module")
def parsed() -> dict[str, Records]:
    return drawn(3_000)


def digests(files: dict[str, Records]) -> list[bytes]:
    return [hashlib.sha256(image.tobytes()).digest() for part in files.values() for image in part.images]


def test_a_sixth_is_for_testing_and_files_are_those_of_the_format(parsed):
    assert {name: len(part.labels) for name, part in parsed.items()} == {
        "data_batch_1.bin": 2_500,
        "test_batch.bin": 500,
    }


def test_many_images_come_in_several_files(monkeypatch):
    monkeypatch.setattr(synthetic, "_FILE_IMAGES", 100)

    sizes = {name: len(part.labels) for name, part in drawn(300).items()}

    assert sizes == {"data_batch_1.bin": 100, "data_batch_2.bin": 100, "data_batch_3.bin": 50, "test_batch.bin": 50}


@pytest.mark.parametrize("num_images", [120, 121, 999])
def test_classes_are_balanced_within_one(num_images):
    for part in drawn(num_images).values():
        counts = np.bincount(part.labels, minlength=10)
        assert counts.max() - counts.min() <= 1


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    assert list(synthetic.files(240, 1)) == list(synthetic.files(240, 1))
    assert not set(digests(drawn(240, 1))) & set(digests(drawn(240, 2)))


def test_no_image_comes_twice(parsed):
    found = digests(parsed)

    assert len(set(found)) == len(found) == 3_000


def test_train_and_test_are_drawn_alike(parsed):
    train, test = (parsed[name].images.astype(np.float32) for name in ("data_batch_1.bin", "test_batch.bin"))

    # Six standard errors of a mean over 500 images.
    spread = train.mean(axis=(1, 2)).std(axis=0) / np.sqrt(len(test))
    assert (np.abs(train.mean(axis=(0, 1, 2)) - test.mean(axis=(0, 1, 2))) < 6 * spread).all()
    contrast_train, contrast_test = train.std(axis=(1, 2, 3)), test.std(axis=(1, 2, 3))
    assert abs(contrast_train.mean() - contrast_test.mean()) < 6 * contrast_train.std() / np.sqrt(len(test))


def test_images_are_as_bright_and_as_varied_as_photographs(parsed):
    images = parsed["data_batch_1.bin"].images

    assert np.abs(images.mean(axis=(0, 1, 2)) - 123).max() < 6
    luma = images @ np.array([0.299, 0.587, 0.114])
    assert luma.std(axis=(1, 2)).min() > 2, "none is constant"
    assert (luma < 8).mean() < 0.01
    assert (luma > 247).mean() < 0.01


def test_brightness_and_contrast_do_not_give_the_class_away(parsed):
    part = parsed["data_batch_1.bin"]
    means = part.images.mean(axis=(1, 2, 3))

    per_class = np.array([means[part.labels == label].mean() for label in range(10)])

    assert per_class.std() < 5 < means.std()


def test_every_class_is_drawn_as_its_name_says():
    """The mean picture of many plain drawings shows each shape's symmetry; noise and colours average out."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10, dtype=np.uint8), 200)
    coverage = synthetic._subject(labels, rng)
    area = np.array([coverage[labels == label].mean() for label in range(10)])
    names = dict(zip(synthetic.CLASS_NAMES, area, strict=True))
    along_rows = np.abs(np.diff(coverage, axis=2)).mean(axis=(1, 2))
    along_columns = np.abs(np.diff(coverage, axis=1)).mean(axis=(1, 2))
    ratio = {
        name: np.median(along_rows[labels == label] / (along_columns[labels == label] + 1e-6))
        for label, name in enumerate(synthetic.CLASS_NAMES)
    }

    assert names["ring"] < names["disc"]
    assert names["triangle"] < names["square"]
    assert ratio["horizontal stripes"] < 0.75
    assert ratio["vertical stripes"] > 1.33
    assert 0.8 < ratio["diagonal stripes"] < 1.25
    assert (area > 0.05).all()
    assert (area < 0.6).all()
