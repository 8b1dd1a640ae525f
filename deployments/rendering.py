"""`prefect.yaml` for one machine: what it reads from the environment is filled in, and left out where it is not set.

Prefect fills in such places as well, but deploys one whose variable is not set as it is written.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from deployments import pools
from deployments.errors import DeployError
from deployments.pools import Kind
from tasks import machine
from tasks.addresses import carries_credentials
from tasks.errors import ConfigurationError

ROOT = Path(__file__).parents[1]
GPU_SLOT = "gpu"
"""The global concurrency limit that a step holds while it computes on the device."""

CHECKOUT_IN_IMAGE = "/opt/retraining"
"""Where the worker's image has the project."""

READ = (
    "RETRAINING_HOME",
    "RETRAINING_STORE",
    "RETRAINING_CACHE",
    "RETRAINING_LEDGER",
    "RETRAINING_DROPS",
    "RETRAINING_BACKEND",
    "RETRAINING_REPORTS_URL",
    "MLFLOW_TRACKING_URI",
)
"""The variables that count."""

PLACES = (*READ, "RETRAINING_DEVICE", "RETRAINING_GPU_SLOT")
"""All that may stand in a place of the file."""

_TAKEN = {
    "RETRAINING_HOME": ("/", "an absolute path"),
    "RETRAINING_STORE": ("/|s3://.", "an absolute path or s3://bucket/prefix"),
    "RETRAINING_CACHE": ("/", "an absolute path"),
    "RETRAINING_LEDGER": ("/|[a-z0-9]+://.", "an absolute path or a URL of object storage"),
    "RETRAINING_REPORTS_URL": ("https?://.", "the URL of a web server"),
}
"""What the work pools take: a worker's folder is not the one where somebody deploys."""

PLACE = re.compile(r"{{\s*\$([^{}]*?)\s*}}")
"""A place, whatever it names."""


def values(environ: Mapping[str, str], kind: Kind, device: str) -> dict[str, str]:
    """What the file's places are filled with.

    Args:
        environ: Where the variables are read.
        kind: Of the work pools. Processes run in this checkout unless `RETRAINING_HOME` names another.
        device: That trains: gpu, cpu or auto.

    Raises:
        DeployError: if a value lets in whoever reads it, since all of them are shown in the dashboard; or is a
            relative path; or containers would have no store, or one on object storage and no MLflow server.
    """
    given = {name: environ[name] for name in READ if environ.get(name)}
    for name, value in given.items():
        _require_no_credentials(name, value)
        pattern, expected = _TAKEN.get(name, ("", ""))
        if not re.match(pattern, value):
            raise DeployError(f"{name} is {value!r}; expected {expected}, the same for all workers.", exit_code=2)
    if kind != "process" and "RETRAINING_STORE" not in given:
        raise DeployError(
            f"RETRAINING_STORE is not set, and a run in {kind} has no store of its own. Set it to s3://bucket/prefix, "
            "or to the folder under which all containers see the store, such as /srv/store.",
            exit_code=2,
        )
    if kind != "process" and lacks_mlflow(given, kind):
        raise DeployError(
            f"MLFLOW_TRACKING_URI is not set, and the store {given['RETRAINING_STORE']} is for several machines: every "
            f"run in {kind} would stop at once. Set it to the URL of an MLflow server.",
            exit_code=2,
        )
    given.setdefault("RETRAINING_HOME", str(ROOT) if kind == "process" else CHECKOUT_IN_IMAGE)
    if kind == "process":
        given.setdefault("RETRAINING_STORE", f"{given['RETRAINING_HOME']}/store")
    return given | {"RETRAINING_DEVICE": device, "RETRAINING_GPU_SLOT": GPU_SLOT}


def lacks_mlflow(environ: Mapping[str, str], kind: Kind, folder: Path = pools.FOLDER) -> bool:
    """Whether the store is on object storage, which needs an MLflow server, and neither variable nor pool names one.

    A process has its worker's environment and may find one there, such as by another address on each machine; a
    container has nothing of it.
    """
    if not environ.get("RETRAINING_STORE", "").startswith("s3://") or environ.get("MLFLOW_TRACKING_URI"):
        return False
    variables = [pool.template["variables"]["properties"] for pool in pools.load(kind, folder)]
    return not all(found["mlflow_tracking_uri"].get("default") for found in variables)


def render(path: Path, filling: Mapping[str, str]) -> dict[str, Any]:
    """The file's content. A key whose whole value is a place without a filling is left out."""
    content: dict[str, Any] = _filled(yaml.safe_load(path.read_text()), filling)
    return content


def _require_no_credentials(name: str, value: str) -> None:
    """What lets somebody in is in no error message."""
    if name == "MLFLOW_TRACKING_URI":
        try:
            # A database's may hold the name of a user.
            machine.from_environment({name: value})
        except ConfigurationError as error:
            raise DeployError(str(error), exit_code=2) from None
    elif carries_credentials(value):
        raise DeployError(
            f"{name} carries a user, a password or a signature, and job variables are shown in the dashboard. Take it "
            "out of the URL, and give it to the workers in their own environment.",
            exit_code=2,
        )


def unknown_places(item: Any) -> set[str]:
    """What places of a file's content name that nothing fills in: Prefect would be told nothing of such a setting."""
    if isinstance(item, dict):
        return set().union(*(unknown_places(value) for value in item.values()))
    if isinstance(item, list):
        return set().union(*(unknown_places(value) for value in item))
    return set(PLACE.findall(item)) - set(PLACES) if isinstance(item, str) else set()


def _filled(item: Any, filling: Mapping[str, str]) -> Any:
    if isinstance(item, dict):
        return {key: _filled(value, filling) for key, value in item.items() if not _is_empty(value, filling)}
    if isinstance(item, list):
        return [_filled(value, filling) for value in item if not _is_empty(value, filling)]
    if isinstance(item, str):
        return PLACE.sub(lambda found: filling.get(found[1], found[0]), item)
    return item


def _is_empty(value: Any, filling: Mapping[str, str]) -> bool:
    found = PLACE.fullmatch(value) if isinstance(value, str) else None
    return found is not None and found[1] not in filling
