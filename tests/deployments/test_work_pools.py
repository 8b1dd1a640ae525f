"""The jobs that workers make of the pools' templates, rendered by the workers' own code: no cluster, no engine."""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import docker
import kubernetes_validate
import pytest
import yaml
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.utilities.schema_tools.validation import validate
from prefect.workers.base import BaseJobConfiguration
from prefect.workers.process import ProcessJobConfiguration
from prefect_docker.worker import DockerWorker, DockerWorkerJobConfiguration
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

from deployments import pools
from deployments.check import FOLDER
from deployments.pools import KINDS, Kind
from tests import docker_engine
from tests.docker_engine import RecordingEngine

CONFIGURATIONS: dict[Kind, type[BaseJobConfiguration]] = {
    "process": ProcessJobConfiguration,
    "docker": DockerWorkerJobConfiguration,
    "kubernetes": KubernetesWorkerJobConfiguration,
}
TELEMETRY_OFF = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
}
ON_S3 = {"store": "s3://retraining/store", "mlflow_tracking_uri": "http://mlflow:5000"}
WORKERS_HOME = Path("/home/of/the/worker")
PLANTED = "admin:a-planted-password"
CLAIM = {
    "store": "/srv/store",
    "store_volume": {"name": "store", "persistentVolumeClaim": {"claimName": "retraining-store"}},
    "store_mount": {"name": "store", "mountPath": "/srv"},
}


@pytest.fixture(autouse=True)
def worker_settings() -> Iterator[None]:
    """A worker hands its own settings on to its jobs."""
    places = {PREFECT_API_URL: "http://prefect:4200/api", PREFECT_HOME: WORKERS_HOME}
    with temporary_settings({**places, PREFECT_API_AUTH_STRING: PLANTED}):
        yield


@pytest.fixture(scope="module")
def engine() -> Iterator[RecordingEngine]:
    with docker_engine.recording() as running:
        yield running


def render(kind: Kind, pool: str, values: dict[str, Any]) -> Any:
    """The configuration as a worker has it before it starts a job."""
    template = next(item.template for item in pools.load(kind) if item.name == pool)
    configuration: Any = asyncio.run(
        CONFIGURATIONS[kind].from_template_and_values(base_job_template=template, values=values, client=cast(Any, None))
    )
    configuration.prepare_for_flow_run(FlowRun(id=uuid.uuid4(), flow_id=uuid.uuid4(), name="weekly 2026-11-21 seed 1"))
    return configuration


def job(pool: str, values: dict[str, Any]) -> dict[str, Any]:
    """The Kubernetes job, which fits Kubernetes' schema in its strict form."""
    manifest: dict[str, Any] = render("kubernetes", pool, values).job_manifest
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    return manifest


def pod(pool: str, values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The job's pod and its one container."""
    spec = job(pool, values)["spec"]["template"]["spec"]
    return spec, spec["containers"][0]


def container(engine: RecordingEngine, pool: str, values: dict[str, Any]) -> dict[str, Any]:
    """What the Docker engine is asked to create."""
    worker = DockerWorker(work_pool_name=pool)
    client = docker.DockerClient(base_url=engine.url, version=docker_engine.API_VERSION)
    settings = worker._build_container_settings(client, render("docker", pool, values))
    worker._create_container(client, **settings)
    client.close()
    return engine.containers[-1]


def environment(kind: Kind, pool: str, values: dict[str, Any]) -> dict[str, str]:
    """The environment variables that a job has of its own."""
    if kind == "kubernetes":
        return {item["name"]: item["value"] for item in pod(pool, values)[1]["env"]}
    return dict(render(kind, pool, values).env)


def test_the_gpu_pools_job_on_kubernetes() -> None:
    spec, container = pod("gpu", ON_S3)
    assert container["resources"]["limits"] == {
        "cpu": "8",
        "memory": "16Gi",
        "ephemeral-storage": "50Gi",
        "nvidia.com/gpu": 1,
    }
    assert container["resources"]["requests"] == {"cpu": "4", "memory": "16Gi", "ephemeral-storage": "50Gi"}
    assert spec["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}} in spec["volumes"]
    assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
    assert container["image"] == "cifar10-retraining:gpu"
    assert container["workingDir"] == "/opt/retraining"
    assert container["args"] == ["prefect", "flow-run", "execute"]


def test_the_cpu_pools_job_on_kubernetes_asks_for_no_gpu() -> None:
    spec, container = pod("cpu", ON_S3)
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert not {"nodeSelector", "tolerations"} & spec.keys()
    assert container["image"] == "cifar10-retraining:cpu"
    names = {item["name"] for item in container["env"]}
    assert not {"RETRAINING_GPU_SLOT", "RETRAINING_NUM_DEVICES"} & names


@pytest.mark.parametrize("pool", ["gpu", "cpu"])
def test_a_store_in_a_claim_is_mounted_and_one_on_s3_is_not(pool: str) -> None:
    spec, container = pod(pool, CLAIM)
    assert CLAIM["store_volume"] in spec["volumes"]
    assert {"name": "store", "mountPath": "/srv"} in container["volumeMounts"]

    spec, container = pod(pool, ON_S3)
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]} == {"scratch", "shm"}
    assert next(item["value"] for item in container["env"] if item["name"] == "RETRAINING_CACHE") == "/scratch/cache"


