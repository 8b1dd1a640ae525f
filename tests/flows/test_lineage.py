"""Which code a run says that it is of."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows import lineage
from flows.lineage import VARIABLE, code_version

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_an_image_says_what_it_was_built_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, COMMIT)
    assert code_version() == COMMIT


@pytest.mark.parametrize("value", ["", " "])
def test_a_checkout_is_asked_where_the_image_was_not_told(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    asked = code_version()
    monkeypatch.setenv(VARIABLE, value)
    assert code_version() == asked


def test_a_copy_without_a_checkout_is_unknown_until_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As the image has it: the file alone, in a folder of nobody's repository.
    (tmp_path / "flows").mkdir()
    shutil.copy(lineage.__file__, tmp_path / "flows")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    program = [sys.executable, "-c", "from flows.lineage import code_version; print(code_version())"]

    def said() -> str:
        return subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()

    monkeypatch.delenv(VARIABLE, raising=False)
    assert said() == "unknown"
    monkeypatch.setenv(VARIABLE, COMMIT)
    assert said() == COMMIT
