"""A real HTTP server in a thread that serves one file, with faults in the order that a test writes down."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PIECE_BYTES = 4096


@dataclass(frozen=True)
class Answer:
    """How one request is answered; as it stands, properly."""

    status: int | None = None
    """This status and no file."""
    body: bytes | None = None
    """These bytes instead of the file."""
    ignores_range: bool = False
    says_length: bool = True
    cut_after: int | None = None
    """Close the connection after so many bytes."""
    pause_seconds: float = 0.0
    """Wait so long after each piece."""
    hangs: bool = False
    """Send nothing more after `cut_after` bytes, and keep the connection."""
    silent: bool = False
    """Take the request and answer nothing at all."""
    content_type: str = "application/gzip"
    etag: str | None = '"v1"'


@dataclass
class Host:
    """What a test knows of its server."""

    body: bytes
    answers: list[Answer]
    always: Answer
    port: int = 0
    requests: list[dict[str, str]] = field(default_factory=list)
    """The headers of each request."""
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/tiny.tar.gz"

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def ranges(self) -> list[str | None]:
        return [headers.get("range") for headers in self.requests]


@contextmanager
def serving(body: bytes, *answers: Answer, always: Answer | None = None) -> Iterator[Host]:
    """Serve `body`: the first requests as `answers` say, all further ones as `always` says."""
    host = Host(body, list(answers), always or Answer())
    server = _Server(("127.0.0.1", 0), _handler(host))
    host.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        host.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news here."""


def _handler(host: Host) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            host.requests.append({name.lower(): value for name, value in self.headers.items()})
            answer = host.answers.pop(0) if host.answers else host.always
            self.close_connection = True
            if answer.silent:
                host.stopped.wait(10)
                return
            if answer.status is not None:
                self.send_response(answer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._send(answer, host.body if answer.body is None else answer.body)

        def _send(self, answer: Answer, body: bytes) -> None:
            start = self._start(answer)
            self.send_response(206 if start else 200)
            self.send_header("Content-Type", answer.content_type)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            if answer.says_length:
                self.send_header("Content-Length", str(len(body) - start))
            if answer.etag:
                self.send_header("ETag", answer.etag)
            self.send_header("Connection", "close")
            self.end_headers()
            data = body[start:] if answer.cut_after is None else body[start : start + answer.cut_after]
            for offset in range(0, len(data), PIECE_BYTES):
                self.wfile.write(data[offset : offset + PIECE_BYTES])
                if answer.pause_seconds:
                    host.stopped.wait(answer.pause_seconds)
            if answer.hangs:
                self.wfile.flush()
                host.stopped.wait(10)

        def _start(self, answer: Answer) -> int:
            wanted = self.headers.get("Range")
            condition = self.headers.get("If-Range")
            if wanted is None or answer.ignores_range or (condition is not None and condition != answer.etag):
                return 0
            return int(wanted.removeprefix("bytes=").partition("-")[0])

    return Handler
