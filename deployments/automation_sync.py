"""Automations on a server, by name: made, brought up to date, and removed with their file."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import Automation, AutomationCore

from deployments import automation_files
from deployments.automation_files import PREFIX
from deployments.webhook import URL


class Synced(NamedTuple):
    """What became of an automation."""

    name: str
    outcome: Literal["created", "updated", "unchanged", "removed", "skipped"]
    note: str = ""


def sync(client: SyncPrefectClient, notify_block: UUID | None, at_most: timedelta | None = None) -> Iterator[Synced]:
    """Let the server have the automations of the files and no others that begin with the project's prefix.

    One that is as it should be is not written: Prefect would forget since when it waits.

    Args:
        client: Of the server.
        notify_block: The webhook's block; without it, what would call it is left out.
        at_most: Shortens all that they wait for.
    """

    def find(key: str, name: str) -> UUID | None:
        return notify_block if key == "block_document_id" else client.read_deployment_by_name(name).id

    there: dict[str, list[Automation]] = {}
    for automation in _all(client):
        if automation.name.startswith(PREFIX):
            there.setdefault(automation.name, []).append(automation)
    for wanted in automation_files.load(find, at_most=at_most):
        if isinstance(wanted, str):
            yield Synced(wanted.removeprefix(PREFIX), "skipped", f"no {URL}")
        else:
            yield _put(client, wanted, there.pop(wanted.name, []))
    for left in [automation for found in there.values() for automation in found]:
        client.delete_automation(left.id)
        yield Synced(left.name.removeprefix(PREFIX), "removed")


def _all(client: SyncPrefectClient) -> list[Automation]:
    found: list[Automation] = []
    while page := client.read_automations(limit=200, offset=len(found)):
        found += page
    return found


def _put(client: SyncPrefectClient, wanted: AutomationCore, found: list[Automation]) -> Synced:
    name = wanted.name.removeprefix(PREFIX)
    if not found:
        client.create_automation(wanted)
        return Synced(name, "created")
    first, *doubles = sorted(found, key=lambda automation: str(automation.id))
    for double in doubles:
        client.delete_automation(double.id)
    note = "" if first.enabled else "is off"
    if _essence(first) == _essence(wanted):
        return Synced(name, "unchanged", note)
    # Prefect's client sends what was set, and its server wants all but the owner.
    complete = {**wanted.model_dump(exclude={"owner_resource"}), "enabled": first.enabled}
    client.update_automation(first.id, AutomationCore.model_validate(complete))
    return Synced(name, "updated", note)


def _essence(automation: AutomationCore) -> dict[str, Any]:
    """All but the server's ids and a person's switch."""
    core = AutomationCore.model_validate(automation.model_dump())
    return core.model_dump(exclude={"enabled", "owner_resource"})
