"""What `tasks.retention` reads of what a run left in its folder; whatever else stands there is left alone."""

from collections.abc import Iterable
from contextlib import suppress

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from tasks.inventory import Inventory, Item
from tasks.report.summary import SUMMARY, WAITING
from tasks.roots import Version


class _Summary(BaseModel):
    """Of a run's summary, also an older or a newer one."""

    model_config = ConfigDict(extra="ignore")

    model_name: str | None = None
    model_version: int | None = None


class _Registration(BaseModel):
    model_config = ConfigDict(extra="ignore")

    waits_until: AwareDatetime


class _Contents(BaseModel):
    model_config = ConfigDict(extra="ignore")

    registration: _Registration


class _Waiting(BaseModel):
    """Of what a run that waits for a person has kept."""

    model_config = ConfigDict(extra="ignore")

    contents: _Contents


def waits_until(inventory: Inventory, run: Item) -> float:
    """Until when a run waits for a person, or waited, in seconds since the epoch; 0 where it never did."""
    for _, text in inventory.texts(run, WAITING):
        with suppress(ValidationError):  # one of other code: such a run begins again
            return _Waiting.model_validate_json(text).contents.registration.waits_until.timestamp()
    return 0.0


def versions(texts: Iterable[tuple[str, bytes]]) -> list[Version]:
    """The version that a run came to."""
    for name, text in texts:
        try:
            found = _Summary.model_validate_json(text) if name == SUMMARY else _Summary()
        except ValidationError:
            continue
        if found.model_name is not None and found.model_version is not None:
            return [(found.model_name, found.model_version)]
    return []
