"""The compose file's services, started as processes: do they come up, ask for passwords, and find one another?"""

from collections.abc import Iterator

import httpx
import psutil
import pytest

from deployments import pools
from tests import compose_processes, servers
from tests.compose_processes import Processes
from tests.processes import wait_for

pytestmark = pytest.mark.service

SEARCH = "api/2.0/mlflow/experiments/search"


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with compose_processes.running(tmp_path_factory.mktemp("service")) as started:
        yield started


def test_prefects_server_asks_for_the_password(processes: Processes) -> None:
    unknown = {"PREFECT_API_URL": processes.prefect_url}
    wrong = unknown | {"PREFECT_API_AUTH_STRING": "admin:no"}
    clients = (unknown, wrong, processes.client)
    answers = [servers.request(client, "POST", "/flow_runs/filter", {}).status_code for client in clients]
    assert answers == [401, 401, 200]
    settings = httpx.get(processes.prefect_url.replace("/api", "/ui-settings"), timeout=30).json()
    assert (settings["auth"], settings["api_url"]) == ("BASIC", processes.prefect_url)


def test_mlflow_answers_to_its_own_names_and_pages(processes: Processes) -> None:
    url = f"{processes.mlflow_url}/{SEARCH}"
    body = {"max_results": 1}
    assert httpx.post(url, json=body, timeout=30).status_code == 200
    assert httpx.post(url, json=body, timeout=30, headers={"Host": "elsewhere.example"}).status_code == 403
    assert httpx.post(url, json=body, timeout=30, headers={"Origin": "https://elsewhere.example"}).status_code == 403


@pytest.mark.parametrize("kind", pools.KINDS)
def test_the_server_takes_the_pools_of_a_kind(processes: Processes, kind: pools.Kind) -> None:
    for pool in pools.load(kind):
        body = {"name": f"{kind}-{pool.name}", "type": kind, "base_job_template": pool.template}
        servers.post(processes.client, "/work_pools/", body)


def test_a_worker_finds_its_pool_and_ends_when_asked_to(processes: Processes) -> None:
    pool = next(pool for pool in pools.load("process") if pool.name == "cpu")
    body = {"name": pool.name, "type": pool.kind, "base_job_template": pool.template}
    servers.post(processes.client, "/work_pools/", body)
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
