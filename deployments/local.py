"""Prefect's server and workers, and the server of reports, as processes of this machine that end together.

Each carries a mark in its environment, and so does whatever it starts: a run's process is in a session of its own, and
outlives its worker.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import httpx
import psutil

from deployments.errors import DeployError
from deployments.rendering import ROOT

# Not RETRAINING_..., which a training is not given.
MARK = "CIFAR10_DASHBOARD"
PREFECT = ("prefect", "--no-prompt")
START_SECONDS = 180
END_SECONDS = 15
MAX_LOG_BYTES = 20 * 2**20
"""A longer log is put aside, in the place of the one before, when its process is started."""

NUM_PORTS = 20
"""How many are tried, from the usual one on."""


def environment(environ: Mapping[str, str], home: Path, address: str) -> dict[str, str]:
    """What server, workers and runs are started with: none of Prefect's settings of this user.

    Args:
        environ: Of this process.
        home: Folder for what they keep.
        address: Of the server, without `/api`.
    """
    return {name: value for name, value in environ.items() if not name.startswith("PREFECT_")} | {
        MARK: str(home),
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_UI_URL": address,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # Leases in memory would leak a slot for good when the server is killed.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "DO_NOT_TRACK": "1",
    }


def free_port(wanted: int | None, usual: int) -> int:
    """The wanted port of the loopback; without one the usual, or the next that is free.

    Raises:
        DeployError: if it is taken, or all that were tried are; or it is none from 1 to 65535.
    """
    if wanted is not None and not 1 <= wanted <= 65535:
        raise DeployError(f"--port is {wanted}; expected a number from 1 to 65535.", exit_code=2)
    tried = [wanted] if wanted is not None else range(usual, usual + NUM_PORTS)
    for port in tried:
        with socket.socket() as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listening.bind(("127.0.0.1", port))
            except PermissionError as error:
                raise DeployError(f"Port {port} is for root alone. Name one from 1024 on with --port.") from error
            except OSError:
                continue
            return port
    if wanted is None:
        raise DeployError(f"Ports {usual} to {usual + NUM_PORTS - 1} are taken. End what listens on one of them.")
    raise DeployError(f"Port {wanted} is taken. Name a free one with --port.")


def kill_leftovers(home: Path) -> None:
    """Kill whatever was started with this folder and is still there."""
    left = list(_marked(home))
    for process in left:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(left, timeout=END_SECONDS)


class Processes:
    """The servers and workers.

    Args:
        home: Folder for what they keep, and for their logs.
        environ: With which they are started.
    """

    def __init__(self, home: Path, environ: Mapping[str, str]) -> None:
        self._home = home
        self._environ = environ
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._workers: dict[str, subprocess.Popen[bytes]] = {}

    def start_server(self, port: int) -> None:
        """Start Prefect's, and wait until it answers.

        Raises:
            DeployError: if it does not.
        """
        arguments = ("server", "start", "--host", "127.0.0.1", "--port", str(port))
        self._servers["server"] = self._start("server", *PREFECT, *arguments)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            try:
                if httpx.get(f"http://127.0.0.1:{port}/api/health", trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        raise DeployError(f"Prefect's server does not answer after {START_SECONDS} s; see {self._log('server')}")

    def start_worker(self, pool: str) -> None:
        """Start one for a pool."""
        arguments = ("worker", "start", "--pool", pool, "--type", "process", "--name", f"{pool}-{os.uname().nodename}")
        self._workers[pool] = self._start(f"worker-{pool}", *PREFECT, *arguments)

    def start_reports(self, port: int) -> None:
        """Start what serves the reports of the store; `check` says whether it ended."""
        self._servers["reports"] = self._start("reports", "deployments.reports", "--port", str(port))

    def check(self) -> None:
        """See that none has ended.

        Raises:
            DeployError: if one has, with the last line of its log.
        """
        for name, process in self._all().items():
            if process.poll() is not None:
                last = [line for line in _end_of(self._log(name)).splitlines() if line.strip()][-1:]
                what = (
                    "The server of reports" if name == "reports" else f"Prefect's {name.replace('-', ' of the pool ')}"
                )
                raise DeployError(
                    f"{what} ended with {process.returncode}: {' '.join(last).strip()[:300]} See {self._log(name)}"
                )

    def end(self) -> None:
        """End the runs, then the workers, which still tell of them, then the servers; kill what does not."""
        runs = [run for worker in self._workers.values() for run in _children(worker.pid)]
        for stage in (runs, _alive(self._workers.values()), _alive(self._servers.values())):
            _terminate(stage)
        kill_leftovers(self._home)
        for process in self._all().values():
            process.wait()

    def _start(self, name: str, module: str, *arguments: str) -> "subprocess.Popen[bytes]":
        log_file = self._log(name)
        if log_file.exists() and log_file.stat().st_size > MAX_LOG_BYTES:
            log_file.replace(log_file.with_suffix(".1.log"))
        with log_file.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
                # Its settings are in the checkout's pyproject.toml.
                cwd=ROOT,
                # Out of reach of the terminal's Ctrl-C: they end one after another.
                start_new_session=True,
            )

    def _all(self) -> "dict[str, subprocess.Popen[bytes]]":
        return self._servers | {f"worker-{pool}": process for pool, process in self._workers.items()}

    def _log(self, name: str) -> Path:
        return self._home / f"{name}.log"


def _marked(home: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == str(home):
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


def _end_of(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(-min(log.stat().st_size, 4096), os.SEEK_END)
        return file.read().decode(errors="replace")


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []


def _alive(processes: "Iterable[subprocess.Popen[bytes]]") -> list[psutil.Process]:
    return [psutil.Process(process.pid) for process in processes if process.poll() is None]


def _terminate(processes: list[psutil.Process]) -> None:
    for process in processes:
        _send(process, signal.SIGTERM)
    psutil.wait_procs(processes, timeout=END_SECONDS)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
