"""A run whose MLflow server goes away leaves nothing half done, and the next run completes it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlflow import MlflowClient

from tasks import store
from tasks.errors import RegistryUnreachableError
from tasks.ledger import Ledger
from tasks.machine import Machine, use
from tests.mlflow_server import MlflowServer
from tests.unit.register.test_registration import register

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]


class Line:
    """The line to a server.

    Attributes:
        requests_left: How many requests pass before it is cut; None means all.
        lost_answers: How paths of requests end whose answers are lost, once each.
    """

    def __init__(self, server: str) -> None:
        self._client = httpx.Client(base_url=server, timeout=60)
        self.requests_left: int | None = None
        self.lost_answers: list[str] = []
        line = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline()
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                answer = line._pass_on(self)
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *_: object) -> None:
                pass

        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._listener.server_address[1]}"

    def _pass_on(self, request: BaseHTTPRequestHandler) -> httpx.Response | None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        if self.requests_left == 0:
            return None
        if self.requests_left is not None:
            self.requests_left -= 1
        headers = {"Content-Type": request.headers.get("Content-Type", "application/json")}
        answer = self._client.request(request.command, request.path, content=body, headers=headers)
        for end in self.lost_answers:
            if request.path.endswith(end):
                self.lost_answers.remove(end)
                return None
        return answer

    @contextmanager
    def open(self) -> Iterator["Line"]:
        thread = threading.Thread(target=self._listener.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._listener.shutdown()
            thread.join()
            self._listener.server_close()
            self._client.close()


def recorded(client: MlflowClient, version: int) -> dict[str, Any]:
    """What people see of the last model."""
    model = client.get_registered_model("practice-cnn")
    found = client.get_model_version("practice-cnn", str(version))
    run = client.get_run(found.run_id)
    logged = client.get_logged_model(found.tags["logged_model_id"])
    (experiment,) = client.search_experiments(filter_string="name != 'Default'")
    running = client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
    return {
        "versions": len(client.search_model_versions("name = 'practice-cnn'")),
        "aliases": {alias: int(number) for alias, number in model.aliases.items()},
        "verdict": found.tags["verdict"],
        "source": found.source,
        "run": (run.info.status, run.data.metrics["test_accuracy"], len(run.inputs.dataset_inputs)),
        "figures": {(metric.key, metric.dataset_name) for metric in logged.metrics or ()}
        >= {("loss", "synthetic"), ("test_accuracy", "synthetic-test")},
        "running": len(running),
    }


@pytest.fixture
def line(empty_server: MlflowServer, tmp_path: Path) -> Iterator[Line]:
    """A line to an empty server, and an empty store that is the current one."""
    with Line(empty_server.uri).open() as line, use(Machine(store=tmp_path / "store", tracking_uri=line.uri)):
        yield line


def lost_in(accuracy: float, name: str) -> RegistryUnreachableError | None:
    """How a registration ended whose server may go away; None where it went through."""
    try:
        register(accuracy, name)
    except RegistryUnreachableError as error:
        return error
    return None


def test_a_server_that_goes_away_at_any_request_leaves_nothing_half_done(
    line: Line, empty_server: MlflowServer
) -> None:
    client = MlflowClient(empty_server.uri, empty_server.uri)
    ledger = Ledger(store.current().folder("ledger", "practice-cnn"))
    for passed in range(100):
        number, accuracy, name = passed + 1, 0.5 + 0.01 * passed, f"{passed:02x}"
        line.requests_left = passed
        lost = lost_in(accuracy, name)
        if lost is None:
            break
        assert line.uri in str(lost)
        line.requests_left = None
        register(accuracy, name)
        assert (len(ledger.entries()), ledger.entries()[-1].version) == (number, number)
        previous = {"previous": passed} if passed else {}
        assert recorded(client, number) == {
            "versions": number,
            "aliases": {"champion": number, "challenger": number, **previous},
            "verdict": "promoted",
            "source": f"store:/{ledger.entries()[-1].model_digest}",
            "run": ("FINISHED", pytest.approx(accuracy), 2),
            "figures": True,
            "running": 0,
        }
    assert passed > 15, "the run made fewer requests than it needs"


def test_an_answer_that_is_lost_makes_no_second_version(line: Line, empty_server: MlflowServer) -> None:
    line.lost_answers = ["model-versions/create"]
    with pytest.raises(RegistryUnreachableError):
        register(0.5, "a")
    assert not line.lost_answers
    assert register(0.5, "a").version == 1
    client = MlflowClient(empty_server.uri, empty_server.uri)
    assert len(client.search_model_versions("name = 'practice-cnn'")) == 1
