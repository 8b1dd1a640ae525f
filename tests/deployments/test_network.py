"""Nothing that the project starts speaks to anybody but this machine, or listens to anybody else."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.flows.conftest import SMALL
from tests.processes import RUN_SECONDS, wait_for
from tests.servers import ROOT
from tests.service import Service, inherited, running

LOOPBACK = ("127.0.0.1", "::1")

HOOK = """
# Imported by each Python process when it starts: what is asked of the network is refused and noted, but on loopback.
import ipaddress, os, sys

def is_local(host):
    if host is None or isinstance(host, bytes | bytearray):
        host = (host or b"").decode("ascii", "replace")
    if host in ("", "localhost", "0.0.0.0", "::"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

def watch(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if not is_local(host):
        line = f"{event} {host} by {' '.join(sys.orig_argv)[:200]}\\n"
        file = os.open(os.environ["NETWORK_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(file, line.encode())
        os.close(file)
        raise PermissionError(f"no network but loopback: {host}")

sys.addaudithook(watch)
"""


class Network:
    """What processes ask of the network, and where they listen.

    Args:
        folder: Of the test.
    """

    def __init__(self, folder: Path) -> None:
        (folder / "hook").mkdir()
        (folder / "hook" / "sitecustomize.py").write_text(HOOK)
        self._log = folder / "network.log"
        self.variables = {"PYTHONPATH": str(folder / "hook"), "NETWORK_LOG": str(self._log)}
        self.listening: set[str] = set()

    @property
    def asked(self) -> list[str]:
        """What was asked of others than this machine."""
        return self._log.read_text().splitlines() if self._log.exists() else []

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Collect the addresses at which processes below this one listen."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.2):
                for process in psutil.Process().children(recursive=True):
                    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                        found = process.net_connections("inet")
                        self.listening |= {at.laddr.ip for at in found if at.status == psutil.CONN_LISTEN}

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return Network(tmp_path)


def python(*arguments: str, environ: Mapping[str, str], folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        env={**inherited(folder), **environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS,
    )


def test_the_hook_refuses_and_notes(network: Network, tmp_path: Path) -> None:
    script = "import socket; socket.create_connection(('192.0.2.1', 80))"
    done = python("-c", script, environ=network.variables, folder=tmp_path)
    assert "no network but loopback: 192.0.2.1" in done.stderr
    assert network.asked[0].startswith("socket.getaddrinfo 192.0.2.1 by ")


@pytest.mark.timeout(900)
def test_telemetry_that_is_switched_on_is_noticed(network: Network, tmp_path: Path) -> None:
    """Without this the tests below would pass as well where the hook sees nothing."""

    def asked() -> bool:
        return any("sens-o-matic.prefect.io" in line for line in network.asked)

    # The server asks at its start alone; where SQLite is busy at that moment it does not ask for ten minutes.
    for name in ("first", "second", "third"):
        folder = tmp_path / name
        folder.mkdir()
        service = Service(folder, {**network.variables, "PREFECT_SERVER_ANALYTICS_ENABLED": "true"})
        try:
            service.start_server()
            with suppress(AssertionError):
                wait_for(asked, seconds=60)
        finally:
            service.close()
        if asked():
            return
    raise AssertionError("nothing was asked of Prefect's server of telemetry")


@pytest.mark.timeout(900)
def test_a_run_without_a_server(network: Network, tmp_path: Path) -> None:
    options = ["--source", "synthetic", "--ingest.synthetic-images", "480", "--train.recipe", "tutorial-64-logits"]
    options += ["--train.epochs", "1", "--evaluate.corruption-images", "0", "--store", str(tmp_path / "store")]
    with network.watched():
        done = python("-m", "flows.retraining", *options, environ=network.variables, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert network.asked == []
    assert network.listening
    assert network.listening <= set(LOOPBACK)


@pytest.mark.timeout(900)
def test_server_worker_and_a_run(network: Network, tmp_path: Path) -> None:
    with network.watched(), running(tmp_path, network.variables) as service:
        worker = service.start_worker("worker")
        state = service.wait(service.run("retrain/retrain-manual", SMALL), [worker])
        assert state["type"] == "COMPLETED", state["message"]
    assert network.asked == []
    assert network.listening
    assert network.listening <= set(LOOPBACK)
