"""A Prefect server as a service runs it: unlike the one of the other tests it frees the slots of what was killed."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
START_SECONDS = 180


@contextmanager
def prefect_server(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a server's clients, which keeps its database in `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    log = folder / "server.log"
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environ, cwd=ROOT)
        try:
            _wait_for_health(environ["PREFECT_API_URL"], process, log)
            yield environ
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait_for_health(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())
