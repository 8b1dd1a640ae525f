"""Promotion and rollback as flows, as a worker runs them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.artifacts import Artifact
from prefect.exceptions import ParameterTypeError

from flows import promoting
from tasks import machine
from tasks.errors import RegistryError
from tasks.ledger import open_ledger
from tasks.machine import Machine
from tests.promotions import NAME, aliases

BY = {"reason": "it | is needed", "actor": "Jane", "model_name": NAME}


@pytest.fixture
def folder(promoted_store: Path, prefect_server: None, tmp_path: Path) -> Iterator[Path]:
    copied = Path(shutil.copytree(promoted_store, tmp_path / "store"))
    with machine.use(Machine(store=copied)):
        yield copied


def test_promotion_and_rollback_from_the_dashboard_show_who_is_champion(folder: Path) -> None:
    state = promoting.promote(version=3, return_state=True, **BY)
    assert state.is_completed()
    assert state.message == "practice-cnn version 3 is champion (entry 3 of the ledger)."
    entry = open_ledger(NAME).champion()
    assert entry is not None
    assert (entry.version, entry.actor, entry.run_id) == (3, "Jane", str(state.state_details.flow_run_id))
    assert aliases(folder)["champion"] == 3

    state = promoting.rollback(return_state=True, **BY)
    assert state.message == "practice-cnn version 2 is champion again (entry 4 of the ledger)."
    state = promoting.rollback(to=3, return_state=True, **BY)
    text = str(getattr(Artifact.get("champion-practice-cnn"), "data", None))
    assert text.startswith("practice-cnn version 3 is champion again (entry 5 of the ledger).")
    newest, *_ = [line for line in text.splitlines() if line.startswith("| 5 ")]
    assert newest.endswith("| 3 | 2 | rollback | Jane | it \\| is needed |")


def test_a_refusal_fails_the_run_with_its_sentence(folder: Path) -> None:
    state = promoting.promote(version=2, return_state=True, **BY)
    assert state.is_failed()
    assert "Version 2 is champion of practice-cnn already" in str(state.message)
    with pytest.raises(RegistryError, match="no version 9"):
        promoting.promote(version=9, **BY)


@pytest.mark.parametrize(
    "change", [{"version": 0}, {"reason": " "}, {"reason": "x" * 501}, {"actor": ""}, {"model_name": "a/b"}]
)
def test_nonsense_starts_no_flow(change: dict[str, object]) -> None:
    with pytest.raises(ParameterTypeError, match=next(iter(change))):
        promoting.promote.validate_parameters({"version": 3, **BY, **change})


def test_a_promotion_stands_where_mlflow_cannot_be_reached(folder: Path) -> None:
    with machine.use(Machine(store=folder, tracking_uri="http://127.0.0.1:9")):
        state = promoting.rollback(return_state=True, **BY)
    assert state.is_completed()
    assert "MLflow's aliases follow with the next run" in str(state.message)
    assert aliases(folder)["champion"] == 2
