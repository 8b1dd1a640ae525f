"""The workers' manifests against Kubernetes' schema, and against what the pools' template asks of a namespace."""

from typing import Any

import kubernetes_validate
import pytest
import yaml
from prefect_kubernetes.settings import KubernetesSettings

from deployments import pools
from deployments.check import FOLDER

MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((FOLDER / "kubernetes" / "worker.yaml").read_text()))
WORKERS = [manifest for manifest in MANIFESTS if manifest["kind"] == "Deployment"]


def default(variable: str) -> Any:
    """A default of the Kubernetes pools."""
    return pools.read_template("kubernetes")["variables"]["properties"][variable]["default"]


def container(worker: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = worker["spec"]["template"]["spec"]["containers"][0]
    return found


@pytest.mark.parametrize(
    "manifest", MANIFESTS, ids=lambda manifest: f"{manifest['kind']}-{manifest['metadata']['name']}"
)
def test_a_manifest_fits_the_schema_and_is_in_the_pools_namespace(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    metadata = manifest["metadata"]
    assert metadata.get("namespace", metadata["name"]) == default("namespace")


def test_each_pool_has_a_worker_of_its_kind() -> None:
    commands = [[*container(worker)["command"], *container(worker)["args"]] for worker in WORKERS]
    assert [command[command.index("--pool") + 1] for command in commands] == [
        pool.name for pool in pools.load("kubernetes")
    ]
    assert all(command[command.index("--type") + 1] == "kubernetes" for command in commands)


def test_a_worker_takes_its_password_from_the_secret_of_the_jobs() -> None:
    for worker in WORKERS:
        by_name = {item["name"]: item for item in container(worker)["env"]}
        reference = by_name["PREFECT_API_AUTH_STRING"]["valueFrom"]["secretKeyRef"]
        assert reference == {"name": default("secret"), "key": "PREFECT_API_AUTH_STRING"}
        assert not [item for name, item in by_name.items() if "AUTH" in name and "value" in item]


def test_a_worker_watches_the_one_namespace_that_its_role_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for worker in WORKERS:
        by_name = {item["name"]: item.get("value") for item in container(worker)["env"]}
        variable = "PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES"
        monkeypatch.setenv(variable, by_name[variable])
        assert KubernetesSettings().observer.namespaces == {default("namespace")}


def test_workers_are_not_root_and_are_bounded() -> None:
    for worker in WORKERS:
        pod = worker["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container(worker)["securityContext"]["allowPrivilegeEscalation"] is False
        assert container(worker)["resources"]["limits"].keys() == {"cpu", "memory"}
        assert container(worker)["livenessProbe"]["httpGet"]["path"] == "/health"
