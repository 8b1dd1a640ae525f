"""The settings of Prefect in pyproject.toml are those that a server takes: it passes over a misspelt one in silence."""

import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect.settings import get_current_settings
from pydantic import BaseModel

ROOT = Path(__file__).parents[2]


def test_the_server_waits_between_two_looks_at_its_queue():
    """Prefect cuts the seconds down to a whole number, and turns in a loop for 0."""
    assert int(get_current_settings().server.services.task_run_recorder.flush_interval) >= 1


def test_the_server_clears_its_database():
    server = get_current_settings().server
    assert server.services.db_vacuum.enabled_vacuum_types == {"events", "flow_runs", "orphans"}
    assert server.services.db_vacuum.retention_period == timedelta(days=90)
    assert server.events.retention_period == timedelta(days=30)


def test_each_setting_is_one_of_prefects():
    written = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["prefect"]
    assert [name for name in names(written) if not taken(get_current_settings(), name)] == []


def names(table: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from names(value, (*above, name))
        else:
            yield (*above, name)


def taken(settings: BaseModel, name: tuple[str, ...]) -> bool:
    """Whether the settings have such a field, and it was set."""
    found: Any = settings
    for part in name[:-1]:
        found = getattr(found, part, None)
    return isinstance(found, BaseModel) and name[-1] in found.model_fields_set
