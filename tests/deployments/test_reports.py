"""The server of reports over a real store, in a folder and in a bucket."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import httpx
import pytest

from deployments import reports
from tasks import machine, store
from tasks.machine import Machine
from tasks.store import Store
from tests import servers
from tests.processes import free_port

RUN = "0199f1c2-5d5e-7b70-9c3f-2b6f8a1d4e90"
PAGE = "<!DOCTYPE html><title>Überblick</title>"


@contextmanager
def served(opened: Store) -> Iterator[httpx.Client]:
    with reports.ReportServer(("127.0.0.1", 0), opened.shared("runs")) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", trust_env=False) as client:
            yield client
        server.shutdown()


@pytest.fixture(params=["folder", "bucket"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    bucket = request.getfixturevalue("bucket").address if request.param == "bucket" else None
    with machine.use(Machine(store=tmp_path / "store", bucket=bucket)):
        yield store.current()


@pytest.fixture
def opened_folder(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_what_a_run_leaves_is_read_by_its_id(opened: Store) -> None:
    runs = opened.shared("runs")
    opened.folder("runs", RUN)
    for name, text in (("report.html", PAGE), ("label_issues.csv", "index,label\n"), ("summary.json", "{}")):
        runs.write(f"{RUN}/{name}", text)
    with served(opened) as client:
        page = client.get(f"/{RUN}/report.html")
        assert (page.status_code, page.text) == (200, PAGE)
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert client.get(f"/{RUN}/label_issues.csv").headers["Content-Type"] == "text/csv; charset=utf-8"
        assert client.get(f"/{RUN}/summary.json").json() == {}
        head = client.head(f"/{RUN}/report.html")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == str(len(PAGE.encode()))
        # A page that was written again while its run waited.
        runs.write(f"{RUN}/report.html", "again")
        assert client.get(f"/{RUN}/report.html").text == "again"
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        f"/{RUN}",
        f"/{RUN}/",
        f"/{RUN}/.hidden",
        f"/{RUN}/../../ledger/entry.json",
        f"/{RUN}/%2e%2e/%2e%2e/ledger/entry.json",
        f"/{RUN}/..%2fother.html",
        "/../ledger/entry.json",
        "//ledger/entry.json",
        "/ledger/entry.json",
    ],
)
def test_nothing_else_of_the_store_is_read_and_nothing_is_listed(opened_folder: Store, path: str) -> None:
    (opened_folder.folder("ledger") / "entry.json").write_text("kept")
    (opened_folder.folder("runs", RUN) / ".hidden").write_text("kept")
    opened_folder.shared("runs").write("other.html", "kept")
    with served(opened_folder) as client, socket.create_connection(("127.0.0.1", client.base_url.port or 0)) as raw:
        # As it is written: a client of HTTP would resolve the dots.
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(4096), b"")).decode()
    assert answer.startswith("HTTP/1.1 404 ")
    assert answer.endswith("The report of a run is at /RUN_ID/report.html.\n")


def test_a_run_that_is_not_there_is_named(opened: Store) -> None:
    place = opened.shared("runs").place(RUN, "report.html")
    with served(opened) as client:
        answer = client.get(f"/{RUN}/report.html")
    assert answer.status_code == 404
    assert answer.text == f"{place} is not there: no such run, or it was pruned.\n"


def test_a_store_that_cannot_be_read_is_told_of_and_the_server_goes_on(opened_folder: Store) -> None:
    # A folder where the page should be.
    (opened_folder.folder("runs", RUN) / "report.html").mkdir()
    opened_folder.shared("runs").write(f"{RUN}/summary.json", "{}")
    with served(opened_folder) as client:
        answer = client.get(f"/{RUN}/report.html")
        assert answer.status_code == 503
        assert answer.text.startswith("The store cannot be read: ")
        assert client.get(f"/{RUN}/summary.json").status_code == 200


@pytest.mark.usefixtures("s3_environment")
def test_a_bucket_that_does_not_answer_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with machine.use(Machine(store=tmp_path / "cache", bucket="s3://team/gone")):
        opened = store.current()
    with served(opened) as client:
        answer = client.get(f"/{RUN}/report.html", timeout=60)
    assert answer.status_code == 503
    assert "s3://team/gone" in answer.text


def test_the_command_line_says_where_and_what_is_wrong(tmp_path: Path) -> None:
    environ = {"RETRAINING_STORE": str(tmp_path / "store")}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = servers.call(environ, "deployments.reports", "--port", str(port))
    assert done.returncode == 1
    assert done.stdout.startswith(f"127.0.0.1:{port} is not to be had: ")
    assert done.stdout.count("\n") == 1
    done = servers.call({"RETRAINING_STORE": "ftp://host/store"}, "deployments.reports")
    assert done.returncode == 2
    assert "RETRAINING_STORE is 'ftp://host/store'" in done.stdout
