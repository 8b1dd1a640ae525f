"""Secrets of a worker's environment, planted and then looked for wherever a run leaves anything."""

import base64
import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
import pytest
from fsspec import filesystem

from tests import s3
from tests.flows.conftest import SMALL
from tests.processes import RUN_SECONDS, find_descendant, wait_for
from tests.service import Service, running

MARK = f"experiment-{uuid.uuid4()}"
"""No secret: what is kept of a run is found by it, and so the search works."""

PARAMETERS = {**SMALL, "register": {"experiment": MARK}}

PLANTED = {
    name: f"planted-{uuid.uuid4()}"
    for name in (
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "MLFLOW_TRACKING_PASSWORD",
        "PGPASSWORD",
        "RETRAINING_NOTIFY_URL",
        "PREFECT_API_AUTH_STRING",
    )
}

NEEDLES = {
    name: (value, base64.b64encode(value.encode()).decode(), base64.b64encode(f"team:{value}".encode()).decode())
    for name, value in PLANTED.items()
}
"""As it is, and as basic authentication sends it."""


class CommandLines:
    """The command lines of all processes of this machine, from now on."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    @contextmanager
    def watched(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            for process in psutil.process_iter(["cmdline"]):
                self.seen.add("\0".join(process.info["cmdline"] or ()))


@pytest.fixture(scope="module")
def refusing() -> Iterator[str]:
    """The URL of a server that lets nobody in, as MLflow's does with its basic authentication."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert PLANTED["MLFLOW_TRACKING_PASSWORD"] in base64.b64decode(self.headers["Authorization"][6:]).decode()
            self.send_response(401)
            self.end_headers()
            self.wfile.write(b"You are not authenticated.")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def environment(endpoint: str) -> dict[str, str]:
    """Of server, worker and all that they start."""
    password = f"team:{PLANTED['PREFECT_API_AUTH_STRING']}"
    return {
        **s3.ENVIRONMENT,
        **PLANTED,
        "AWS_ENDPOINT_URL": endpoint,
        # Nobody listens there.
        "RETRAINING_NOTIFY_URL": f"http://127.0.0.1:9/{PLANTED['RETRAINING_NOTIFY_URL']}",
        "MLFLOW_TRACKING_USERNAME": "team",
        "PREFECT_API_AUTH_STRING": password,
        "PREFECT_SERVER_API_AUTH_STRING": password,
        # What is only said to whoever looks for a fault counts as well.
        "PREFECT_LOGGING_LEVEL": "DEBUG",
    }


def runs_of_all_kinds(service: Service, endpoint: str, refusing: str) -> None:
    """One that succeeds and promotes in a bucket, one that crashes, and two that are refused."""
    worker = service.start_worker("worker")
    done = service.wait(service.run("retrain/retrain-manual", PARAMETERS, ledger="s3://ledgers/x"), [worker])
    assert done["type"] == "COMPLETED", done["message"]

    slow = {**PARAMETERS, "train": {**SMALL["train"], "epochs": 500}}
    crashed = service.run("retrain/retrain-manual", slow)
    trainer = wait_for(
        lambda: find_descendant("cnn_model", "train", of=worker.pid), lambda: worker.poll() is None, RUN_SECONDS
    )
    flow = trainer.parent()
    assert flow is not None
    flow.kill()
    assert service.wait(crashed, [worker])["type"] == "CRASHED"

    run = service.run("retrain/retrain-manual", PARAMETERS, mlflow_tracking_uri=refusing)
    refused = service.wait(run, [worker])
    first_line = f"register failed (ConfigurationError): MLflow at {refusing} refuses the user (401)."
    assert first_line in refused["message"].splitlines()[0]
    assert service.summary(run)["steps"]["ingest"]["outcome"] == "not_run"

    # From now on the server wants users that it knows.
    httpx.post(f"{endpoint}/moto-api/reset-auth", content=b"0").raise_for_status()
    run = service.run("retrain/retrain-manual", PARAMETERS, ledger="s3://ledgers/x")
    refused = service.wait(run, [worker])
    first_line = "register failed (RegistryError): The ledger s3://ledgers/x cannot be read: "
    assert first_line in refused["message"].splitlines()[0]


@pytest.mark.service
@pytest.mark.timeout(900)
def test_planted_secrets_are_found_nowhere(tmp_path: Path, refusing: str) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of each request
    server, endpoint = s3.started()
    try:
        bucket = filesystem("s3", key="tester", secret="secret", endpoint_url=endpoint, skip_instance_cache=True)
        bucket.mkdir("ledgers")
        lines = CommandLines()
        with running(tmp_path, environment(endpoint)) as service, lines.watched():
            runs_of_all_kinds(service, endpoint, refusing)
    finally:
        httpx.post(f"{endpoint}/moto-api/reset-auth", content=b"inf").raise_for_status()
        server.stop()

    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    marked = {path.name.removesuffix("-wal") for path, content in files.items() if MARK.encode() in content}
    assert {"prefect.db", "mlflow.db", "report.html"} <= marked
    assert {"server.log", "worker.log"} <= {path.name for path in files}
    assert any("cnn_model" in line for line in lines.seen)
    texts = {str(path.relative_to(tmp_path)): content for path, content in files.items()}
    texts["a command line"] = "\n".join(lines.seen).encode()
    found = [
        f"{name} in {place}"
        for place, content in texts.items()
        for name, needles in NEEDLES.items()
        if any(needle.encode() in content for needle in needles)
    ]
    assert found == []
