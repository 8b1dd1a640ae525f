"""What a Docker engine is asked for: as much of its API as a worker needs to create a container."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

API_VERSION = "1.44"


class RecordingEngine(ThreadingHTTPServer):
    """An engine that creates nothing and keeps the bodies of requests for containers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.containers: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """What `DOCKER_HOST` is to be."""
        return f"tcp://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: RecordingEngine

    def do_GET(self) -> None:
        if self.path.endswith("/version"):
            self._answer(200, {"Version": "28.2.2", "ApiVersion": API_VERSION})
        else:  # the container that was created
            self._answer(200, {"Id": "0" * 64, "Name": "/created", "State": {"Status": "created"}, "Config": {}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.containers.append(body)
        self._answer(201, {"Id": "0" * 64, "Warnings": []})

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def recording() -> Iterator[RecordingEngine]:
    """An engine for the time of the block."""
    with RecordingEngine() as engine:
        Thread(target=engine.serve_forever, daemon=True).start()
        try:
            yield engine
        finally:
            engine.shutdown()
