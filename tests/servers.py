"""Real Prefect servers and workers on this machine, and what tests ask of them."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.processes import wait_for

ROOT = Path(__file__).parents[1]


@contextmanager
def server(folder: Path, **settings: str) -> Iterator[dict[str, str]]:
    """A server whose database is in the folder; the environment of its clients."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "RETRAINING_"))}
    environ |= {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # What a person does not mind to wait for.
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "2",
        "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "RETRAINING_STORE": str(folder / "store"),
        **settings,
    }
    with process(environ, folder / "server.log", "server", "start", "--host", "127.0.0.1", "--port", str(port)) as own:
        wait_for(lambda: healthy(environ["PREFECT_API_URL"]), lambda: own.poll() is None)
        yield environ


@contextmanager
def process(environ: Mapping[str, str], log: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Prefect's command, with everything that it starts, ended with the block."""
    command = [sys.executable, "-m", "prefect", *arguments]
    with log.open("ab") as output:
        started = subprocess.Popen(command, stdout=output, stderr=output, env=environ, cwd=ROOT)
    try:
        yield started
    finally:
        left = psutil.Process(started.pid).children(recursive=True) if started.poll() is None else []
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(timeout=20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
        for child in left:
            if child.is_running():
                child.kill()


def worker(environ: Mapping[str, str], folder: Path, pool: str) -> Any:
    """A worker of a pool, for a `with` block."""
    return process(environ, folder / f"worker-{pool}.log", "worker", "start", "--pool", pool)


def healthy(url: str) -> bool:
    """Whether the server answers."""
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False


def prefect(environ: Mapping[str, str], *arguments: str) -> str:
    """What Prefect's command says; it must not fail."""
    return python(environ, "prefect", "--no-prompt", *arguments)


def python(environ: Mapping[str, str], *arguments: str) -> str:
    """What `python -m ...` says; it must not fail."""
    done = call(environ, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def call(environ: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`python -m ...` in the checkout, to its end."""
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, env={**environ}, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)


def get(environ: Mapping[str, str], path: str) -> Any:
    """What the server's API gives."""
    return ask(environ, "GET", path)


def post(environ: Mapping[str, str], path: str, body: Any) -> Any:
    """What the server's API answers."""
    return ask(environ, "POST", path, body)


def patch(environ: Mapping[str, str], path: str, body: Any) -> None:
    """Change something on the server."""
    ask(environ, "PATCH", path, body)


def put(environ: Mapping[str, str], path: str, body: Any) -> None:
    """Replace something on the server."""
    ask(environ, "PUT", path, body)


def ask(environ: Mapping[str, str], method: str, path: str, body: Any = None) -> Any:
    """A request to the server's API, as often as it is too busy to answer: SQLite takes one writer at a time."""

    def answered() -> httpx.Response | None:
        try:
            answer = httpx.request(method, environ["PREFECT_API_URL"] + path, json=body, timeout=30)
        except httpx.TimeoutException:
            return None
        return None if answer.status_code == 503 else answer

    answer = wait_for(answered)
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


def runs(environ: Mapping[str, str], deployment: str, *states: str) -> list[dict[str, Any]]:
    """Runs of a deployment in these types of state, the first expected first."""
    body = {
        "deployments": {"name": {"any_": [deployment]}},
        "flow_runs": {"state": {"type": {"any_": list(states)}}},
        "sort": "EXPECTED_START_TIME_ASC",
    }
    found: list[dict[str, Any]] = post(environ, "/flow_runs/filter", body)
    return found
