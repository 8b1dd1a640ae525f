"""Turns by objects in a bucket, taken by threads and by a real process that is killed."""

import subprocess
import sys
import threading
import time

import pytest

from tasks.ingest import object_turn
from tasks.objects import Objects
from tests.unit.ingest.places import BucketPlace

HOLDER = """
import sys, time
from tasks.ingest import object_turn
from tasks.objects import Objects
with object_turn.enter(Objects(sys.argv[1]), "_turns", lambda holder: None):
    print("entered", flush=True)
    time.sleep(600)
"""


def unexpected(holder: str) -> None:
    raise AssertionError(f"waited for {holder}")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_turn, "POLL_SECONDS", 0.05)


def test_a_turn_that_is_over_is_nobodys(bucket: BucketPlace) -> None:
    for _ in range(3):
        with object_turn.enter(Objects(bucket.address), "_turns", unexpected):
            pass
    assert list(bucket.files()) == ["_turns/000003.json"]  # the last alone


def test_who_waits_is_told_the_holder_and_goes_on_when_that_was_killed(
    bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(object_turn, "LEASE_SECONDS", 1.0)
    command = [sys.executable, "-c", HOLDER, bucket.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "entered\n"
        process.kill()
    told: list[str] = []
    with object_turn.enter(Objects(bucket.address), "_turns", told.append):
        pass
    assert len(told) == 1
    assert told[0].startswith(f"process {process.pid} on ")
    assert "No sign of life" in caplog.text


def test_a_holder_that_gives_signs_of_life_keeps_its_turn(bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_turn, "LEASE_SECONDS", 10.0)
    monkeypatch.setattr(object_turn, "BEAT_SECONDS", 0.2)
    entered = threading.Event()

    def wait() -> None:
        with object_turn.enter(Objects(bucket.address), "_turns", lambda holder: None):
            entered.set()

    thread = threading.Thread(target=wait)
    with object_turn.enter(Objects(bucket.address), "_turns", unexpected):
        thread.start()
        assert not entered.wait(13)
    thread.join(60)
    assert entered.is_set()


def test_of_many_at_once_one_is_at_work(bucket: BucketPlace) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        with object_turn.enter(Objects(bucket.address), "_turns", lambda holder: None):
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.05)
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert most == [1] * 4


def test_a_holder_that_lost_its_turn_is_told(
    bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(object_turn, "LEASE_SECONDS", 0.2)  # as if the machine slept: no sign of life before 20 s
    with object_turn.enter(Objects(bucket.address), "_turns", unexpected):
        other = object_turn.enter(Objects(bucket.address), "_turns", lambda holder: None)
    assert "Another run has taken the turn" in caplog.text
    with other:
        pass
    with object_turn.enter(Objects(bucket.address), "_turns", unexpected):
        pass


def test_a_store_that_does_not_honour_conditions_is_named(
    bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Objects, "create", Objects.write)  # what such a store makes of the condition
    with object_turn.enter(Objects(bucket.address), "_turns", unexpected):
        pass
    assert "does not honour conditional writes" in caplog.text
