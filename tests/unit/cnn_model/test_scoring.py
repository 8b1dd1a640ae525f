"""Scores go into whole parts, are those that evaluation gives, and go on where they stopped."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from cnn_model import evaluation, image_files, scoring
from cnn_model.class_names import CLASS_NAMES
from cnn_model.failures import BadDataError, BadRequestError
from cnn_model.image_files import ImageFile
from cnn_model.parts import KEY
from cnn_model.scoring import Request
from tests.scoring import noise, pngs, read_rows, save_model, write_folder, write_parquet, write_tar

IMAGES = noise(23)
FILES = {name.replace("b/", "a/"): data for name, data in pngs(IMAGES).items()}
"""In one folder, so that their names are in the order of the images."""


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "model.keras", seed=1)


@pytest.fixture
def request_for(model_file: Path, tmp_path: Path) -> Callable[..., Request]:
    """A scoring of these files in parts of five, batches of four."""

    def make(files: dict[str, bytes] = FILES, **changes: Any) -> Request:
        place = write_folder(tmp_path / "images", files) if files else tmp_path / "images"
        for name in ("output", "sample"):
            (tmp_path / name).mkdir(exist_ok=True)
        values = {
            "model_file": model_file,
            "images": place,
            "output": tmp_path / "output",
            "class_names": CLASS_NAMES,
            "images_per_part": 5,
            "batch_size": 4,
            "model_version": 7,
            "key": "a key",
            "sample": tmp_path / "sample",
            "sample_size": 6,
        }
        return Request(**{**values, **changes})

    return make


def run(request: Request) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    scoring.run(request, "cpu", events.append)
    return events


def test_probabilities_are_those_that_evaluation_gives(
    request_for: Callable[..., Request], model_file: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "labels.npy", np.zeros(len(IMAGES), np.uint8))
    evaluation.run(model_file, tmp_path / "images.npy", tmp_path / "labels.npy", tmp_path, 500, "cpu")
    expected = np.load(tmp_path / evaluation.PROBABILITIES_FILE)

    events = run(request_for())
    rows = read_rows(tmp_path / "output")

    assert [row["path"] for row in rows] == [*FILES]
    given = np.array([[row[f"probability_{name}"] for name in CLASS_NAMES] for row in rows])
    np.testing.assert_allclose(given, expected, atol=1e-6)
    assert [row["class"] for row in rows] == [CLASS_NAMES[label] for label in expected.argmax(axis=1)]
    np.testing.assert_allclose([row["confidence"] for row in rows], expected.max(axis=1), atol=1e-6)
    assert len({row["class"] for row in rows}) > 1, "a model that says one thing alone would hide a mixed order"
    assert {(row["model_version"], row["error"]) for row in rows} == {(7, None)}
    assert {row["model_sha256"] for row in rows} == {hashlib.sha256(model_file.read_bytes()).hexdigest()}
    assert events[0] == {"event": "device", "device": "CPU", "kind": "cpu"}


def test_parts_are_of_equal_size_but_for_the_last_and_name_their_scoring(
    request_for: Callable[..., Request], tmp_path: Path
) -> None:
    run(request_for())
    metadata = [pq.read_metadata(part) for part in sorted((tmp_path / "output").iterdir())]
    assert [part.num_rows for part in metadata] == [5, 5, 5, 5, 3]
    assert {part.metadata[KEY] for part in metadata} == {b"a key"}
    schema = pq.read_schema(tmp_path / "output" / "part-00000.parquet")
    assert {str(schema.field(f"probability_{name}").type) for name in CLASS_NAMES} == {"float"}


def test_an_unreadable_image_is_a_row_with_an_error_and_moves_no_other(
    request_for: Callable[..., Request], tmp_path: Path
) -> None:
    run(request_for())
    whole = {row["path"]: row["probability_cat"] for row in read_rows(tmp_path / "output")}
    names = [*FILES]
    run(request_for({**FILES, names[3]: b"no picture", names[4]: FILES[names[4]][:900]}))
    rows = read_rows(tmp_path / "output")
    assert [row["path"] for row in rows] == names
    bad = {row["path"]: row for row in rows if row["error"] is not None}
    assert [*bad] == names[3:5]
    assert bad[names[3]]["error"] == "neither a PNG nor a JPEG file, or damaged at its beginning"
    assert bad[names[4]]["error"].startswith("damaged: ")
    for row in bad.values():
        assert {row[name] for name in row if name.startswith(("class", "confidence", "probability"))} == {None}
    for row in rows:
        if row["error"] is None:
            assert row["probability_cat"] == pytest.approx(whole[row["path"]], abs=1e-6)


def test_whole_parts_stay_and_what_follows_is_the_same(request_for: Callable[..., Request], tmp_path: Path) -> None:
    run(request_for())
    output, sample = tmp_path / "output", tmp_path / "sample"
    rows = read_rows(output)
    kept = {name: np.load(sample / name) for name in (scoring.SAMPLE_IMAGES, scoring.SAMPLE_CLASSES)}
    for part in ("part-00002.parquet", "part-00003.parquet", "part-00004.parquet"):
        (output / part).unlink()
    before = {part.name: part.stat().st_mtime_ns for part in output.iterdir()}

    events: list[dict[str, Any]] = []
    result = scoring.run(request_for(num_done_parts=2), "cpu", events.append)

    assert result.num_scored == 13
    assert {name: (output / name).stat().st_mtime_ns for name in before} == before
    again = read_rows(output)
    assert [row["path"] for row in again] == [row["path"] for row in rows]
    assert [row["class"] for row in again] == [row["class"] for row in rows]
    for name, expected in kept.items():
        np.testing.assert_array_equal(np.load(sample / name), expected)


def test_the_clock_starts_at_the_first_new_image(
    request_for: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(request_for())
    now, read = 0.0, image_files.read

    def slow(place: Path, wanted: Callable[[int, str], bool]) -> Iterator[ImageFile]:
        def counted(position: int, name: str) -> bool:
            nonlocal now
            now += 1000 if position < 10 else 0
            given = wanted(position, name)
            now += 1 if position >= 10 else 0
            return given

        return read(place, counted)

    monkeypatch.setattr(image_files, "read", slow)
    monkeypatch.setattr(scoring, "time", SimpleNamespace(monotonic=lambda: now))
    events: list[dict[str, Any]] = []
    result = scoring.run(request_for(num_done_parts=2), "cpu", events.append)
    assert (result.num_scored, result.seconds) == (13, 13)
    assert {event["images_per_second"] for event in events if event.get("images", 99) < 10} == {0}


def test_a_sample_has_images_with_their_classes(request_for: Callable[..., Request], tmp_path: Path) -> None:
    run(request_for())
    images, classes = (np.load(tmp_path / "sample" / name) for name in (scoring.SAMPLE_IMAGES, scoring.SAMPLE_CLASSES))
    told = {image.tobytes(): row["class"] for image, row in zip(IMAGES, read_rows(tmp_path / "output"), strict=True)}
    assert len(images) == 6
    names = json.loads((tmp_path / "sample" / scoring.SAMPLE_NAMES).read_text())
    assert [IMAGES[[*FILES].index(name)].tobytes() for name in names] == [image.tobytes() for image in images]
    assert [told[image.tobytes()] for image in images] == [CLASS_NAMES[label] for label in classes]


def test_a_small_set_is_its_own_sample(request_for: Callable[..., Request], tmp_path: Path) -> None:
    run(request_for(sample_size=50))
    found = {image.tobytes() for image in np.load(tmp_path / "sample" / scoring.SAMPLE_IMAGES)}
    assert found == {image.tobytes() for image in IMAGES}


@pytest.mark.parametrize("num_done", [0, 3])
def test_images_that_share_a_name_are_all_sampled(
    request_for: Callable[..., Request], tmp_path: Path, num_done: int
) -> None:
    rows = [{"path": f"{number % 2}.png", "image": data} for number, data in enumerate(FILES.values())]
    place = write_parquet(tmp_path / "x.parquet", rows)
    run(request_for(images=place, sample_size=20))
    if num_done:
        before = np.load(tmp_path / "sample" / scoring.SAMPLE_IMAGES)
        run(request_for(images=place, sample_size=20, num_done_parts=num_done))
        np.testing.assert_array_equal(np.load(tmp_path / "sample" / scoring.SAMPLE_IMAGES), before)
    found = {image.tobytes() for image in np.load(tmp_path / "sample" / scoring.SAMPLE_IMAGES)}
    assert len(found) == 20
    names = json.loads((tmp_path / "sample" / scoring.SAMPLE_NAMES).read_text())
    assert (len(names), {*names}) == (20, {"0.png", "1.png"})


def test_few_files_are_read_before_they_are_decoded(
    request_for: Callable[..., Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = [*FILES.values()]
    taken: list[int] = []
    waiting: list[int] = []

    def given(position: int) -> bytes:
        time.sleep(0.002)  # longer than it takes to hand out a file
        taken.append(position)
        return data[position % len(data)]

    def files(place: Path, wanted: Callable[[int, str], bool]) -> Iterator[ImageFile]:
        for position in range(200):
            waiting.append(position - len(taken))
            yield ImageFile(position, f"{position}.png", partial(given, position))

    monkeypatch.setattr(image_files, "read", files)
    run(request_for(batch_size=100))
    assert [row["path"] for row in read_rows(tmp_path / "output")] == [f"{number}.png" for number in range(200)]
    assert max(waiting) <= 16


def test_another_model_than_the_named_one_is_not_loaded(
    request_for: Callable[..., Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []
    monkeypatch.setattr(scoring, "load", loaded.append)
    with pytest.raises(BadRequestError, match=r"has SHA-256 .*; expected 000"):
        run(request_for(model_sha256="0" * 64))
    assert loaded == []
    assert not [*(tmp_path / "output").iterdir()]


def test_as_many_names_as_classes(request_for: Callable[..., Request]) -> None:
    with pytest.raises(BadRequestError, match="tells 10 classes; 2 names came"):
        run(request_for(class_names=("yes", "no")))


def test_a_damaged_archive_keeps_the_parts_before_the_damage(
    request_for: Callable[..., Request], tmp_path: Path
) -> None:
    request = replace(request_for(), images=write_tar(tmp_path / "x.tar", FILES))
    request.images.write_bytes(request.images.read_bytes()[:60_000])
    with pytest.raises(BadDataError, match=r"x\.tar is damaged or incomplete"):
        run(request)
    rows = read_rows(tmp_path / "output")
    assert len(rows) % 5 == 0
    assert rows
    assert [row["path"] for row in rows] == [*FILES][: len(rows)]
