"""What a run that waits for a person keeps, and what it does where that cannot be read."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import approval
from tasks import machine, store
from tasks.machine import Machine
from tasks.report.summary import WAITING


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with machine.use(Machine(store=tmp_path / "store")):
        yield store.current().folder("runs", "a-run")


@pytest.mark.usefixtures("folder")
def test_a_run_that_was_never_suspended_begins_at_its_top() -> None:
    assert approval.find("a-run") is None


def test_so_does_one_whose_file_newer_code_cannot_read(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.joinpath(WAITING).write_text('{"contents": {}, "form": 2}')
    with caplog.at_level(logging.WARNING):
        assert approval.find("a-run") is None
    assert "The run begins again, for " in caplog.text
