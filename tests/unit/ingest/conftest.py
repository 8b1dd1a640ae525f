"""What the tests of ingest share."""

import logging
from collections.abc import Iterator

import pytest

from tasks.ingest.pace import Timings
from tests.unit.ingest.places import ENVIRONMENT, BucketPlace, started

QUICK = Timings(first_delay_seconds=0.0, report_seconds=0.0)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers of these tests are on this machine; a developer's proxy knows nothing of them."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def timings() -> Timings:
    """No real time passes between attempts."""
    return QUICK


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The URL of an S3 server on this machine."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of each request
    server, url = started()
    yield url
    server.stop()


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketPlace]:
    """An empty bucket, and the environment that leads there."""
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": s3_endpoint}.items():
        monkeypatch.setenv(name, value)
    place = BucketPlace(s3_endpoint)
    yield place
    place.destroy()
