import hashlib
import logging
from pathlib import Path

import numpy as np
import pytest

from tasks.errors import ConfigurationError, SourceError
from tasks.ingest import corrections
from tasks.ingest.config import IngestConfig
from tasks.ingest.corrections import Corrections
from tasks.store import Store
from tasks.values.dataset import RawDataset
from tasks.values.label_issues import COLUMNS


def digest_of(opened: Store, dataset: RawDataset, split: str, index: int) -> str:
    images = np.load(opened.fetch(dataset.artifact) / f"{split}_images.npy")
    return hashlib.sha256(images[index].tobytes()).hexdigest()


def read(path: Path) -> Corrections:
    return corrections.read(IngestConfig(corrections=str(path)))


def table(folder: Path, *lines: str, header: str = "image_sha256,correct_label") -> Path:
    path = folder / "corrections.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_training_labels_are_put_right_and_everything_else_stays(
    opened_store: Store, noise_dataset: RawDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    places = (("train", 3), ("train", 14), ("test", 0))
    first, second, test = (digest_of(opened_store, noise_dataset, *place) for place in places)
    path = table(tmp_path, f"{first},Automobile", f"{second},9", f"{test},ship", f"{'0' * 64},cat")

    given = corrections.apply(noise_dataset, read(path))

    before, after = (opened_store.fetch(dataset.artifact) for dataset in (noise_dataset, given))
    labels = np.load(before / "train_labels.npy")
    labels[[3, 14]] = [1, 9]
    np.testing.assert_array_equal(np.load(after / "train_labels.npy"), labels)
    for name in ("train_images", "test_images", "test_labels"):
        assert (after / f"{name}.npy").read_bytes() == (before / f"{name}.npy").read_bytes()
    assert given.num_corrected_labels == 2
    assert given.digest != noise_dataset.digest
    assert "2 training labels changed; test labels stay as published, also 1 of these" in caplog.text
    assert "1 corrections are of images that the base does not have" in caplog.text


def test_a_report_list_can_be_filled_in_and_lines_without_a_class_change_nothing(
    opened_store: Store, noise_dataset: RawDataset, tmp_path: Path
) -> None:
    digest = digest_of(opened_store, noise_dataset, "train", 0)
    lines = [f"validation,0,{digest},airplane,0.01,ship,0.9,{filled}" for filled in ("", "ship")]
    for line, changed in zip(lines, (0, 1), strict=True):
        given = corrections.apply(noise_dataset, read(table(tmp_path, line, header=",".join(COLUMNS))))
        assert given.num_corrected_labels == changed
    assert corrections.apply(noise_dataset, Corrections()) is noise_dataset


def test_what_reviewers_said_counts_and_not_where_or_in_what_order(tmp_path: Path) -> None:
    lines = [f"{'a' * 64},cat", f"{'b' * 64},dog"]
    (tmp_path / "other").mkdir()
    here, there = read(table(tmp_path, *lines)), read(table(tmp_path / "other", *reversed(lines)))
    assert here.model_dump_json() == there.model_dump_json()
    assert here.location != there.location


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        ((), "index,label", "has the columns index, label; expected image_sha256 and correct_label"),
        (("12ab,cat",), "image_sha256,correct_label", "line 2 of .* is '12ab'; expected 64 hexadecimal digits"),
        (
            (f"{'a' * 64},cat", f"{'a' * 64},dog"),
            "image_sha256,correct_label",
            "line 3 of .* says 'dog' of an image that is 'cat' before",
        ),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, lines: tuple[str, ...], header: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(table(tmp_path, *lines, header=header))


def test_a_class_that_is_none_is_refused(noise_dataset: RawDataset, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"says 'lorry', which is no class; expected airplane, .*, or 0 to 9"):
        corrections.apply(noise_dataset, read(table(tmp_path, f"{'a' * 64},lorry")))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.csv cannot be read"):
        read(tmp_path / "no.csv")
