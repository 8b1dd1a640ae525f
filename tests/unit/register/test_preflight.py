"""What registering needs, and how its lack is said: in seconds, in one line, by a type of its own."""

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest

from tasks import machine
from tasks.errors import ConfigurationError, RegistryError, RegistryUnreachableError, TransientError
from tasks.machine import Machine
from tasks.register import preflight
from tasks.store import Store

Answer = Callable[[], tuple[int, bytes]]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Starts a web server that gives one answer to everything; its URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = answer()
                self.send_response(status)
                self.send_header("Content-Type", "application/json" if body.startswith(b"{") else "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def mute() -> Iterator[str]:
    """The URL of a server that takes connections and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def check(folder: Path, **settings: str) -> None:
    with machine.use(Machine(store=folder, **settings)):
        preflight.check()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not answer is not asked again."""
    monkeypatch.setattr(preflight, "PATIENCE_SECONDS", 0)


def test_a_local_registry_is_not_even_made(opened_store: Store) -> None:
    preflight.check()
    assert not (opened_store.root / "mlflow.db").exists()


def test_a_local_registry_that_is_damaged(opened_store: Store) -> None:
    (opened_store.folder() / "mlflow.db").write_bytes(b"no database" * 100)
    with pytest.raises(RegistryError, match=r"mlflow\.db cannot be used: file is not a database\. Bring the file back"):
        preflight.check()


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_refuses_the_user(tmp_path: Path, serve: Callable[[Answer], str], status: int) -> None:
    uri = serve(lambda: (status, b"You are not authenticated."))
    with pytest.raises(
        ConfigurationError, match=rf"{uri} refuses the user \({status}\)\. Set MLFLOW_TRACKING_USERNAME"
    ):
        check(tmp_path, tracking_uri=uri)


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b"<html>" + b"a page " * 1000), (404, b'{"detail": "Not Found"}'), (200, b"<html>hello</html>")],
)
def test_a_server_that_is_no_mlflow(tmp_path: Path, serve: Callable[[Answer], str], status: int, body: bytes) -> None:
    uri = serve(lambda: (status, body))
    with pytest.raises(RegistryError, match=f"^MLflow at {uri} refused: ") as caught:
        check(tmp_path, tracking_uri=uri)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "http://no-such-host.invalid:5000"])
def test_a_server_that_is_not_there(tmp_path: Path, impatient: None, uri: str) -> None:
    with pytest.raises(RegistryUnreachableError, match=f"^The MLflow server {uri} does not answer"):
        check(tmp_path, tracking_uri=uri)


def test_a_server_that_says_nothing(
    tmp_path: Path, impatient: None, mute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "ANSWER_SECONDS", 1)
    with pytest.raises(RegistryUnreachableError, match=f"^The MLflow server {mute} does not answer"):
        check(tmp_path, tracking_uri=mute)


def test_a_server_whose_database_is_gone(tmp_path: Path, impatient: None, serve: Callable[[Answer], str]) -> None:
    uri = serve(lambda: (503, b'{"error_code": "TEMPORARILY_UNAVAILABLE", "message": "connection refused"}'))
    with pytest.raises(RegistryUnreachableError, match=f"^The MLflow server {uri} does not answer"):
        check(tmp_path, tracking_uri=uri)


def test_a_server_that_is_being_restarted_is_waited_for(
    tmp_path: Path, serve: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "PAUSE_SECONDS", 0.01)
    answers = iter([(502, b"Bad gateway"), (502, b"Bad gateway"), (200, b"{}")])
    check(tmp_path, tracking_uri=serve(lambda: next(answers)))
    assert list(answers) == []


@pytest.mark.parametrize(
    ("uri", "named"),
    [("postgresql://mlflow@127.0.0.1:9/mlflow", "package psycopg2"), ("ftp://host/x", "unsupported URI")],
)
def test_an_address_that_cannot_be_right(tmp_path: Path, uri: str, named: str) -> None:
    with pytest.raises((ConfigurationError, RegistryError), match=named):
        check(tmp_path, tracking_uri=uri)


def test_a_ledger_in_a_bucket(tmp_path: Path, s3_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    boto3.client("s3").create_bucket(Bucket="ledgers")
    check(tmp_path, ledger="s3://ledgers/cifar10")
    with pytest.raises(RegistryError, match="s3://nowhere cannot be read: The specified bucket does not exist"):
        check(tmp_path, ledger="s3://nowhere")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigurationError, match="NoCredentialsError"):
        check(tmp_path, ledger="s3://ledgers/cifar10")


def test_a_ledger_in_a_bucket_that_cannot_be_reached(
    tmp_path: Path, s3_environment: None, mute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(TransientError, match="s3://ledgers/cifar10 cannot be reached"):
        check(tmp_path, ledger="s3://ledgers/cifar10")
    monkeypatch.setenv("AWS_ENDPOINT_URL", mute)
    monkeypatch.setattr(preflight, "LEDGER_SECONDS", 1.0)
    with pytest.raises(TransientError, match="s3://ledgers/cifar10 gave no answer within 1 s"):
        check(tmp_path, ledger="s3://ledgers/cifar10")
