"""Brings work pools, limits, deployments and automations to a Prefect server: `make deploy`, or

    python -m deployments.apply --help

It can be run again without harm. The files win in what they say; a person's switches win over them: a schedule that was
switched on or off, a paused deployment, pool or automation, a pool's concurrency limit, the number of GPU slots.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import httpx
from prefect import __version__
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
    WorkPoolCreate,
    WorkPoolUpdate,
)
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments import automation_sync, check, deploying, pools, rendering, webhook
from deployments.errors import DeployError
from deployments.pools import Kind, Pool

Outcome = Literal["created", "updated", "unchanged", "removed", "skipped"]

STYLES: dict[Outcome, str] = {"created": "green", "updated": "yellow", "removed": "yellow", "skipped": "bold yellow"}


class Change(NamedTuple):
    """One thing of the server, and what became of it."""

    what: str
    name: str
    outcome: Outcome
    note: str = ""


def apply(
    environ: Mapping[str, str],
    kind: Kind = "process",
    device: str = "gpu",
    gpu_slots: int | None = None,
    at_most: timedelta | None = None,
) -> list[Change]:
    """Bring everything to the server that `PREFECT_API_URL` names.

    Args:
        environ: Where the machine's settings and the webhook's URL are read.
        kind: Of the work pools.
        device: That runs train on: gpu, cpu or auto.
        gpu_slots: Steps that compute on a GPU at once, 1 or more; none keeps what the server has, and begins with 1.
        at_most: Shortens all that automations wait for, for trying them.

    Raises:
        DeployError: if a file has a mistake, or the server does not answer or take something.
    """
    mistakes = check.find_mistakes()
    if mistakes:
        raise DeployError(f"Nothing was deployed: {'; '.join(mistakes)}", exit_code=2)
    content = rendering.render(check.FOLDER / "prefect.yaml", rendering.values(environ, kind, device))
    notify_url = webhook.url(environ)
    try:
        with _client() as client:
            changes = [_pool(client, pool) for pool in pools.load(kind)]
            changes.append(_slots(client, gpu_slots))
            changes += [Change("deployment", *found) for found in deploying.deploy(client, content, environ)]
            block = webhook.block(client, notify_url)
            changes += [Change("automation", *found) for found in automation_sync.sync(client, block, at_most)]
            return changes
    except httpx.HTTPStatusError as error:
        answer = " ".join(error.response.text.split())[:500]
        raise DeployError(f"Prefect's server answered {error.response.status_code}: {answer}") from error
    except httpx.TransportError as error:
        raise DeployError(f"The connection to Prefect's server was lost: {error!r}. Run it again.") from error


def _client() -> SyncPrefectClient:
    url = PREFECT_API_URL.value()
    if url is None:
        raise DeployError(
            "PREFECT_API_URL is not set; expected the URL of a Prefect server, such as http://127.0.0.1:4200/api. "
            "`make dashboard` starts one here.",
            exit_code=2,
        )
    try:
        with get_client(sync_client=True) as client:
            version = client.api_version()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
        if status in (401, 403):
            raise DeployError(f"{url} answered {status}; is PREFECT_API_AUTH_STRING that of the server?") from error
        cause = f"it answered {status}" if status else " ".join(str(error).split()) or type(error).__name__
        raise DeployError(
            f"No Prefect server answers at {url}: {cause}. Is it running, and does the URL end in /api?"
        ) from error
    if version != __version__:
        print_warning(f"The server is Prefect {version}, this is {__version__}. The server must not be the older one.")
    return get_client(sync_client=True)


def _pool(client: SyncPrefectClient, pool: Pool) -> Change:
    """Template and description are the file's; the limit, once made, is whoever's changed it."""
    try:
        found = client.read_work_pool(pool.name)
    except ObjectNotFound:
        client.create_work_pool(
            WorkPoolCreate(
                name=pool.name,
                type=pool.kind,
                description=pool.description,
                base_job_template=pool.template,
                concurrency_limit=pool.concurrency_limit,
            )
        )
        return Change("work pool", pool.name, "created")
    if found.type != pool.kind:
        raise DeployError(
            f"The work pool {pool.name} is of type {found.type}, and Prefect changes no pool's type. Deploy with "
            f"--kind {found.type}, or delete it first: prefect work-pool delete {pool.name}"
        )
    note = "" if found.concurrency_limit == pool.concurrency_limit else f"limit {found.concurrency_limit} kept"
    if (found.base_job_template, found.description) == (pool.template, pool.description):
        return Change("work pool", pool.name, "unchanged", note)
    client.update_work_pool(pool.name, WorkPoolUpdate(base_job_template=pool.template, description=pool.description))
    return Change("work pool", pool.name, "updated", note)


def _slots(client: SyncPrefectClient, wanted: int | None) -> Change:
    name = rendering.GPU_SLOT
    try:
        found = client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=wanted or 1))
        return Change("limit", name, "created", f"{wanted or 1} at once")
    if wanted is None or found.limit == wanted:
        return Change("limit", name, "unchanged", f"{found.limit} at once")
    client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(limit=wanted))
    return Change("limit", name, "updated", f"{wanted} at once")


def print_warning(text: str) -> None:
    """A line that must not be overlooked, beside the table."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(escape(text), style="yellow")