def test_a_job_on_kubernetes_is_run_once_and_may_do_little() -> None:
    manifest = job("gpu", ON_S3)
    spec = manifest["spec"]
    # Retries are Prefect's: it runs a flow twice at once where Kubernetes retries as well (PrefectHQ/prefect#12509).
    assert (spec["backoffLimit"], spec["completions"], spec["parallelism"]) == (0, 1, 1)
    assert (spec["ttlSecondsAfterFinished"], spec["activeDeadlineSeconds"]) == (86400, 86400)
    assert manifest["metadata"]["namespace"] == "retraining"
    pod = spec["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 120
    assert (pod["restartPolicy"], pod["automountServiceAccountToken"]) == ("Never", False)
    assert pod["securityContext"]["runAsNonRoot"] is True
    container = pod["containers"][0]["securityContext"]
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_secrets_come_from_kubernetes_and_are_not_in_the_job() -> None:
    manifest = job("gpu", ON_S3)
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    # Optional: without it the run starts and says what it misses, instead of waiting for it.
    assert container["envFrom"] == [{"secretRef": {"name": "retraining", "optional": True}}]
    assert PLANTED not in str(manifest)


def test_the_gpu_pools_container(engine: RecordingEngine) -> None:
    body = container(engine, "gpu", {**ON_S3, "store_volume": "retraining-store:/srv/store"})
    host = body["HostConfig"]
    assert [(item["Driver"], item["Count"], item["Capabilities"]) for item in host["DeviceRequests"]] == [
        ("nvidia", 1, [["gpu"]])
    ]
    assert host["ShmSize"] == 2**30
    assert host["Memory"] == host["MemorySwap"] == 16 * 2**30
    assert host["NanoCpus"] == 4_000_000_000
    assert host["Binds"] == [
        "retraining-store:/srv/store",
        "retraining-cache:/srv/cache",
        "/etc/retraining/secrets:/run/secrets:ro",
    ]
    assert (body["User"], body["WorkingDir"]) == ("10001:10001", "/opt/retraining")
    assert (host["CapDrop"], host["SecurityOpt"], host["Init"]) == (["ALL"], ["no-new-privileges:true"], True)
    # The engine says of a container that it has removed neither how it ended nor why.
    assert not host.get("AutoRemove")
    assert "AWS_SHARED_CREDENTIALS_FILE=/run/secrets/aws" in body["Env"]


def test_the_cpu_pools_container_asks_for_no_gpu_and_with_s3_for_no_store(engine: RecordingEngine) -> None:
    host = container(engine, "cpu", ON_S3)["HostConfig"]
    assert not host.get("DeviceRequests")
    # So many short runs that what they leave would fill the disk.
    assert host["AutoRemove"] is True
    assert [bind.split(":")[1] for bind in host["Binds"]] == ["/srv/cache", "/run/secrets"]


def test_a_process_hides_the_gpus_from_the_cpu_pool_and_inherits_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    gpu, cpu = (environment("process", pool, {"working_dir": "/opt/retraining"}) for pool in ("gpu", "cpu"))
    assert (gpu["CUDA_VISIBLE_DEVICES"], cpu["CUDA_VISIBLE_DEVICES"]) == ("0", "")
    assert gpu["AWS_SECRET_ACCESS_KEY"] == "planted"


@pytest.mark.parametrize("kind", KINDS)
def test_every_job_variable_of_a_deployment_reaches_the_job(kind: Kind) -> None:
    file = yaml.safe_load((FOLDER / "prefect.yaml").read_text())
    assert file["deployments"]
    for deployment in file["deployments"]:
        pool = deployment["work_pool"]
        values = {name: f"/given/for/{name}" for name in pool["job_variables"]} | {"device": "cpu"}
        # The folder of a process has to be there.
        values["working_dir"] = str(Path.cwd())
        configuration = render(kind, pool["name"], values)
        rendered = configuration.model_dump_json()
        for name in pool["job_variables"]:
            assert f'"{values[name]}"' in rendered, f"{deployment['name']}: {name}"


@pytest.mark.parametrize("kind", KINDS)
def test_what_all_kinds_share_becomes_the_same_environment(kind: Kind) -> None:
    values = {
        "store": "s3://bucket/store",
        "cache": "/cache",
        "ledger": "s3://bucket/ledger",
        "mlflow_tracking_uri": "https://mlflow.example",
        "reports_url": "https://reports.example",
        "device": "auto",
        "backend": "jax",
        "gpu_slot": "gpu",
        "gpu_count": 2,
    }
    found = environment(kind, "gpu", values)
    assert (
        found.items()
        >= {
            "RETRAINING_STORE": "s3://bucket/store",
            "RETRAINING_CACHE": "/cache",
            "RETRAINING_LEDGER": "s3://bucket/ledger",
            "RETRAINING_DEVICE": "auto",
            "RETRAINING_BACKEND": "jax",
            "RETRAINING_GPU_SLOT": "gpu",
            "RETRAINING_NUM_DEVICES": "2",
            "MLFLOW_TRACKING_URI": "https://mlflow.example",
            "RETRAINING_REPORTS_URL": "https://reports.example",
            **TELEMETRY_OFF,
        }.items()
    )


@pytest.mark.parametrize(("kind", "home"), [("docker", "/var/lib/prefect"), ("kubernetes", "/scratch/prefect")])
def test_a_container_keeps_prefects_files_in_a_folder_of_its_own(kind: Kind, home: str) -> None:
    # Without, it would be given the worker's, which is not there.
    assert environment(kind, "cpu", ON_S3)["PREFECT_HOME"] == home


@pytest.mark.parametrize("kind", KINDS)
def test_every_variable_is_explained_and_bounded(kind: Kind) -> None:
    for name, field in pools.load(kind)[0].template["variables"]["properties"].items():
        assert field["title"], name
        assert field["description"].endswith("."), name
        bounds = {"pattern", "not", "enum", "minLength", "minimum", "items", "properties", "additionalProperties"}
        assert field["type"] == "boolean" or bounds & field.keys(), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "values",
    [
        {"mlflow_tracking_uri": "https://jane:secret@mlflow.example"},  # it would stand on the dashboard
        {"store": "store"},
        {"store": ""},
        {"gpu_count": 0},
        {"stroe": "/srv/store"},
    ],
)
def test_the_server_refuses_a_deployment_with(kind: Kind, values: dict[str, Any]) -> None:
    assert validate(values, pools.load(kind)[0].template["variables"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("store", "s3://key:hunter2@bucket/store"),
        ("ledger", "s3://bucket/ledger?X-Amz-Signature=hunter2"),
        ("mlflow_tracking_uri", "postgresql://mlflow:hunter2@host/mlflow"),
    ],
)
def test_no_address_may_let_somebody_in(kind: Kind, variable: str, value: str) -> None:
    for pool in pools.load(kind):
        problems = validate({variable: value}, pool.template["variables"], raise_on_error=False)
        assert [list(problem.path) for problem in problems] == [[variable]]
        without = value.replace(":hunter2", "").replace("key@", "").split("?")[0]
        assert validate({variable: without}, pool.template["variables"], raise_on_error=False) == []
