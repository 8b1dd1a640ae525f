"""Which model scores, and that a damaged one never does."""

from pathlib import Path

import pytest

from tasks.champions import find_model
from tasks.errors import ConfigurationError, RegistryError, StoreError
from tasks.score import champion
from tasks.store import Store
from tests.conftest import publish_noise
from tests.scoring import MODEL, promote


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """What stands for three models."""
    found = [tmp_path / f"{number}.keras" for number in (1, 2, 3)]
    for path in found:
        path.write_text(path.name)
    return found


def test_the_last_promotion_is_the_champion_and_others_have_a_number(opened_store: Store, files: list[Path]) -> None:
    first, _, last = (promote(opened_store, file, version) for file, version in zip(files, (1, 4, 6), strict=True))
    assert champion.find(MODEL, None) == (last, True)
    assert champion.find(MODEL, 6) == (last, True)
    assert champion.find(MODEL, 1) == (first, False)
    with pytest.raises(RegistryError, match="does not name version 2; it names 1, 4, 6"):
        champion.find(MODEL, 2)


def test_before_the_first_promotion_there_is_none(opened_store: Store) -> None:
    with pytest.raises(RegistryError, match=r"no champion yet; expected a promoted model\. Run flows\.retraining"):
        champion.find(MODEL, None)


def test_a_mistyped_name_is_told_the_right_ones_and_leaves_nothing(opened_store: Store, files: list[Path]) -> None:
    promote(opened_store, files[0])
    with pytest.raises(RegistryError, match=f"practise-cnn has no champion yet; .* Promoted were {MODEL}: name one"):
        champion.find("practise-cnn", None)
    assert [path.name for path in opened_store.folder("ledger").iterdir()] == [MODEL]


@pytest.mark.parametrize("name", ["", "../x", "Cifar", "a/b", "-x"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="expected a registered name"):
        champion.check_name(name)


def test_a_whole_model_is_found_by_its_digest(opened_store: Store, files: list[Path]) -> None:
    entry = promote(opened_store, files[0])
    artifact = find_model(champion.described(entry, True))
    assert (opened_store.fetch(artifact) / "model.keras").read_text() == "1.keras"


@pytest.mark.parametrize("fault", ["altered", "exchanged"])
def test_a_damaged_model_is_never_handed_on(opened_store: Store, files: list[Path], fault: str) -> None:
    entry = promote(opened_store, files[0])
    if fault == "altered":
        (opened_store.fetch(opened_store.find(entry.model_digest)) / "model.keras").write_text("1.kerax")
    else:  # a whole artifact of the store, but not the model that was promoted
        entry = entry.model_copy(update={"model_digest": promote(opened_store, files[1], 2).model_digest})
    match = {
        "altered": "is damaged: model.keras",
        "exchanged": "is not the model that was registered",
    }[fault]
    with pytest.raises(StoreError, match=match):
        find_model(champion.described(entry, True))


def test_classes_are_those_that_the_model_was_trained_on(opened_store: Store, files: list[Path]) -> None:
    names = tuple("abcdefghij")
    dataset = publish_noise(opened_store, 20, 10).model_copy(update={"class_names": names})
    entry = promote(opened_store, files[0], dataset=dataset.model_dump(mode="json"))
    assert champion.class_names(entry) == names
    assert champion.class_names(entry.model_copy(update={"dataset": None}))[0] == "airplane"
