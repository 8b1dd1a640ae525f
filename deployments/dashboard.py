"""The whole service on this machine, for as long as this command runs: `make dashboard`, or

    python -m deployments.dashboard --help

It starts a Prefect server, a worker for each pool and a server of the reports, and deploys. What they keep and their
logs lie in the store's folder `prefect-server`. Ctrl-C, SIGTERM, a closed terminal or the end of one of the
processes ends all of them, and the runs at work.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout
from prefect.settings import PREFECT_API_URL, temporary_settings
from rich.console import Console
from rich.markup import escape

from deployments import apply, pools, reports
from deployments.errors import DeployError
from deployments.local import Processes, environment, free_port, kill_leftovers
from tasks import machine
from tasks.errors import ConfigurationError

DEFAULT_PORT = 4200
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, systemd, and a terminal that is closed."""

POLL_SECONDS = 0.5


def run(console: Console, port: int | None) -> int:
    """Start everything, say where it is, and wait for the end.

    Args:
        console: Where to.
        port: Of the server; none means 4200 or the next one that is free.

    Returns:
        The exit code: 0 where a dashboard is running on this store already, else that of the end.

    Raises:
        DeployError: if something does not start, or ends by itself.
    """
    settings = machine.from_environment(os.environ)
    # Absolute: workers and runs have a folder of their own that they start in.
    store = settings.store.expanduser().resolve()
    home = store / "prefect-server"
    _make(home)
    lock, note = FileLock(home / "dashboard.lock"), home / "dashboard.json"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console.print(f"The dashboard of this store is running already: {_running(note)}", style="bold")
        return 0
    except OSError as error:
        raise DeployError(
            f"{home / 'dashboard.lock'} cannot be locked: {error.strerror}. Does the store belong to another user?"
        ) from error
    # What a dashboard left that was killed would hold database and ports, and its note name a dead one.
    note.unlink(missing_ok=True)
    kill_leftovers(home)
    chosen = free_port(port, DEFAULT_PORT)
    address = f"http://127.0.0.1:{chosen}"
    environ = environment(os.environ, home, address)
    environ["RETRAINING_STORE" if settings.bucket is None else "RETRAINING_CACHE"] = str(store)
    if not environ.get("RETRAINING_DROPS"):
        environ["RETRAINING_DROPS"] = str(store / "drops")
        _make(store / "drops")
    reports_port = None if environ.get("RETRAINING_REPORTS_URL") else free_port(None, reports.DEFAULT_PORT)
    if reports_port is not None:
        environ["RETRAINING_REPORTS_URL"] = f"http://127.0.0.1:{reports_port}"
    processes = Processes(home, environ)
    try:
        with console.status("Prefect's server is starting"):
            processes.start_server(chosen)
        with (
            console.status("Work pools, deployments and automations"),
            temporary_settings({PREFECT_API_URL: f"{address}/api"}),
        ):
            changes = apply.apply(environ, "process", "auto")
        if reports_port is not None:
            processes.start_reports(reports_port)
        with console.status("Workers are starting"):
            for pool in pools.load("process"):
                processes.start_worker(pool.name)
        note.write_text(json.dumps({"address": address, "process": os.getpid()}))
        _say(console, address, store, environ["RETRAINING_DROPS"], changes)
        while True:
            processes.check()
            time.sleep(POLL_SECONDS)
    finally:
        # A second Ctrl-C must not leave half of them.
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        with console.status("Ending runs, workers and server"):
            processes.end()
        note.unlink(missing_ok=True)
        lock.release()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeployError(f"{folder} cannot be made: {error.strerror}. Does RETRAINING_STORE name a folder?") from error


def _running(note: Path) -> str:
    try:
        found = json.loads(note.read_text())
        return f"{found['address']} (process {found['process']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "it is just starting"


def _say(console: Console, address: str, store: Path, drops: str, changes: Sequence[apply.Change]) -> None:
    deployed = [change for change in changes if change.what == "deployment"]
    skipped = [change for change in changes if change.what == "automation" and change.outcome == "skipped"]
    console.print(f"[bold green]●[/] [bold]{address}[/]\n")
    rows = [
        ("Store", str(store)),
        ("Drops", drops),
        ("Logs", f"{store / 'prefect-server'}/*.log"),
        ("Ready", f"{len(deployed)} deployments, workers of the pools gpu and cpu"),
    ]
    if skipped:
        rows.append(("Silent", f"{len(skipped)} notifications, until RETRAINING_NOTIFY_URL names a webhook"))
    for name, text in rows:
        console.print(f"  [dim]{name:<7}[/]{escape(text)}")
    console.print(
        f"\n  A first run, on practice images: {address}/deployments, retrain-manual, Run, or\n"
        f"    PREFECT_API_URL={address}/api .venv/bin/prefect deployment run retrain/retrain-manual \\\n"
        "      -p source=synthetic --watch\n\n"
        "  [dim]Ctrl-C ends all of it. What was scheduled is kept.[/]"
    )


def main(arguments: Sequence[str]) -> int:
    """Run the dashboard; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.dashboard",
        description="A Prefect server, its dashboard and workers on this machine, with everything deployed.",
    )
    parser.add_argument("--port", type=int, help=f"of the server; else {DEFAULT_PORT}, or the next one that is free")
    chosen = parser.parse_args(arguments)
    for number in ENDING:
        # Also where a shell has it ignore Ctrl-C, as in the background of a script.
        signal.signal(number, signal.default_int_handler)
    console = Console(highlight=False, soft_wrap=True)
    try:
        return run(console, chosen.port)
    except (DeployError, ConfigurationError) as error:
        console.print(escape(str(error)), style="bold red")
        return getattr(error, "exit_code", 2)
    except KeyboardInterrupt:
        console.print("Ended.")
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
