"""The processes of `deployments/compose.yaml`, to be started by hand where there is no Docker engine."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
FILE = ROOT / "deployments" / "compose.yaml"

# ${NAME:?what it is}, ${NAME:-default} or ${NAME}; as far as the file uses what Compose knows.
INTERPOLATION = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[?-])(?P<text>[^}]*))?\}")


class Service(NamedTuple):
    """How the container of a service is started."""

    command: tuple[str, ...]
    environment: dict[str, str]

    def moved(self, places: Mapping[str, str]) -> "Service":
        """The same with other places: each key, such as `postgres:5432` or `/srv/store`, replaced by its value."""

        def move(text: str) -> str:
            for old, new in places.items():
                text = text.replace(old, new)
            return text

        return Service(
            tuple(move(word) for word in self.command), {name: move(value) for name, value in self.environment.items()}
        )


def read() -> dict[str, Any]:
    """The file as it is written, with its anchors resolved."""
    content: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return content


def service(name: str, given: Mapping[str, str]) -> Service:
    """Command and environment of a service, as Compose interpolates them.

    Args:
        name: The service.
        given: What stands in `.env`.

    Raises:
        KeyError: if a variable without a default is not given; its message is the file's.
    """
    entry = read()["services"][name]
    environment = {}
    for variable, value in entry.get("environment", {}).items():
        if value is not None:
            environment[variable] = interpolate(value, given)
        elif variable in given:
            environment[variable] = given[variable]
    return Service(tuple(interpolate(word, given) for word in entry.get("command", ())), environment)


def interpolate(text: str, given: Mapping[str, str]) -> str:
    """The text with its variables replaced; one that is given as an empty text counts as not given."""

    def value(match: re.Match[str]) -> str:
        found = given.get(match["name"]) or ""
        if not found and match["kind"] == "?":
            raise KeyError(f"{match['name']}: {match['text']}")
        return found or (match["text"] or "" if match["kind"] == "-" else "")

    return INTERPOLATION.sub(value, text)
