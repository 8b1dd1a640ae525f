"""Reads `automations/*.yaml`: Prefect's own schema, with names where Prefect wants the ids of one server.

`deployment_id: retrain/retrain-nightly` is a deployment, `block_document_id: webhook/retraining-notify` a block.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml
from prefect.events.schemas.automations import AutomationCore
from prefect.server.events.actions import CallWebhook
from pydantic import ValidationError

FOLDER = Path(__file__).parent / "automations"

PREFIX = "retraining: "
"""Begins the name of each automation of the project: Prefect itself keeps no names apart."""

IDS = ("deployment_id", "block_document_id")

Find = Callable[[str, str], UUID | None]
"""Finds the id on a server, from one of `IDS` and the name in the file; None where there is none."""


def load(find: Find, *, at_most: timedelta | None = None, folder: Path = FOLDER) -> list[AutomationCore | str]:
    """The automations in order of their files; of one whose block or deployment is missing, its name alone.

    Args:
        find: Finds ids.
        at_most: Shortens all that they wait for, for trying them; none, as the files have it. Prefect takes no less
            than ten seconds where something must not happen.
        folder: Of the files.
    """
    loaded: list[AutomationCore | str] = []
    for path in sorted(folder.glob("*.yaml")):
        content = yaml.safe_load(path.read_text())
        if at_most is not None:
            content = _shortened(content, at_most.total_seconds())
        complete = all([_resolve(action, find) for action in content["actions"]])
        loaded.append(AutomationCore.model_validate(content) if complete else str(content["name"]))
    return loaded


def _resolve(action: dict[str, Any], find: Find) -> bool:
    """Put ids in the place of names; whether there was one for each."""
    for key in IDS:
        if key in action:
            action[key] = find(key, action[key])
            if action[key] is None:
                return False
    return True


def _shortened(item: Any, seconds: float) -> Any:
    if isinstance(item, dict):
        return {
            key: min(value, seconds) if key in ("within", "schedule_after") else _shortened(value, seconds)
            for key, value in item.items()
        }
    return [_shortened(value, seconds) for value in item] if isinstance(item, list) else item


def mistakes(folder: Path, deployments: set[str]) -> Iterator[str]:
    """What is wrong with the files, one line each. Prefect itself passes over keys that it does not know.

    Args:
        folder: Of the files.
        deployments: Names of all deployments, as `flow/name`.
    """
    names: dict[str, str] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            content = yaml.safe_load(path.read_text())
        except yaml.YAMLError as error:
            yield f"{path.name}: {' '.join(str(error).split())}"
            continue
        if not isinstance(content, dict):
            yield f"{path.name}: there is no automation in it; expected name, trigger and actions"
            continue
        name = str(content.get("name"))
        for line in _in_content(content, deployments):
            yield f"{path.name}: {line}"
        if name in names:
            yield f"{path.name}: name: {name!r} is that of {names[name]}"
        names[name] = path.name


def _in_content(content: dict[str, Any], deployments: set[str]) -> Iterator[str]:
    if not str(content.get("name")).startswith(PREFIX):
        yield f"name: expected one that begins with {PREFIX!r}"
    actions = content.get("actions")
    for action in actions if isinstance(actions, list) else []:
        if not isinstance(action, dict):
            continue
        found = action.get("deployment_id")
        if found is not None and found not in deployments:
            yield f"deployment_id: {found!r} is no deployment; there are {', '.join(sorted(deployments))}"
        for key in IDS:
            if key in action:
                action[key] = str(UUID(int=0))
    try:
        read = AutomationCore.model_validate(content).model_dump(mode="json")
    except ValidationError as error:
        yield from (f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors())
        return
    yield from (f"{key}: Prefect has no such key" for key in _unknown(content, read))
    for number, action in enumerate(content["actions"]):
        try:
            CallWebhook.validate_template(action.get("payload", ""), "payload")
        except ValueError as error:
            yield f"actions.{number}: {error}"


def _unknown(written: Any, read: Any, place: str = "") -> Iterator[str]:
    """Keys of the file that are gone once Prefect has read it. Labels of resources are free, and keep their names."""
    if isinstance(written, dict) and isinstance(read, dict):
        for key, value in written.items():
            if key not in read:
                yield place + key
            else:
                yield from _unknown(value, read[key], f"{place}{key}.")
    elif isinstance(written, list) and isinstance(read, list):
        for number, (value, other) in enumerate(zip(written, read, strict=False)):
            yield from _unknown(value, other, f"{place}{number}.")
