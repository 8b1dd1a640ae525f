"""The service on this machine, as a team runs it: Prefect's server, deployments from the YAML, process workers."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests import servers
from tests.processes import wait_for

ROOT = Path(__file__).parents[1]
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
"""Of the variables of this process. Any other may lead elsewhere, or switch telemetry off that the project must."""


class Service:
    """A server without deployments, and the processes of its clients.

    Args:
        folder: Gets everything that is written, the store included.
        variables: More of the environment of all processes.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        self.folder, self.store = folder, folder / "store"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.environ = inherited(folder) | {
            "PREFECT_HOME": str(folder),
            "PREFECT_API_URL": self.api,
            # Read when the YAML is deployed.
            "RETRAINING_HOME": str(ROOT),
            "RETRAINING_STORE": str(self.store),
            **(variables or {}),
        }
        self._client = httpx.Client(base_url=self.api, timeout=60, auth=_authorisation(self.environ))
        self._processes = ExitStack()

    @property
    def database(self) -> Path:
        """Prefect's."""
        return self.folder / "prefect.db"

    def log(self, name: str) -> str:
        """What a process has written."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def start(self, name: str, *command: str, environ: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """Start `python -m prefect COMMAND` from the checkout; it is killed at the end, if it has not ended before."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "prefect", "--no-prompt", *command],
                stdout=log,
                stderr=log,
                env={**self.environ, **(environ or {})},
                cwd=ROOT,
                start_new_session=True,
            )
        self._processes.callback(_end, process)
        return process

    def call(self, *command: str) -> str:
        """Run `python -m prefect COMMAND` to its end; what it wrote."""
        return servers.python(self.environ, "prefect", "--no-prompt", *command)

    def start_server(self) -> "subprocess.Popen[bytes]":
        """Start Prefect's server, and wait until it answers."""
        server = self.start("server", "server", "start", "--host", "127.0.0.1", "--port", str(self.port))
        wait_for(self._answers, lambda: server.poll() is None)
        return server

    def deploy(self) -> None:
        """Bring everything to the server."""
        servers.python(self.environ, "deployments.apply", "--device", "auto")

    def start_worker(self, name: str, environ: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """Start a worker of the pool `gpu`."""
        return self.start(name, "worker", "start", "--pool", "gpu", "--name", name, environ=environ)

    def run(self, deployment: str, parameters: Mapping[str, Any], **job_variables: str) -> str:
        """Start a run of a deployment, such as "retrain/retrain-manual"; its id."""
        found = self.ask("GET", f"/deployments/name/{deployment}")
        body = {"parameters": parameters, "job_variables": job_variables, "state": {"type": "SCHEDULED"}}
        return str(self.ask("POST", f"/deployments/{found['id']}/create_flow_run", body)["id"])

    def state(self, run: str) -> dict[str, Any]:
        """The state of a run."""
        found: dict[str, Any] = self.ask("GET", f"/flow_runs/{run}")["state"]
        return found

    def wait(self, run: str, workers: Sequence["subprocess.Popen[bytes]"]) -> dict[str, Any]:
        """The last state of a run."""
        return wait_for(
            lambda: state if (state := self.state(run))["type"] in ENDED else None,
            lambda: all(worker.poll() is None for worker in workers),
        )

    def logs(self, run: str) -> list[str]:
        """What the dashboard shows of a run's log."""
        body = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
        return [str(record["message"]) for record in self.ask("POST", "/logs/filter", body)]

    def summary(self, run: str) -> dict[str, Any]:
        """What became of it, as programs read it."""
        found: dict[str, Any] = json.loads((self.store / "runs" / run / "summary.json").read_text())
        return found

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The server's answer."""
        answer = self._client.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def close(self) -> None:
        """End all processes that were started here."""
        self._processes.close()
        self._client.close()

    def _answers(self) -> bool:
        try:
            return self._client.get("/health").is_success
        except httpx.TransportError:
            return False


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


def _authorisation(environ: Mapping[str, str]) -> tuple[str, str] | None:
    user, _, password = environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    return (user, password) if user else None


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Gently first, so that a worker ends its runs."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=30)
