"""One server for all tests here, with everything deployed as the files have it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of its clients."""
    with servers.server(tmp_path_factory.mktemp("prefect")) as environ:
        (Path(environ["PREFECT_HOME"]) / "drops").mkdir()
        yield environ | {"RETRAINING_DROPS": str(Path(environ["PREFECT_HOME"]) / "drops")}


@pytest.fixture(scope="session")
def deployed(server: dict[str, str]) -> dict[str, str]:
    """The same, after the first deployment."""
    servers.python(server, "deployments.apply", "--device", "auto")
    return server
