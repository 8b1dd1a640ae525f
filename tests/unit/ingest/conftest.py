"""What the tests of ingest share."""

import pytest

from tasks.ingest.pace import Timings

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
