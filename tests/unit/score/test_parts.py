"""A folder belongs to one scoring; only whole parts of it count."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cnn_model.class_names import CLASS_NAMES
from cnn_model.parts import PartWriter, Row, Scorer
from tasks.errors import ConfigurationError, StoreError
from tasks.score import parts

IMAGE = np.zeros((32, 32, 3), np.uint8)


def write(folder: Path, num_rows: int, key: str = "k", size: int = 4, unreadable: tuple[int, ...] = ()) -> None:
    """Image n is of class n modulo 3, with a confidence of 0.55 or more."""
    rows = [
        Row(place, f"{place}.png", None if place in unreadable else IMAGE, "empty" if place in unreadable else None)
        for place in range(num_rows)
    ]
    readable = [place for place in range(num_rows) if place not in unreadable]
    probabilities = np.full((len(readable), 10), 0.05, np.float32)
    for number, place in enumerate(readable):
        probabilities[number, place % 3] = 0.55
    writer = PartWriter(folder, Scorer(CLASS_NAMES, 2, "f" * 64, key), size)
    writer.add(rows, probabilities)
    writer.close()


def test_full_parts_of_the_same_scoring_count_up_to_the_first_that_is_none(tmp_path: Path) -> None:
    assert parts.count_whole(tmp_path, "k", 4) == 0
    write(tmp_path, 14)
    assert parts.count_whole(tmp_path, "k", 4) == 3
    assert parts.count_whole(tmp_path, "other", 4) == 0
    assert parts.count_whole(tmp_path, "k", 5) == 0
    second = tmp_path / "part-00001.parquet"
    second.write_bytes(second.read_bytes()[:-20])
    assert parts.count_whole(tmp_path, "k", 4) == 1
    second.unlink()
    assert parts.count_whole(tmp_path, "k", 4) == 1


def test_damage_in_the_middle_of_a_part_is_seen(tmp_path: Path) -> None:
    rows = [Row(place, f"{place}.png", IMAGE) for place in range(1000)]
    writer = PartWriter(tmp_path, Scorer(CLASS_NAMES, 2, "f" * 64, "k"), 500)
    writer.add(rows, np.random.default_rng(0).random((1000, 10), np.float32))
    writer.close()
    second = tmp_path / "part-00001.parquet"
    with pq.ParquetFile(second) as file:
        column = file.metadata.row_group(0).column(file.schema_arrow.get_field_index("probability_cat"))
    start = column.data_page_offset + column.total_compressed_size // 2
    content = bytearray(second.read_bytes())
    content[start : start + 64] = bytes(64)
    second.write_bytes(content)
    assert parts.count_whole(tmp_path, "k", 500) == 1
    with pytest.raises(StoreError, match=r"part-00001\.parquet is damaged"):
        parts.verified(tmp_path, "k")


def test_figures_are_of_all_parts(tmp_path: Path) -> None:
    write(tmp_path, 14, unreadable=(2, 3, 13))
    found = parts.verified(tmp_path, "k")
    assert [part.num_rows for part in found] == [4, 4, 4, 2]
    figures = parts.figures(tmp_path, found, CLASS_NAMES)
    assert (figures.num_images, figures.num_unreadable) == (14, 3)
    assert [(image.name, image.reason) for image in figures.unreadable] == [
        ("2.png", "empty"),
        ("3.png", "empty"),
        ("13.png", "empty"),
    ]
    assert figures.classes == {name: 0 for name in CLASS_NAMES} | {"airplane": 4, "automobile": 4, "bird": 3}
    assert figures.mean_confidence == pytest.approx(0.55)
    assert figures.confidence_histogram == (0, 0, 0, 0, 0, 11, 0, 0, 0, 0)


def test_where_nothing_could_be_read_there_is_no_confidence(tmp_path: Path) -> None:
    write(tmp_path, 2, unreadable=(0, 1))
    figures = parts.figures(tmp_path, parts.verified(tmp_path, "k"), CLASS_NAMES)
    assert (figures.mean_confidence, sum(figures.classes.values())) == (None, 0)


@pytest.mark.parametrize("fault", ["cut", "missing", "of another"])
def test_a_part_that_is_none_is_named(tmp_path: Path, fault: str) -> None:
    write(tmp_path, 14)
    second = tmp_path / "part-00001.parquet"
    if fault == "cut":
        second.write_bytes(second.read_bytes()[:-20])
    elif fault == "missing":
        second.unlink()
    with pytest.raises(StoreError, match=r"part-0000\d\.parquet is damaged or of another scoring"):
        parts.verified(tmp_path, "other" if fault == "of another" else "k")


def test_a_folder_belongs_to_who_claimed_it_first(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    parts.claim(folder, "k", "images by a model")
    parts.claim(folder, "k", "images by a model")
    with pytest.raises(ConfigurationError, match=r"belongs to another scoring: images by a model\. This one is others"):
        parts.claim(folder, "other", "others")
    (folder / parts.CLAIM).write_text("{")
    with pytest.raises(ConfigurationError, match=r"belongs to another scoring: one whose claim\.json cannot be read"):
        parts.claim(folder, "k", "images by a model")


def test_somebodys_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").touch()
    with pytest.raises(ConfigurationError, match="holds files that are no scoring; expected an empty folder"):
        parts.claim(tmp_path, "k", "images")
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_a_place_that_is_no_folder_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"Cannot write to .*file: .*Name another folder with --output"):
        parts.claim(tmp_path / "file", "k", "images")


def test_a_summary_that_cannot_be_read_counts_as_none(tmp_path: Path) -> None:
    assert parts.finished(tmp_path, "k") is None
    (tmp_path / parts.SUMMARY).write_text(json.dumps({"format": 1}))
    assert parts.finished(tmp_path, "k") is None
