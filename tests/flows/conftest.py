"""A Prefect server for the session, and one finished run that the tests start from."""

import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.testing.utilities import prefect_test_harness
from rich.console import Console

from flows.retraining import retrain
from flows.terminal import Terminal
from tasks import machine
from tasks.machine import Machine
from tasks.report.summary import Summary

SMALL: dict[str, Any] = {
    "source": "synthetic",
    "ingest": {"synthetic_images": 480},
    "train": {"recipe": "tutorial-64-logits", "epochs": 1},
    "evaluate": {"corruption_images": 0},
}
"""400 training and 80 test images, one epoch, none of them corrupted: seconds."""


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    with (
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield


@dataclass(frozen=True)
class FinishedRun:
    """A store that a run has filled."""

    store: Path
    summary: Summary


def retrain_in(folder: Path, **parameters: Any) -> Summary:
    """Run the flow on a store of its own settings, as the command line does."""
    with machine.use(Machine(store=folder)):
        summary: Summary = retrain(**{**SMALL, **parameters})
        return summary


def shown(summary: Summary) -> list[str]:
    """The closing lines in a terminal."""
    file = io.StringIO()
    Terminal(Console(file=file, highlight=False, soft_wrap=True)).closing(summary)
    return file.getvalue().splitlines()


@pytest.fixture(scope="session")
def first_run(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """One run on an empty store. Tests leave it as it is."""
    folder = tmp_path_factory.mktemp("first") / "store"
    return FinishedRun(folder, retrain_in(folder))


@pytest.fixture
def filled_store(first_run: FinishedRun, tmp_path: Path) -> Path:
    """A copy of the first run's store, to do as one likes with."""
    return Path(shutil.copytree(first_run.store, tmp_path / "store"))
