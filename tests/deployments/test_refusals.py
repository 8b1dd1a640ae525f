"""What cannot be is one line, before any server is started or asked."""

from pathlib import Path

import pytest

from tests import servers
from tests.processes import without_settings


@pytest.mark.parametrize("port", ["0", "99999"])
def test_a_port_that_there_cannot_be(tmp_path: Path, port: str) -> None:
    done = servers.call(environment(tmp_path), "deployments.dashboard", "--port", port)
    assert done.returncode == 2
    assert done.stdout.splitlines() == [f"--port is {port}; expected a number from 1 to 65535."]
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        ("prefect-server/dashboard.lock/file", "dashboard.lock cannot be locked: "),
        # The place for drops, where something else stands.
        ("drops", "drops cannot be made: File exists. Does RETRAINING_STORE name a folder?"),
    ],
)
def test_a_store_that_cannot_be_used(tmp_path: Path, taken: str, said: str) -> None:
    (tmp_path / taken).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / taken).touch()
    done = servers.call(environment(tmp_path), "deployments.dashboard")
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert said in line
    assert done.stderr == ""


@pytest.mark.parametrize("url", ["http://127.0.0.1:abc/api", "127.0.0.1"])
def test_an_address_that_is_none(tmp_path: Path, url: str) -> None:
    done = servers.call(environment(tmp_path) | {"PREFECT_API_URL": url}, "deployments.apply")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"No Prefect server answers at {url}: ")


def environment(store: Path) -> dict[str, str]:
    """Without the settings of whoever runs the tests."""
    return without_settings() | {"RETRAINING_STORE": str(store)}
