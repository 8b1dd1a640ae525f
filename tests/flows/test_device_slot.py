"""The turn at the device on a real server: who computes has it, everything else goes on beside it.

Machines are folders for temporary files here: what one machine's runs share.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
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
from tasks import machine, policies
from tasks.errors import ConfigurationError
from tasks.machine import Machine
from tasks.report.summary import Summary
from tests import servers
from tests.flows.conftest import SMALL
from tests.processes import PATIENCE_SECONDS, ended, find_descendant, wait_for

ROOT = Path(__file__).parents[2]
COMPUTING = ("train", "evaluate", "robustness", "score")
RUN = ["--source=synthetic", "--ingest.synthetic-images=480", "--train.recipe=tutorial-64-logits", "--train.epochs=1"]


@pytest.fixture
def limit(prefect_server: None) -> str:
    """A limit with one slot, of this test alone."""
    return new_limit(slots=1)


def new_limit(slots: int) -> str:
    name = f"gpu-{uuid4().hex[:8]}"
    with get_client(sync_client=True) as client:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=slots))
    return name


def on_machine(folder: Path) -> dict[str, str]:
    """The environment of processes of one machine."""
    folder.mkdir(exist_ok=True)
    return {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value()), "TMPDIR": str(folder)}


class Started:
    """A run of the command line on the server of the tests.

    Attributes:
        seed: Of its training.
        output: What it said.
    """

    def __init__(self, folder: Path, limit: str, seed: int, machine: str = "one") -> None:
        self.seed = seed
        self.output = folder.with_suffix(f".{seed}.log")
        environ = {**on_machine(folder.with_name(f"machine-{machine}")), "RETRAINING_GPU_SLOT": limit}
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


@pytest.mark.parametrize(
    ("machines", "slots"), [(("one", "two"), 1), (("one", "one"), 2)], ids=["by the slot", "by the machine"]
)
def test_two_runs_side_by_side_never_compute_at_once(
    machines: tuple[str, str], slots: int, prefect_server: None, runs: list[Started], tmp_path: Path
) -> None:
    limit = new_limit(slots)
    runs += [Started(tmp_path / "store", limit, seed, machine) for seed, machine in enumerate(machines, start=1)]
    computed: set[int] = set()
    while any(run.at_work() for run in runs):
        seen = {run.seed: child for run in runs if run.at_work() and (child := run.computing()) is not None}
        # One may have handed over to the other between the two looks; both are at work only if both still are.
        assert sum(not ended(child) for child in seen.values()) <= 1
        computed |= seen.keys()
        time.sleep(0.05)
    assert [run.process.returncode for run in runs] == [0, 0], [run.output.read_text() for run in runs]
    assert len(computed) == 2


def test_who_waits_for_its_machine_is_told_for_whom_and_holds_no_slot(prefect_server: None, tmp_path: Path) -> None:
    limit, environ = new_limit(slots=2), on_machine(tmp_path / "one")
    with ExitStack() as processes:
        first = hold(processes, limit, environ)
        assert said(first) == "held"
        second = hold(processes, limit, environ)
        assert said(second).startswith(f"Waits for the devices of this machine: process {first.pid} on ")
        with get_client(sync_client=True) as client:
            assert client.read_global_concurrency_limit_by_name(limit).active_slots == 1
        elsewhere = hold(processes, limit, {**environ, "CUDA_VISIBLE_DEVICES": "1"})
        assert said(elsewhere) == "held"
        elsewhere.kill()
        with get_client(sync_client=True) as client:  # no server but a real one frees the slots of the killed
            client.upsert_global_concurrency_limit_by_name(limit, 3)
        first.kill()
        assert said(second).startswith("Has the devices of this machine after ")
        assert said(second) == "held"


def test_what_comes_from_the_cache_waits_for_no_device(
    filled_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, environ = new_limit(slots=2), on_machine(tmp_path / "one")
    monkeypatch.setattr(tempfile, "tempdir", environ["TMPDIR"])
    with ExitStack() as processes:
        assert said(hold(processes, limit, environ)) == "held"
        with machine.use(Machine(store=filled_store, gpu_slot=limit)):
            summary: Summary = retrain(**SMALL)
    assert summary.steps["train"].outcome == "cached"


def test_a_folder_of_locks_that_is_none_stops_the_run_at_the_door(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / f"retraining-{os.getuid()}").write_text("something else")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "one"))
    with (
        machine.use(Machine(store=tmp_path / "store", gpu_slot=limit)),
        pytest.raises(ConfigurationError, match=r"cannot be made: File exists\. Let TMPDIR name a folder"),
    ):
        policies.check_device_slot()


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
import logging, sys, time
from tasks import machine, policies
logging.basicConfig(format="%(message)s", stream=sys.stdout)
logging.getLogger("tasks").setLevel(logging.INFO)
with machine.use(machine.Machine(gpu_slot=sys.argv[1])), policies.device_slot():
    print("held", flush=True)
    time.sleep(600)
"""


def hold(processes: ExitStack, limit: str, environ: dict[str, str]) -> "subprocess.Popen[str]":
    """A process that computes for ever, as soon as it may; killed at the end."""
    command = [sys.executable, "-c", HOLD, limit]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, cwd=ROOT, text=True)
    processes.enter_context(started)
    processes.callback(started.kill)
    return started


def said(process: "subprocess.Popen[str]") -> str:
    """The next line that it says."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


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
