"""`make dashboard` starts everything on this machine, and nothing of it is left."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from deployments.local import MARK
from tests import servers
from tests.flows.conftest import SMALL
from tests.processes import PATIENCE_SECONDS, RUN_SECONDS, wait_for, without_settings


def environment(store: Path) -> dict[str, str]:
    # Relative, as people write it: the server takes none.
    return without_settings() | {"RETRAINING_STORE": os.path.relpath(store, servers.ROOT)}


@contextmanager
def dashboard(store: Path, *arguments: str) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """The process, and the address that it says."""
    said = store.with_suffix(".txt")
    command = [sys.executable, "-m", "deployments.dashboard", *arguments]
    with said.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment(store), cwd=servers.ROOT)
    try:
        wait_for(lambda: "Ctrl-C" in said.read_text(), lambda: process.poll() is None)
        found = re.search(r"http://127\.0\.0\.1:\d+", said.read_text())
        assert found is not None
        yield process, found[0]
    finally:
        process.kill()
        process.wait()
        for left in marked(store):
            left.kill()


def marked(store: Path) -> list[psutil.Process]:
    """Processes that a dashboard of this store has started, and what they have."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(store / "prefect-server"):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.mark.service
@pytest.mark.timeout(900)
def test_it_starts_everything_runs_what_is_asked_for_and_leaves_nothing(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with dashboard(store) as (process, address):
        environ = {"PREFECT_API_URL": f"{address}/api"}
        deployment = servers.get(environ, "/deployments/name/retrain/retrain-manual")
        parameters = {**SMALL, "train": {"recipe": "tutorial-64-logits", "epochs": 500}}
        servers.start_run(environ, "retrain/retrain-manual", parameters)
        training = wait_for(
            lambda: next((found for found in marked(store) if "train" in found.cmdline()), None),
            lambda: process.poll() is None,
            RUN_SECONDS,
        )
        assert {"server", "worker"} <= {word for found in marked(store) for word in found.cmdline()}

        served = deployment["job_variables"]["reports_url"]
        assert httpx.get(f"{served}/health", trust_env=False).status_code == 200

        again = servers.call(environment(store), "deployments.dashboard")
        assert again.returncode == 0
        assert again.stdout.strip().endswith(f"running already: {address} (process {process.pid})")

        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE_SECONDS) == 0
        assert marked(store) == []
        assert not training.is_running()
    # The run is told of as crashed, and does not stand there as running when the server is back.
    with dashboard(store) as (process, address):
        (run,) = servers.runs({"PREFECT_API_URL": f"{address}/api"}, "retrain-manual", "CRASHED")
        assert run["parameters"]["train"]["epochs"] == 500

        # A worker that dies takes the others with it.
        next(found for found in marked(store) if "worker" in found.cmdline()).kill()
        assert process.wait(timeout=PATIENCE_SECONDS) == 1
        assert marked(store) == []
        assert re.search(r"Prefect's worker of the pool \w+ ended with -9", store.with_suffix(".txt").read_text())


@pytest.mark.service
def test_what_a_killed_one_left_is_ended_by_the_next(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with dashboard(store) as (process, address):
        before = marked(store)
        process.kill()
        process.wait()
        assert all(found.is_running() for found in before)
        # On the same port, which what was left had.
        with dashboard(store, "--port", address.rpartition(":")[2]) as (process, again):
            assert again == address
            assert not any(found.is_running() for found in before)
            # A terminal that is closed.
            process.send_signal(signal.SIGHUP)
            assert process.wait(timeout=120) == 0
            assert marked(store) == []


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = servers.call(environment(tmp_path), "deployments.dashboard", "--port", str(port))
    assert done.returncode == 1
    assert done.stdout.splitlines() == [f"Port {port} is taken. Name a free one with --port."]


def test_a_server_that_does_not_start_is_one_line(tmp_path: Path) -> None:
    home = tmp_path / "prefect-server"
    home.mkdir()
    (home / "prefect.db").write_bytes(b"no database" * 100)
    done = servers.call(environment(tmp_path), "deployments.dashboard")
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert line.startswith("Prefect's server ended with ")
    assert line.endswith(f"See {home / 'server.log'}")


@pytest.mark.parametrize("place", ["file", "file/store"])
def test_a_store_that_is_no_folder_is_one_line(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text(json.dumps({}))
    done = servers.call(environment(tmp_path / place), "deployments.dashboard")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    assert "Does RETRAINING_STORE name a folder?" in done.stdout
