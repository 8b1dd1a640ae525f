"""Deployments, by Prefect's own command: what it would undo of a person's is put into the file first."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import PREFECT_API_URL

from deployments.errors import DeployError
from deployments.rendering import ROOT

TAG = "cifar10"
"""All of the project's deployments have it, and their runs by them."""

COMPARED: dict[str, Any] = {
    "concurrency_options": True,
    "description": True,
    "enforce_parameter_schema": True,
    "entrypoint": True,
    "global_concurrency_limit": {"limit"},
    "job_variables": True,
    "parameter_openapi_schema": True,
    "parameters": True,
    "paused": True,
    "pull_steps": True,
    "tags": True,
    "work_pool_name": True,
    "work_queue_name": True,
}


class Deployed(NamedTuple):
    """What became of a deployment."""

    name: str
    outcome: Literal["created", "updated", "unchanged", "skipped"]
    note: str = ""


def deploy(client: SyncPrefectClient, content: dict[str, Any], environ: Mapping[str, str]) -> Iterator[Deployed]:
    """Bring the content of `prefect.yaml` to the server.

    Args:
        client: Of the server.
        content: Of the file, with everything filled in.
        environ: That of Prefect's command.

    Raises:
        DeployError: if Prefect's command fails.
    """
    names = [f"{load_flow_from_entrypoint(item['entrypoint']).name}/{item['name']}" for item in content["deployments"]]
    before = {name: _read(client, name) for name in names}
    for name, item in zip(names, content["deployments"], strict=True):
        _keep_switches(item, before[name])
    _run(content, environ)
    for name, item in zip(names, content["deployments"], strict=True):
        slugs = {schedule["slug"] for schedule in item.get("schedules", ())}
        after = client.read_deployment_by_name(name)
        for schedule in after.schedules:
            # Prefect's command leaves a schedule that is no longer in the file.
            if schedule.slug not in slugs:
                client.delete_deployment_schedule(after.id, schedule.id)
        after = client.read_deployment_by_name(name)
        yield _compared(name, before[name], after)
    yield from (
        Deployed(name, "skipped", f"not in the file any more; prefect deployment delete {name}")
        for name in sorted(_others(client) - set(names))
    )


def _read(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None


def _keep_switches(item: dict[str, Any], found: DeploymentResponse | None) -> None:
    """Let the file say of each schedule what the server says: Prefect's command would set it back."""
    active = {schedule.slug: schedule.active for schedule in found.schedules} if found is not None else {}
    item["schedules"] = [
        {**schedule, "active": active.get(schedule["slug"], schedule["active"])}
        for schedule in item.get("schedules", ())
    ]


def _run(content: dict[str, Any], environ: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prefect.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--prefect-file", str(path), "--all"],
            # Entrypoints are module paths from the checkout.
            cwd=ROOT,
            env={**environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip(" │╭╮╰╯─")]
        raise DeployError(f"`prefect deploy` ended with {done.returncode}: {' '.join(said[-3:])}")


def _compared(name: str, before: DeploymentResponse | None, after: DeploymentResponse) -> Deployed:
    off = [str(schedule.slug) for schedule in after.schedules if not schedule.active]
    note = f"schedule {', '.join(off)} is off" if off else ""
    if after.paused:
        note = "paused"
    if before is None:
        return Deployed(name, "created", note)
    return Deployed(name, "unchanged" if _essence(before) == _essence(after) else "updated", note)


def _essence(deployment: DeploymentResponse) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    schedules = [
        schedule.model_dump(mode="json", include={"slug", "schedule", "active", "parameters"})
        for schedule in sorted(deployment.schedules, key=lambda schedule: str(schedule.slug))
    ]
    return deployment.model_dump(mode="json", include=COMPARED), schedules


def _others(client: SyncPrefectClient) -> set[str]:
    """The project's deployments on the server, as `flow/name`."""
    found = [deployment for deployment in client.read_deployments(limit=200) if TAG in deployment.tags]
    return {f"{client.read_flow(deployment.flow_id).name}/{deployment.name}" for deployment in found}
