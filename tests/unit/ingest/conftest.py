"""What the tests of ingest share."""

from collections.abc import Iterator

import pytest

from tasks.ingest.pace import Timings
from tests.unit.ingest.places import BucketPlace

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


@pytest.fixture
def bucket(s3_endpoint: str, s3_environment: None) -> Iterator[BucketPlace]:
    """An empty bucket, and the environment that leads there."""
    place = BucketPlace(s3_endpoint)
    yield place
    place.destroy()
