"""Real Prefect servers and workers on this machine, and what tests ask of them."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.processes import PATIENCE_SECONDS, RUN_SECONDS, end_tree, free_port, wait_for, without_settings

ROOT = Path(__file__).parents[1]

ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
"""The types of state of a run that is over."""

POLL_SECONDS = 0.25
"""Between two questions to a server: it shares two cores with what is waited for."""


@contextmanager
def server(folder: Path, **settings: str) -> Iterator[dict[str, str]]:
    """A server whose database is in the folder; the environment of its clients."""
    port = free_port()
    environ = without_settings() | {
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
    with started(environ, folder, port):
        yield environ


@contextmanager
def started(environ: Mapping[str, str], folder: Path, port: int) -> Iterator[None]:
    """A server with this environment and on this port, from when it answers to the end of the block."""
    with process(environ, folder / "server.log", "server", "start", "--host", "127.0.0.1", "--port", str(port)) as own:
        wait_for(lambda: healthy(environ["PREFECT_API_URL"]), lambda: own.poll() is None, every=POLL_SECONDS)
        yield


@contextmanager
def process(environ: Mapping[str, str], log: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Prefect's command, with everything that it starts, ended with the block."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
    with log.open("ab") as output:
        own = subprocess.Popen(command, stdout=output, stderr=output, env=environ, cwd=ROOT)
    try:
        yield own
    finally:
        end_tree(own)


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
    """What the server's API answers; it must not refuse."""
    answer = request(environ, method, path, body)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def request(environ: Mapping[str, str], method: str, path: str, body: Any = None) -> httpx.Response:
    """The answer to a client with this environment, asked for as often as the server is too busy to give one.

    SQLite takes one writer at a time: a server on it that has much to do says 503, seldom 500, or nothing for a while.
    """
    user, _, password = environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    url, auth = environ["PREFECT_API_URL"] + path, (user, password) if user else None
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            answer = httpx.request(method, url, json=body, auth=auth, timeout=30)
            if answer.status_code not in (500, 503) or time.monotonic() > deadline:
                return answer
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_SECONDS)


def start_run(environ: Mapping[str, str], deployment: str, parameters: Mapping[str, Any], **more: Any) -> str:
    """Start one run of a deployment, such as "retrain/retrain-manual", however often the server is asked; its id."""
    found = get(environ, f"/deployments/name/{deployment}")
    body = {"parameters": parameters, "idempotency_key": str(uuid4()), **more}
    return str(post(environ, f"/deployments/{found['id']}/create_flow_run", body)["id"])


def finished(environ: Mapping[str, str], run: str, alive: Callable[[], bool] = lambda: True) -> dict[str, Any]:
    """A run once it is over, however it ended, as long as `alive` holds."""

    def over() -> dict[str, Any] | None:
        found: dict[str, Any] = get(environ, f"/flow_runs/{run}")
        return found if found["state"]["type"] in ENDED else None

    return wait_for(over, alive, RUN_SECONDS, POLL_SECONDS)


def logs(environ: Mapping[str, str], run: str) -> list[str]:
    """What the dashboard shows of a run's log."""
    body = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
    return [str(record["message"]) for record in post(environ, "/logs/filter", body)]


def switch_schedules_off(environ: Mapping[str, str]) -> None:
    """Whatever the hour is, no tick of what is deployed comes into a test."""
    for deployment in post(environ, "/deployments/filter", {}):
        for schedule in deployment["schedules"]:
            patch(environ, f"/deployments/{deployment['id']}/schedules/{schedule['id']}", {"active": False})


def runs(environ: Mapping[str, str], deployment: str, *states: str) -> list[dict[str, Any]]:
    """Runs of a deployment in these types of state, the first expected first."""
    body = {
        "deployments": {"name": {"any_": [deployment]}},
        "flow_runs": {"state": {"type": {"any_": list(states)}}},
        "sort": "EXPECTED_START_TIME_ASC",
    }
    found: list[dict[str, Any]] = post(environ, "/flow_runs/filter", body)
    return found
