"""The service on this machine, as a team runs it: Prefect's server, deployments from the YAML, process workers."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests import servers
from tests.processes import free_port
from tests.servers import ROOT

INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
"""Of the variables of this process. Any other may lead elsewhere, or switch telemetry off that the project must."""


class Service:
    """A server without deployments, and workers as asked for; with Prefect's own settings, but for the project's.

    Args:
        folder: Gets everything that is written, the store included.
        variables: More of the environment of all processes.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        self.folder, self.store = folder, folder / "store"
        self._port = free_port()
        self.environ = inherited(folder) | {
            "PREFECT_HOME": str(folder),
            "PREFECT_API_URL": f"http://127.0.0.1:{self._port}/api",
            # Read when the YAML is deployed.
            "RETRAINING_HOME": str(ROOT),
            "RETRAINING_STORE": str(self.store),
            **(variables or {}),
        }
        self._processes = ExitStack()

    def start_server(self) -> None:
        """Start Prefect's server, and wait until it answers."""
        self._processes.enter_context(servers.started(self.environ, self.folder, self._port))

    def deploy(self) -> None:
        """Bring everything to the server, its schedules switched off."""
        servers.python(self.environ, "deployments.apply", "--device", "auto")
        servers.switch_schedules_off(self.environ)

    def start_worker(self, name: str) -> "subprocess.Popen[bytes]":
        """Start a worker of the pool `gpu`."""
        command = ("worker", "start", "--pool", "gpu", "--name", name)
        return self._processes.enter_context(servers.process(self.environ, self.folder / f"{name}.log", *command))

    def run(self, deployment: str, parameters: Mapping[str, Any], **job_variables: str) -> str:
        """Start a run of a deployment, such as "retrain/retrain-manual"; its id."""
        return servers.start_run(self.environ, deployment, parameters, job_variables=job_variables)

    def state(self, run: str) -> dict[str, Any]:
        """The state of a run."""
        found: dict[str, Any] = servers.get(self.environ, f"/flow_runs/{run}")["state"]
        return found

    def wait(self, run: str, workers: Sequence["subprocess.Popen[bytes]"]) -> dict[str, Any]:
        """The last state of a run."""
        over = servers.finished(self.environ, run, lambda: all(worker.poll() is None for worker in workers))
        state: dict[str, Any] = over["state"]
        return state

    def logs(self, run: str) -> list[str]:
        """What the dashboard shows of a run's log."""
        return servers.logs(self.environ, run)

    def summary(self, run: str) -> dict[str, Any]:
        """What became of it, as programs read it."""
        found: dict[str, Any] = json.loads((self.store / "runs" / run / "summary.json").read_text())
        return found

    def close(self) -> None:
        """End all processes that were started here, the last one first, with the runs that are at work."""
        self._processes.close()


@contextmanager
def running(folder: Path, variables: Mapping[str, str] | None = None) -> Iterator[Service]:
    """A server with all deployments, for the time of the block."""
    service = Service(folder, variables)
    try:
        service.start_server()
        service.deploy()
        yield service
    finally:
        service.close()


def inherited(home: Path) -> dict[str, str]:
    """The environment that processes start with, as a fresh account has it."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ} | {"HOME": str(home)}
