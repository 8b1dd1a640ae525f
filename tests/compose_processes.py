"""The compose file's services as processes of this machine: the same commands, settings and script for the databases.

What differs is where they are: ports of the loopback in place of a network of containers, folders in place of volumes.
"""

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from tests import compose
from tests.compose import ROOT, Service
from tests.mlflow_server import FOLDERS, Postgres, uv
from tests.processes import end_tree, free_port, wait_for

REQUIREMENTS = ROOT / "deployments" / "mlflow" / "requirements.txt"


class Process:
    """A service that runs, in a process group of its own."""

    def __init__(self, name: str, service: Service, program: list[str], health: str, folder: Path) -> None:
        self.health, self._log = health, folder / f"{name}.log"
        # What a container has of its host: nothing but the way to programs and to the home folder.
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*program, *service.command],
                stdout=log,
                stderr=log,
                env=environment | service.environment,
                cwd=ROOT,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it says that it is healthy."""
        try:
            wait_for(self._healthy, lambda: self.process.poll() is None)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.log[-3000:]}") from error

    def stop(self) -> None:
        """End it as an engine does: SIGTERM, then SIGKILL for all that is left."""
        end_tree(self.process)

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    def _healthy(self) -> bool:
        try:
            return httpx.get(self.health, timeout=5).status_code == 200
        except httpx.TransportError:
            return False


class Processes:
    """PostgreSQL, Prefect's server and MLflow's, and as many workers as are asked for."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self.given = {
            name: secrets.token_urlsafe(12)
            for name in ("POSTGRES_PASSWORD", "PREFECT_DATABASE_PASSWORD", "MLFLOW_DATABASE_PASSWORD")
        }
        self.given["PREFECT_AUTH_STRING"] = f"admin:{secrets.token_urlsafe(12)}"
        ports = {name: free_port() for name in ("postgres", "prefect", "mlflow", "reports")}
        self.prefect_url = f"http://127.0.0.1:{ports['prefect']}/api"
        self.mlflow_url = f"http://127.0.0.1:{ports['mlflow']}"
        self.reports_url = f"http://127.0.0.1:{ports['reports']}"
        self._places = {
            "postgres:5432": f"127.0.0.1:{ports['postgres']}",
            "prefect:4200": f"127.0.0.1:{ports['prefect']}",
            "mlflow:5000": f"127.0.0.1:{ports['mlflow']}",
            "0.0.0.0": "127.0.0.1",
            "/srv/": f"{folder}/",
        }
        self._start_postgres(ports["postgres"])
        self.prefect = self._start_prefect(ports)
        self.mlflow = self._start_mlflow(ports["mlflow"])
        self.prefect.wait()
        self.mlflow.wait()

    @property
    def client(self) -> dict[str, str]:
        """The variables of a client of Prefect's server that is let in."""
        return {"PREFECT_API_URL": self.prefect_url, "PREFECT_API_AUTH_STRING": self.given["PREFECT_AUTH_STRING"]}

    def worker(self, service: str, name: str, environment: dict[str, str] | None = None) -> Process:
        """Start a worker of the file, with a name and further variables; its pool has to be there."""
        port = free_port()
        entry = compose.service(service, self.given).moved(self._places)
        variables = {
            **entry.environment,
            "PREFECT_HOME": str(self._folder / name),
            # As the image sets it.
            "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1",
            "PREFECT_WORKER_WEBSERVER_PORT": str(port),
        }
        command = (*entry.command, "--name", name)
        health = f"http://127.0.0.1:{port}/health"
        return self._start(name, Service(command, variables | (environment or {})), [sys.executable, "-m"], health)

    def reports(self, environment: Mapping[str, str]) -> Process:
        """Start what serves the reports of a store, with the variables that open it."""
        entry = compose.service("reports", {**self.given, **environment}).moved(self._places)
        port = self.reports_url.rpartition(":")[2]
        command = tuple(port if word == "4300" else word for word in entry.command[1:])
        variables = {**entry.environment, "RETRAINING_CACHE": str(self._folder / "cache-reports")}
        health = f"{self.reports_url}/health"
        return self._start("reports", Service(command, variables), [sys.executable], health)

    def _start_postgres(self, port: int) -> None:
        # Not in the folder: the name of a Unix socket has 107 characters at most.
        data = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pg-", dir=FOLDERS)))
        postgres = Postgres(data, "postgres", port)
        self._stack.callback(postgres.stop)
        script = ROOT / "deployments" / "postgres" / "databases.sql"
        postgres.script(script, compose.service("postgres", self.given).environment)

    def _start_prefect(self, ports: dict[str, int]) -> Process:
        entry = compose.service("prefect", self.given).moved(self._places)
        variables = {
            **entry.environment,
            "PREFECT_HOME": str(self._folder / "prefect"),
            "PREFECT_SERVER_API_PORT": str(ports["prefect"]),
            "PREFECT_SERVER_UI_API_URL": self.prefect_url,
            "PREFECT_SERVER_DATABASE_HOST": "127.0.0.1",
            "PREFECT_SERVER_DATABASE_PORT": str(ports["postgres"]),
        }
        service = Service(entry.command, variables)
        return self._start("prefect", service, [sys.executable, "-m"], f"{self.prefect_url}/ready")

    def _start_mlflow(self, port: int) -> Process:
        entry = compose.service("mlflow", self.given).moved(self._places)
        command = tuple(str(port) if word == "5000" else word for word in entry.command)
        # As in the image: an environment of its own, of exactly what is locked.
        environment = self._folder / "mlflow-environment"
        subprocess.run([uv(), "venv", "--quiet", "--python", sys.executable, str(environment)], check=True)
        sync = [uv(), "pip", "sync", "--quiet", "--require-hashes", "--python", str(environment), str(REQUIREMENTS)]
        subprocess.run(sync, check=True)
        program = [str(environment / "bin" / "python"), "-m"]
        return self._start("mlflow", Service(command, entry.environment), program, f"{self.mlflow_url}/health")

    def _start(self, name: str, service: Service, program: list[str], health: str) -> Process:
        process = Process(name, service, program, health, self._folder)
        self._stack.callback(process.stop)
        return process


@contextmanager
def running(folder: Path) -> Iterator[Processes]:
    """The services for the time of the block; what they write is in the folder."""
    with ExitStack() as stack:
        yield Processes(folder, stack)
