"""The slot of the device on a real server: who computes holds it, everything else goes on beside it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.settings import PREFECT_API_URL

from flows.execution import StepFailedError
from flows.retraining import retrain
from tasks import machine
from tasks.machine import Machine
from tests import servers
from tests.flows.conftest import SMALL
from tests.processes import PATIENCE_SECONDS, ended, find_descendant, wait_for

ROOT = Path(__file__).parents[2]
COMPUTING = ("train", "evaluate", "robustness", "score")
RUN = ["--source=synthetic", "--ingest.synthetic-images=480", "--train.recipe=tutorial-64-logits", "--train.epochs=1"]


@pytest.fixture
def limit(prefect_server: None) -> str:
    """A limit with one slot, of this test alone."""
    name = f"gpu-{uuid4().hex[:8]}"
    with get_client(sync_client=True) as client:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
    return name


class Started:
    """A run of the command line on the server of the tests.

    Attributes:
        seed: Of its training.
        output: What it said.
    """

    def __init__(self, folder: Path, limit: str, seed: int) -> None:
        self.seed = seed
        self.output = folder.with_suffix(f".{seed}.log")
        environ = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value()), "RETRAINING_GPU_SLOT": limit}
        command = [sys.executable, "-m", "flows.retraining", *RUN, f"--train.seed={seed}", f"--store={folder}"]
        with self.output.open("w") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file, env=environ, cwd=ROOT)

    def says(self, text: str) -> bool:
        return text in self.output.read_text()

    def computing(self) -> psutil.Process | None:
        """Its child at work on the device."""
        found = (find_descendant("cnn_model", verb, of=self.process.pid) for verb in COMPUTING)
        return next((child for child in found if child is not None), None)

    def at_work(self) -> bool:
        return self.process.poll() is None


@pytest.fixture
def runs() -> Iterator[list[Started]]:
    """Runs that a test starts; what is left of them is ended."""
    started: list[Started] = []
    yield started
    for run in started:
        if run.at_work():
            for process in psutil.Process(run.process.pid).children(recursive=True):
                process.kill()
            run.process.kill()
            run.process.wait()


def test_cpu_steps_go_on_while_another_run_holds_the_slot_and_the_log_says_who_waits(
    limit: str, runs: list[Started], tmp_path: Path
) -> None:
    with concurrency(limit, strict=True):
        run = Started(tmp_path / "store", limit, seed=1)
        runs.append(run)
        wait_for(lambda: run.says(f"Waits for a slot of {limit}"), run.at_work)
        assert run.says("✓ preprocess")
        assert run.computing() is None
    run.process.wait()
    assert run.process.returncode == 0, run.output.read_text()
    assert run.says(f"Has a slot of {limit} after ")


def test_two_runs_side_by_side_never_compute_at_once(limit: str, runs: list[Started], tmp_path: Path) -> None:
    runs += [Started(tmp_path / "store", limit, seed) for seed in (1, 2)]
    computed: set[int] = set()
    while any(run.at_work() for run in runs):
        seen = {run.seed: child for run in runs if run.at_work() and (child := run.computing()) is not None}
        # One may have handed over to the other between the two looks; both are at work only if both still are.
        assert sum(not ended(child) for child in seen.values()) <= 1
        computed |= seen.keys()
        time.sleep(0.05)
    assert [run.process.returncode for run in runs] == [0, 0], [run.output.read_text() for run in runs]
    assert len(computed) == 2


def test_a_limit_that_is_not_there_stops_the_run_at_the_door(prefect_server: None, tmp_path: Path) -> None:
    with (
        machine.use(Machine(store=tmp_path / "store", gpu_slot="missing")),
        pytest.raises(StepFailedError, match=r"no global concurrency limit of that name\. Run `make deploy`") as caught,
    ):
        retrain(**SMALL)
    assert caught.value.summary is not None
    assert caught.value.summary.steps["ingest"].outcome == "not_run"


def test_a_limit_that_is_switched_off_stops_the_run_at_the_door(limit: str, tmp_path: Path) -> None:
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(limit, 0)
    with (
        machine.use(Machine(store=tmp_path / "store", gpu_slot=limit)),
        pytest.raises(StepFailedError, match="is switched off or has no slot"),
    ):
        retrain(**SMALL)


OUTLIVE = """
import logging, sys
from tasks import machine, policies
logging.basicConfig()
with machine.use(machine.Machine(gpu_slot=sys.argv[1])), policies.device_slot():
    print("held", flush=True)
    sys.stdin.readline()
print("computed")
"""

HOLD = """
import sys, time
from tasks import machine, policies
with machine.use(machine.Machine(gpu_slot=sys.argv[1])), policies.device_slot():
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.service
def test_the_slot_of_a_killed_holder_comes_free(tmp_path: Path) -> None:
    """Left out of the fast tests, for it takes the minute of the lease, and a server of its own: no other frees it."""
    with servers.server(tmp_path) as environ:
        url = f"{environ['PREFECT_API_URL']}/v2/concurrency_limits/"
        assert httpx.post(url, json={"name": "gpu", "limit": 1}).status_code == 201
        command = [sys.executable, "-c", HOLD, "gpu"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, cwd=ROOT, text=True) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            assert httpx.get(f"{url}gpu").json()["active_slots"] == 1
            holder.kill()
        wait_for(lambda: httpx.get(f"{url}gpu").json()["active_slots"] == 0)


@pytest.mark.service
def test_a_computation_outlives_the_server(tmp_path: Path) -> None:
    """The lease cannot be renewed and the slot not be given back: what was computed is not lost over that."""
    with servers.server(tmp_path) as environ:
        url = f"{environ['PREFECT_API_URL']}/v2/concurrency_limits/"
        assert httpx.post(url, json={"name": "gpu", "limit": 1}).status_code == 201
        command = [sys.executable, "-c", OUTLIVE, "gpu"]
        holder = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            cwd=ROOT,
            text=True,
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
    output, log = holder.communicate("the server is gone\n", timeout=PATIENCE_SECONDS)
    assert (holder.returncode, output) == (0, "computed\n"), log
    assert "The slot of gpu comes free in 60 s, not now" in log
