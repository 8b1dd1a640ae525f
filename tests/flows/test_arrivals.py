"""Watching for drops, in a folder and a bucket: each arrival is one event on a real Prefect server."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect import State
from prefect.exceptions import ParameterTypeError
from prefect.settings import PREFECT_API_URL

from flows.arrivals import EVENT, watch
from tasks import machine
from tasks.machine import Machine
from tests import servers
from tests.drops import noise
from tests.flows.conftest import SMALL, retrain_in
from tests.processes import wait_for
from tests.unit.ingest.places import BucketPlace, FolderPlace, Place, leave

Look = Callable[..., State[Any]]
Events = Callable[[], list[tuple[str, str, str]]]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, prefect_server: None) -> Place:
    if getattr(request, "param", "folder") == "folder":
        return FolderPlace(tmp_path / "drops")
    found: BucketPlace = request.getfixturevalue("bucket")
    return found


@pytest.fixture
def look(place: Place, tmp_path: Path) -> Look:
    """Run the flow on that place, with a store of its own."""

    def looked(**parameters: Any) -> State[Any]:
        with machine.use(Machine(store=tmp_path / "store")):
            state: State[Any] = watch(drops=place.address, return_state=True, **parameters)
            return state

    return looked


@pytest.fixture
def events(prefect_server: None) -> Events:
    """Gives what the server got within the test, the oldest first: resource, name, place."""
    since = datetime.now(UTC).isoformat()

    def got() -> list[tuple[str, str, str]]:
        wanted = {"event": {"name": [EVENT]}, "occurred": {"since": since}, "order": "ASC"}
        client = {"PREFECT_API_URL": str(PREFECT_API_URL.value())}
        found = servers.post(client, "/events/filter", {"filter": wanted})["events"]
        return [
            (event["resource"]["prefect.resource.id"], event["payload"]["name"], event["payload"]["place"])
            for event in found
        ]

    return got


@pytest.mark.parametrize("place", ["folder", "bucket"], indirect=True)
def test_each_drop_is_told_of_once(place: Place, look: Look, events: Events, tmp_path: Path) -> None:
    for name in ("berlin", "paris"):
        leave(place, tmp_path / "drawer", name, noise(10))
    place.put("late/batch.bin", b"x" * 3073)  # without _SUCCESS
    place.put("taken/batch.bin", b"x" * 3073)
    place.put("taken/_SUCCESS", b"")
    place.put("_quarantine/bad/_SUCCESS", b"")
    receipt = {
        "format": 1,
        "number": 1,
        "written_at": "now",
        "run_id": "run",
        "class_names": ["a"],
        "listing": "x",
        "digest": "a" * 64,
        "drop": {},
    }
    place.put("taken/receipt.json", json.dumps(receipt).encode())
    assert look().message == "New: berlin, paris."
    told = [(f"retraining.drop.{name}", name, f"{place.address}/{name}") for name in ("berlin", "paris")]
    assert sorted(events()) == told
    # Whatever became of them: nobody is told twice.
    assert look().message == "No new drop."
    assert sorted(events()) == told
    place.put("late/_SUCCESS", b"")
    assert look().message == "New: late."
    assert events()[-1][1] == "late"
    assert len(events()) == 3


def test_a_drop_that_is_altered_or_comes_back_is_told_of_again(
    place: Place, look: Look, events: Events, tmp_path: Path
) -> None:
    leave(place, tmp_path / "drawer", "berlin", noise(10))
    look()
    place.put("berlin/more.bin", b"x" * 3073)
    assert look().message == "New: berlin."
    before = {file: data for file, data in place.files().items() if file.startswith("berlin/")}
    for file in before:
        place.remove(file)
    assert look().message == "No new drop."
    for file, data in sorted(before.items(), reverse=True):
        place.put(file, data)
    assert look().message == "New: berlin."
    assert len(events()) == 3


def test_with_an_age_no_marker_is_needed(place: Place, look: Look) -> None:
    place.put("berlin/batch.bin", b"x" * 3073)
    assert look(drop_min_age_minutes=60).message == "No new drop."
    wait_for(lambda: look(drop_min_age_minutes=0.01).message == "New: berlin.")


def test_a_place_that_is_none_fails_the_run(prefect_server: None, tmp_path: Path) -> None:
    with machine.use(Machine(store=tmp_path / "store")):
        state = watch(drops=str(tmp_path / "nowhere"), return_state=True)
    assert state.is_failed()
    assert "which is no folder; make it, or name another" in str(state.message)
    with pytest.raises(ParameterTypeError, match="drops"):
        watch.validate_parameters({"drops": ""})


def test_what_a_run_took_or_moved_aside_is_not_told_of(filled_store: Path, events: Events, tmp_path: Path) -> None:
    drops = FolderPlace(tmp_path / "drops")
    images, labels = noise(40)
    leave(drops, tmp_path / "drawer", "good", (images, labels))
    leave(drops, tmp_path / "drawer", "blank", (images * 0, labels))
    retrain_in(filled_store, ingest={**SMALL["ingest"], "drops": drops.address})
    with machine.use(Machine(store=filled_store)):
        assert watch(drops=drops.address, return_state=True).message == "No new drop."
        # Mended, and moved back.
        shutil.move(drops.folder / "_quarantine" / "blank", drops.folder / "blank")
        assert watch(drops=drops.address, return_state=True).message == "New: blank."
    assert [name for _, name, _ in events()] == ["blank"]


def test_a_memory_that_is_damaged_tells_again(place: Place, look: Look, tmp_path: Path) -> None:
    leave(place, tmp_path / "drawer", "berlin", noise(10))
    look()
    [memory] = (tmp_path / "store" / "announced").iterdir()
    memory.write_text("{")
    assert look().message == "New: berlin."
    assert look().message == "No new drop."


def test_what_one_machine_told_of_no_other_tells_of_again(
    place: Place, bucket: BucketPlace, events: Events, tmp_path: Path
) -> None:
    def looks(name: str) -> str:
        with machine.use(Machine(store=tmp_path / name, bucket=f"{bucket.address}/store")):
            return str(watch(drops=place.address, return_state=True).message)

    leave(place, tmp_path / "drawer", "berlin", noise(10))
    assert looks("first") == "New: berlin."
    assert looks("second") == "No new drop."
    leave(place, tmp_path / "drawer", "paris", noise(10))
    assert looks("second") == "New: paris."
    assert looks("first") == "No new drop."
    assert [name for _, name, _ in events()] == ["berlin", "paris"]