def table(changes: Sequence[Change]) -> Table:
    """What became of each thing, for a person."""
    shown = Table(box=None, pad_edge=False, show_header=False)
    kinds = [change.what for change in changes]
    for number, change in enumerate(changes):
        first = number == 0 or kinds[number - 1] != change.what
        outcome = f"[{STYLES.get(change.outcome, 'dim')}]{change.outcome}[/]"
        shown.add_row(f"[bold]{change.what}[/]" if first else "", escape(change.name), outcome, escape(change.note))
    return shown


def print_table(changes: Sequence[Change]) -> None:
    """The table. In a file or a pipe each change stands on one line."""
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table(changes))


def warnings(environ: Mapping[str, str], kind: Kind) -> list[str]:
    """What was deployed as asked, and may not be what was meant; one line each."""
    found = []
    if not environ.get("RETRAINING_DROPS"):
        found.append("RETRAINING_DROPS is not set: runs train on CIFAR-10 alone, without drops.")
    if rendering.lacks_mlflow(environ, kind):
        found.append(
            "MLFLOW_TRACKING_URI is not set: with a store on object storage, each worker needs it in its own "
            "environment, or its runs stop at once."
        )
    return found


def main(arguments: Sequence[str]) -> int:
    """Deploy, and say what changed; the exit code: 2 for what was asked wrongly, 1 for what went wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.apply",
        description="Bring work pools, limits, deployments and automations to the server that PREFECT_API_URL names.",
    )
    parser.add_argument("--kind", choices=get_args(Kind), default="process", help="of the work pools; %(default)s")
    parser.add_argument(
        "--device", choices=("gpu", "cpu", "auto"), default="gpu", help="that runs train on; %(default)s"
    )
    parser.add_argument("--gpu-slots", type=int, metavar="N", help="trainings on a GPU at once; 1 at first, then kept")
    chosen = parser.parse_args(arguments)
    if chosen.gpu_slots is not None and chosen.gpu_slots < 1:
        parser.error(f"--gpu-slots is {chosen.gpu_slots}; expected 1 or more")
    try:
        changes = apply(os.environ, chosen.kind, chosen.device, chosen.gpu_slots)
    except DeployError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(escape(str(error)), style="bold red")
        return error.exit_code
    print_table(changes)
    for line in warnings(os.environ, chosen.kind):
        print_warning(line)
    return 0


if __name__ == "__main__":
    # Prefect reads its settings for servers and clients from the checkout's pyproject.toml.
    os.chdir(Path(__file__).parents[1])
    sys.exit(main(sys.argv[1:]))
