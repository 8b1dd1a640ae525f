from pathlib import Path

import pytest

from tasks.files import write_atomically


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    for text in ("one", "zwölf"):
        write_atomically(tmp_path / "a.json", text)
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "zwölf"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_where_it_cannot_be_written_what_was_there_stays(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.json", "one")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(tmp_path / "a.json", "two \ud800")
    assert (tmp_path / "a.json").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "gone" / "a.json", "one")
    assert not (tmp_path / "gone").exists()
