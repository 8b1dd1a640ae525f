"""Serves the reports of a store, so that a browser opens them from the dashboard:

    python -m deployments.reports --help

`make dashboard` starts it, and so does the compose file. A page is found by its run's id alone, and nothing lists them:
who knows no run reads no report. It asks for no password; on more than the loopback have a proxy before it.
"""

import argparse
import logging
import mimetypes
import os
import re
import sys
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.markup import escape

from tasks import machine, store
from tasks.errors import PipelineError
from tasks.shared_folder import SharedFolder

DEFAULT_PORT = 4300
IDLE_SECONDS = 60
"""How long a browser may keep a connection open and say nothing."""

FILE = re.compile(r"/(?P<name>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/\w[\w.-]*)")
"""A run's id and the name of a file, which leads out of no folder."""

logger = logging.getLogger(__name__)


class ReportServer(ThreadingHTTPServer):
    """Answers `/RUN_ID/report.html`, and what else a run leaves beside it; `/health` as long as it listens.

    Args:
        address: Host and port; port 0 takes any that is free.
        runs: The store's folder `runs`.

    Raises:
        OSError: if the port is taken.
    """

    daemon_threads = True

    def __init__(self, address: tuple[str, int], runs: SharedFolder) -> None:
        super().__init__(address, _Handler)
        self.runs = runs


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        """Answer with a file, or a line that says why there is none."""
        status, content_type, body = self._answer(unquote(urlsplit(self.path).path))
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        # A report is written again while its run waits for a person.
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        """Into the log, in place of the terminal."""
        logger.debug(format, *arguments)

    def _answer(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        if path == "/health":
            return _text(HTTPStatus.OK, "It listens.")
        found = FILE.fullmatch(path)
        if found is None:
            return _text(HTTPStatus.NOT_FOUND, "The report of a run is at /RUN_ID/report.html.")
        name = found["name"]
        try:
            content = self.server.runs.read([name]).get(name)
        except (PipelineError, OSError) as error:
            logger.warning("%s cannot be read: %s", self.server.runs.place(name), error)
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, f"The store cannot be read: {error}")
        if content is None:
            place = self.server.runs.place(name)
            return _text(HTTPStatus.NOT_FOUND, f"{place} is not there: no such run, or it was pruned.")
        content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        if content_type.startswith("text/"):
            content_type += "; charset=utf-8"
        return HTTPStatus.OK, content_type, content


def _text(status: HTTPStatus, line: str) -> tuple[HTTPStatus, str, bytes]:
    return status, "text/plain; charset=utf-8", f"{line}\n".encode()


def main(arguments: Sequence[str]) -> int:
    """Serve the reports of the machine's store until Ctrl-C; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.reports",
        description="Serves the reports of the store at RETRAINING_STORE. With RETRAINING_REPORTS_URL set to its "
        "address, runs link to it.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="to listen on; %(default)s")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="%(default)s")
    chosen = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    try:
        with machine.use(machine.from_environment(os.environ)):
            runs = store.current().shared("runs")
        server = ReportServer((chosen.host, chosen.port), runs)
    except PipelineError as error:
        console.print(escape(str(error)), style="bold red")
        return 2
    except (OSError, OverflowError) as error:
        console.print(f"{chosen.host}:{chosen.port} is not to be had: {error}. Name another --port.", style="bold red")
        return 1
    console.print(
        f"Reports of {escape(runs.place())}: [bold]http://{chosen.host}:{server.server_port}[/]/RUN_ID/report.html"
    )
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
