"""The step score, with a real child process."""

from pathlib import Path

import pytest

from cnn_model.class_names import CLASS_NAMES
from tasks.errors import SourceError
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
        model = model.model_copy(update={"sha256": "0" * 64})
    elif change == "parts":
        config = ScoreConfig(images_per_part=5, batch_size=4)
    else:
        names = tuple("abcdefghij")
    other = plan.make(images, None, model, names, config)
    assert other.key != planned.key
    assert other.folder != planned.folder


def test_batches_do_not_change_the_key(planned: plan.Plan) -> None:
    config = ScoreConfig(images_per_part=4, batch_size=2, stall_minutes=1)
    assert plan.make(planned.images.place, None, planned.model, CLASS_NAMES, config) == planned
