"""The compose file's services, started as processes: do they come up, ask for passwords, and find one another?"""

from collections.abc import Iterator

import httpx
import psutil
import pytest

from deployments import pools
from tests import compose_processes
from tests.compose_processes import Processes
from tests.processes import wait_for

pytestmark = pytest.mark.service

SEARCH = "api/2.0/mlflow/experiments/search"


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with compose_processes.running(tmp_path_factory.mktemp("service")) as started:
        yield started


def test_prefects_server_asks_for_the_password(processes: Processes) -> None:
    url = f"{processes.prefect_url}/flow_runs/filter"
    answers = [httpx.post(url, json={}, auth=auth).status_code for auth in (None, ("admin", "no"), processes.auth)]
    assert answers == [401, 401, 200]
    settings = httpx.get(processes.prefect_url.replace("/api", "/ui-settings")).json()
    assert (settings["auth"], settings["api_url"]) == ("BASIC", processes.prefect_url)


def test_mlflow_answers_to_its_own_names_and_pages(processes: Processes) -> None:
    url = f"{processes.mlflow_url}/{SEARCH}"
    body = {"max_results": 1}
    assert httpx.post(url, json=body).status_code == 200
    assert httpx.post(url, json=body, headers={"Host": "elsewhere.example"}).status_code == 403
    assert httpx.post(url, json=body, headers={"Origin": "https://elsewhere.example"}).status_code == 403


@pytest.mark.parametrize("kind", pools.KINDS)
def test_the_server_takes_the_pools_of_a_kind(processes: Processes, kind: pools.Kind) -> None:
    with httpx.Client(base_url=processes.prefect_url, auth=processes.auth) as client:
        for pool in pools.load(kind):
            body = {"name": f"{kind}-{pool.name}", "type": kind, "base_job_template": pool.template}
            answer = client.post("/work_pools/", json=body)
            assert answer.status_code == 201, answer.text


def test_a_worker_finds_its_pool_and_ends_when_asked_to(processes: Processes) -> None:
    pool = next(pool for pool in pools.load("process") if pool.name == "cpu")
    body = {"name": pool.name, "type": pool.kind, "base_job_template": pool.template}
    httpx.post(f"{processes.prefect_url}/work_pools/", json=body, auth=processes.auth).raise_for_status()
    worker = processes.worker("worker-cpu", "one")
    worker.wait()
    wait_for(lambda: "Worker 'one' started!" in worker.log, lambda: worker.process.poll() is None)
    worker.stop()
    assert worker.process.returncode == 0, worker.log


def test_no_command_line_has_a_password(processes: Processes) -> None:
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert any("mlflow server" in line for line in lines)
    secrets = [secret.split(":")[-1] for secret in processes.given.values()]
    assert not [line for line in lines if any(secret in line for secret in secrets)]
