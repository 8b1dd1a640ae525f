"""Finds mistakes in `prefect.yaml`, work pools and automations without a server: `python -m deployments.check`.

Prefect itself ignores keys and parameters that it does not know, so a mistyped one deploys happily and does nothing.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import yaml
from prefect import Flow
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import MissingFlowError, ParameterBindError, ParameterTypeError, SignatureMismatchError
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.schema_tools.validation import validate
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments import automation_files, pools, rendering
from deployments.pools import Kind, Pool

FOLDER = Path(__file__).parent


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Schedule(_Strict):
    """When a deployment runs by itself."""

    slug: str
    cron: str
    timezone: str
    active: bool
    parameters: dict[str, Any] = Field(default_factory=dict)


class ConcurrencyLimit(_Strict):
    """How many runs of a deployment there may be at once, and what happens to one more."""

    limit: int = Field(ge=1)
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"]


class WorkPool(_Strict):
    """Where a deployment runs."""

    name: str
    work_queue_name: str | None = None
    job_variables: dict[str, Any] = Field(default_factory=dict)


class Deployment(_Strict):
    """One deployment: the keys of Prefect's file that are used here, all others being mistakes."""

    name: str
    description: str = Field(min_length=1)
    entrypoint: str = Field(pattern=r"^[a-z_]+(\.[a-z_]+)*:[a-z_]+$")
    tags: tuple[str, ...]
    enforce_parameter_schema: Literal[True]
    concurrency_limit: ConcurrencyLimit
    parameters: dict[str, Any]
    pull: tuple[dict[str, dict[str, str]], ...]
    work_pool: WorkPool
    schedules: tuple[Schedule, ...] = ()


class DeploymentFile(_Strict):
    """`prefect.yaml`."""

    prefect_version: str = Field(alias="prefect-version")
    name: str
    definitions: dict[str, Any]
    deployments: tuple[Deployment, ...] = Field(min_length=1)


def find_mistakes(folder: Path = FOLDER) -> list[str]:
    """Every mistake in the folder's deployments and work pools, one line each; none is an empty list."""
    path = folder / "prefect.yaml"
    try:
        written = yaml.safe_load(path.read_text())
        content = DeploymentFile.model_validate(written)
    except (yaml.YAMLError, ValidationError) as error:
        return [f"{path.name}: {line}" for line in _lines(error)]
    mistakes = [
        f"{path.name}: nothing fills in {{{{ ${name} }}}}; expected one of {', '.join(rendering.PLACES)}"
        for name in sorted(rendering.unknown_places(written))
    ]
    names: set[str] = set()
    for deployment in content.deployments:
        found = list(_in_schedules(deployment))
        try:
            flow: Flow[..., Any] = load_flow_from_entrypoint(deployment.entrypoint)
        except (MissingFlowError, ImportError, AttributeError) as error:
            found.append(f"entrypoint: {deployment.entrypoint!r} is no flow: {_lines(error)[0]}")
        else:
            names.add(f"{flow.name}/{deployment.name}")
            found.extend(_in_parameters(deployment, flow))
        mistakes.extend(f"{path.name}: {deployment.name}: {line}" for line in found)
    for kind in pools.KINDS:
        mistakes.extend(_in_kind(kind, folder / "work-pools", content.deployments))
    mistakes.extend(f"automations/{line}" for line in automation_files.mistakes(folder / "automations", names))
    return mistakes


def _in_parameters(deployment: Deployment, flow: Flow[..., Any]) -> Iterator[str]:
    # A schedule's parameters replace the deployment's whole sections: Prefect merges them shallowly.
    by_schedule = [{**deployment.parameters, **schedule.parameters} for schedule in deployment.schedules]
    for parameters in [deployment.parameters, *by_schedule]:
        left_out = sorted(set(flow.parameters.required or []) - parameters.keys())
        if left_out and not deployment.schedules:
            # The form asks for them; what is written must fit all the same.
            yield from _in_form(flow, parameters)
            continue
        try:
            with _quiet():
                flow.validate_parameters(parameters)
        except (ParameterTypeError, ParameterBindError, SignatureMismatchError) as error:
            yield f"parameters: {' '.join(str(error).split())}"
        if "source" in flow.parameters.properties and parameters.get("source") in (None, "auto"):
            yield "parameters: source must be named, and not be auto: a schedule must not choose its data"


