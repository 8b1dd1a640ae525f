"""The deployments on a real Prefect server: does it start, and does a schedule create a run?

Both fail in silence or at the first request with the wrong versions of FastAPI and SQLAlchemy; see `pyproject.toml`.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cnn_model.recipes import catalogue
from deployments import pools

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a server's clients."""
    folder = tmp_path_factory.mktemp("prefect")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "RETRAINING_HOME": str(ROOT),
        "RETRAINING_STORE": str(folder / "store"),
        "RETRAINING_DEVICE": "auto",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environ, cwd=ROOT)
        try:
            wait_for_health(environ["PREFECT_API_URL"], process, folder / "server.log")
            yield environ
        finally:
            process.terminate()
            process.wait(timeout=30)


def wait_for_health(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def prefect(environ: dict[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def deployed(server: dict[str, str]) -> dict[str, str]:
    for pool in pools.load("process"):
        template = Path(server["PREFECT_HOME"]) / f"{pool.name}.json"
        template.write_text(json.dumps(pool.template))
        prefect(server, "work-pool", "create", pool.name, "--type", pool.kind, "--base-job-template", str(template))
    prefect(server, "deploy", "--prefect-file", "deployments/prefect.yaml", "--all")
    return server


def test_the_schedule_creates_runs(deployed: dict[str, str]) -> None:
    body = {
        "deployments": {"name": {"any_": ["retrain-weekly"]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    }
    for _ in range(120):
        runs = httpx.post(f"{deployed['PREFECT_API_URL']}/flow_runs/filter", json=body).json()
        if runs:
            break
        time.sleep(1)
    assert runs, "no run was scheduled within two minutes"
    assert runs[0]["parameters"]["train"] == {"recipe": "fast", "seed": "date", "max_model_age_days": 30}
    assert runs[0]["expected_start_time"][11:16] in ("02:00", "01:00"), "three in the morning in Zurich, in UTC"


def test_nonsense_in_the_form_is_refused_before_a_run_exists(deployed: dict[str, str]) -> None:
    url = deployed["PREFECT_API_URL"]
    deployment = httpx.get(f"{url}/deployments/name/retrain/retrain-manual").json()
    schema = deployment["parameter_openapi_schema"]
    assert schema["definitions"]["TrainConfig"]["properties"]["recipe"]["enum"] == list(catalogue.names())
    assert "form" not in schema["properties"]
    assert (schema["properties"]["force"]["type"], schema["properties"]["force"]["default"]) == ("boolean", False)
    body = {"parameters": {"source": "synthetic", "train": {"epochs": 0}}}
    answer = httpx.post(f"{url}/deployments/{deployment['id']}/create_flow_run", json=body)
    assert answer.status_code == 409
    assert "epochs" in answer.text


@pytest.mark.parametrize(
    ("flow", "parameters", "named"),
    [
        ("promote/promote-manual", {"version": 0, "reason": "because", "actor": "Jane"}, "version"),
        ("promote/promote-manual", {"version": 2, "reason": " ", "actor": "Jane"}, "reason"),
        ("rollback/rollback-manual", {"reason": "because"}, "actor"),
    ],
)
def test_a_promotion_without_reason_or_actor_is_refused_before_a_run_exists(
    deployed: dict[str, str], flow: str, parameters: dict[str, object], named: str
) -> None:
    url = deployed["PREFECT_API_URL"]
    deployment = httpx.get(f"{url}/deployments/name/{flow}").json()
    fields = deployment["parameter_openapi_schema"]["properties"]
    assert all(field["description"] for field in fields.values())
    answer = httpx.post(f"{url}/deployments/{deployment['id']}/create_flow_run", json={"parameters": parameters})
    assert answer.status_code == 409
    assert named in answer.text
