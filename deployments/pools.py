"""The work pools: the template of a kind, with the defaults of each pool in it.

`work-pools/pools.yaml` names the pools; `work-pools/KIND.json` says what a job of this kind is made of and which
variables it has.
"""

import copy
import json
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field

from tasks.addresses import CREDENTIALS

FOLDER = Path(__file__).parent / "work-pools"

Kind = Literal["process", "docker", "kubernetes"]
KINDS: tuple[Kind, ...] = get_args(Kind)

REFUSED = {
    "store": CREDENTIALS,
    "ledger": CREDENTIALS,
    "reports_url": CREDENTIALS,
    "mlflow_tracking_uri": r"://[^/?#\s]*:[^/?#\s]*@",
}
"""What addresses among the variables must not hold, since the server keeps and shows them. The name of a user of a
database may stand in MLflow's."""


class PoolEntry(BaseModel):
    """A pool in `pools.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = Field(min_length=1, description="What the pool is for, as the dashboard shows it.")
    concurrency_limit: int = Field(ge=1, le=1000, description="Runs that the pool's workers have at once, 1 to 1000.")
    variables: dict[str, Any] = Field(default_factory=dict, description="Defaults for every kind.")
    process: dict[str, Any] = Field(default_factory=dict, description="Defaults where the pool is of this kind.")
    docker: dict[str, Any] = Field(default_factory=dict, description="Defaults where the pool is of this kind.")
    kubernetes: dict[str, Any] = Field(default_factory=dict, description="Defaults where the pool is of this kind.")

    def defaults(self, kind: Kind) -> dict[str, Any]:
        """The pool's own defaults for a kind, by variable."""
        by_kind = {"process": self.process, "docker": self.docker, "kubernetes": self.kubernetes}
        return {**self.variables, **by_kind[kind]}


class Pool(BaseModel):
    """A work pool, ready to be created on a server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="Name by which deployments and workers find it.")
    kind: Kind = Field(description="Kind of its workers.")
    description: str = Field(description="What it is for.")
    concurrency_limit: int = Field(ge=1, description="Runs that its workers have at once.")
    template: dict[str, Any] = Field(description="Base job template, with the pool's defaults.")


def load(kind: Kind, folder: Path = FOLDER) -> tuple[Pool, ...]:
    """The work pools as pools of a kind.

    Args:
        kind: How the workers run a job.
        folder: Folder of `pools.yaml` and the templates.

    Raises:
        ValueError: if `pools.yaml` has keys or values that it cannot have, or a default for a variable that the
            template does not have.
    """
    template = read_template(kind, folder)
    return tuple(_pool(name, kind, entry, template) for name, entry in read_entries(folder).items())


def read_entries(folder: Path = FOLDER) -> dict[str, PoolEntry]:
    """The pools of `pools.yaml`, by name.

    Raises:
        ValueError: if the file has none, or one with keys or values that it cannot have.
    """
    content = yaml.safe_load(_read(folder, "pools.yaml"))
    if not isinstance(content, dict) or not content:
        raise ValueError("pools.yaml has no pools; expected them by name")
    return {name: PoolEntry.model_validate(entry) for name, entry in content.items()}


def read_template(kind: Kind, folder: Path = FOLDER) -> dict[str, Any]:
    """The template of a kind, without the defaults of any pool."""
    template: dict[str, Any] = json.loads(_read(folder, f"{kind}.json"))
    return template


def _pool(name: str, kind: Kind, entry: PoolEntry, template: dict[str, Any]) -> Pool:
    template = copy.deepcopy(template)
    variables = template["variables"]["properties"]
    for variable, default in entry.defaults(kind).items():
        if variable not in variables:
            raise ValueError(
                f"pools.yaml: {name}: {variable!r} is no variable of {kind}.json; it has {', '.join(variables)}. "
                "Correct the name."
            )
        variables[variable]["default"] = default
    for variable, pattern in REFUSED.items():
        variables[variable]["not"] = {"pattern": pattern}
    return Pool(
        name=name,
        kind=kind,
        description=entry.description,
        concurrency_limit=entry.concurrency_limit,
        template=template,
    )


def _read(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")