@contextmanager
def _quiet() -> Iterator[None]:
    """Prefect writes parameters that do not fit to its log as well."""
    logger = logging.getLogger("prefect.flows")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _in_form(flow: Flow[..., Any], parameters: dict[str, Any]) -> Iterator[str]:
    for name in sorted(parameters.keys() - flow.parameters.properties.keys()):
        yield f"parameters: the flow has no {name!r}; it has {', '.join(flow.parameters.properties)}"
    schema = flow.parameters.model_dump_for_openapi()
    for problem in validate(parameters, schema, raise_on_error=False, ignore_required=True):
        yield f"parameters: {'.'.join(str(part) for part in problem.path)}: {problem.message}"


def _in_schedules(deployment: Deployment) -> Iterator[str]:
    for schedule in deployment.schedules:
        try:
            CronSchedule(cron=schedule.cron, timezone=schedule.timezone)
        except ValidationError as error:
            yield from (f"schedule {schedule.slug}: {line}" for line in _lines(error))


def _in_kind(kind: Kind, folder: Path, deployments: tuple[Deployment, ...]) -> Iterator[str]:
    """What is wrong where the pools are of this kind."""
    try:
        yield from (f"work-pools/{kind}.json: {line}" for line in _in_template(pools.read_template(kind, folder)))
        loaded = {pool.name: pool for pool in pools.load(kind, folder)}
    except (ValueError, yaml.YAMLError) as error:  # pydantic's is a ValueError, too
        yield from (f"work-pools: {kind}: {line}" for line in _lines(error))
        return
    for pool in loaded.values():
        yield from (f"work-pools/pools.yaml: {pool.name}: {kind}: {line}" for line in _in_defaults(pool))
    for deployment in deployments:
        found = _in_job_variables(deployment.work_pool, loaded)
        yield from (f"prefect.yaml: {deployment.name}: work_pool: {kind}: {line}" for line in found)


def _in_defaults(pool: Pool) -> Iterator[str]:
    variables = pool.template["variables"]
    defaults = {name: field["default"] for name, field in variables["properties"].items() if "default" in field}
    yield from _misfits(defaults, variables)


def _in_job_variables(written: WorkPool, loaded: dict[str, Pool]) -> Iterator[str]:
    if written.name not in loaded:
        yield f"pools.yaml has no pool {written.name!r}; it has {', '.join(loaded)}"
        return
    variables = loaded[written.name].template["variables"]
    for name in sorted(written.job_variables.keys() - variables["properties"].keys()):
        yield f"the template has no variable {name!r}; it has {', '.join(variables['properties'])}"
    # What is read from the environment is known, and checked by the server, only when it is deployed.
    known = {name: value for name, value in written.job_variables.items() if name in variables["properties"]}
    fixed = {name: value for name, value in known.items() if not rendering.PLACE.fullmatch(str(value))}
    yield from _misfits(fixed, variables)


def _misfits(values: dict[str, Any], variables: dict[str, Any]) -> Iterator[str]:
    for problem in validate(values, variables, raise_on_error=False):
        yield ": ".join([*(str(part) for part in problem.path), problem.message])


def _in_template(template: dict[str, Any]) -> Iterator[str]:
    if "PREFECT_FLOWS_HEARTBEAT_FREQUENCY" not in template["job_configuration"].get("env", {}):
        yield "env: PREFECT_FLOWS_HEARTBEAT_FREQUENCY is not set; automations/crashed-runs.yaml would end long runs"
    used = set(re.findall(r"{{\s*(\w+)\s*}}", json.dumps(template["job_configuration"])))
    for name in sorted(used - template["variables"]["properties"].keys()):
        yield f"the job uses {name!r}, which is no variable"
    for name in sorted(template["variables"]["properties"].keys() - used):
        yield f"the variable {name!r} is used nowhere"


def _lines(error: Exception) -> list[str]:
    if isinstance(error, ValidationError):
        return [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
    return [" ".join(str(error).split())]


def main() -> int:
    """Print the mistakes; the exit code."""
    mistakes = find_mistakes()
    sys.stdout.writelines(f"{line}\n" for line in mistakes or ["deployments: no mistakes"])
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
