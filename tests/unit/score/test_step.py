"""The step score, with a real child process."""

from pathlib import Path

import pytest

from cnn_model.class_names import CLASS_NAMES
from tasks.errors import ConfigurationError, SourceError
from tasks.score import champion, parts, plan
from tasks.score.config import ScoreConfig
from tasks.score.step import score
from tasks.store import Store
from tests.scoring import noise, pngs, promote, save_model, write_folder

CONFIG = ScoreConfig(images_per_part=4, batch_size=4)


@pytest.fixture
def planned(opened_store: Store, tmp_path: Path) -> plan.Plan:
    """Six images by a small model."""
    write_folder(tmp_path / "images", pngs(noise(6)))
    entry = promote(opened_store, save_model(tmp_path / "model.keras", seed=1))
    return plan.make(str(tmp_path / "images"), None, champion.described(entry, True), CLASS_NAMES, CONFIG)


def test_images_that_change_meanwhile_are_refused(planned: plan.Plan) -> None:
    images = Path(planned.images.place)
    (images / "c.png").write_bytes((images / "a" / "0000.png").read_bytes())
    with pytest.raises(SourceError, match="changed while it was scored"):
        score.fn(planned, CONFIG)
    assert not (planned.folder / parts.SUMMARY).exists()


@pytest.mark.parametrize("change", ["images", "model", "parts", "classes"])
def test_the_key_is_of_all_that_decides_what_stands_in_the_parts(planned: plan.Plan, change: str) -> None:
    images, model, config = planned.images.place, planned.model, CONFIG
    names: tuple[str, ...] = CLASS_NAMES
    if change == "images":
        (Path(images) / "a" / "0000.png").unlink()
    elif change == "model":
        model = model.model_copy(update={"model_sha256": "0" * 64})
    elif change == "parts":
        config = ScoreConfig(images_per_part=5, batch_size=4)
    else:
        names = tuple("abcdefghij")
    other = plan.make(images, None, model, names, config)
    assert other.key != planned.key
    assert other.folder != planned.folder


@pytest.mark.parametrize("name", [".", "scores", "a/../scores/monday", "link"])
def test_parts_do_not_go_among_the_images(planned: plan.Plan, tmp_path: Path, name: str) -> None:
    images = Path(planned.images.place)
    (tmp_path / "link").symlink_to(images / "a")
    output = str(tmp_path / name if name == "link" else images / name)
    with pytest.raises(ConfigurationError, match=r"among the images in .*images; expected a folder elsewhere"):
        plan.make(str(images), output, planned.model, CLASS_NAMES, CONFIG)


def test_the_log_does_not_lie_among_the_images(planned: plan.Plan, opened_store: Store) -> None:
    images = write_folder(opened_store.root.parent, pngs(noise(1)))
    with pytest.raises(ConfigurationError, match="among the images"):
        plan.make(str(images), None, planned.model, CLASS_NAMES, CONFIG)


def test_parts_may_lie_in_a_hidden_folder_or_beside_the_images(planned: plan.Plan) -> None:
    for output in (f"{planned.images.place}/.scores", f"{planned.images.place}-scores"):
        found = plan.make(planned.images.place, output, planned.model, CLASS_NAMES, CONFIG)
        assert found.folder == Path(output)


def test_batches_do_not_change_the_key(planned: plan.Plan) -> None:
    config = ScoreConfig(images_per_part=4, batch_size=2, stall_minutes=1)
    assert plan.make(planned.images.place, None, planned.model, CLASS_NAMES, config) == planned
