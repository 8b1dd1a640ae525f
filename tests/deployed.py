"""The service of the compose file, deployed, with its store on object storage: for tests that use it as a team does."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from tests import compose_processes, s3, servers
from tests.compose import ROOT
from tests.compose_processes import Process
from tests.processes import RUN_SECONDS

BUCKET = "retraining"
STORE = f"s3://{BUCKET}/store"

# No machine that runs these tests is sure to have a GPU. A crash is noticed after 90 seconds here, not five minutes.
DEPLOY = """
import os
from datetime import timedelta
from deployments.apply import apply
apply(os.environ, device="auto", at_most=timedelta(seconds=90))
"""

Json = dict[str, Any]


class DeployedService:
    """PostgreSQL, Prefect's server, MLflow's server and a bucket, with everything deployed.

    Workers come as they are asked for, and no ticks but those of a test.

    Args:
        folder: For what the processes write.
        stack: Ends them.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of each request
        server, endpoint = s3.started()
        stack.callback(server.stop)
        self._bucket = {**s3.ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint}
        self.processes = stack.enter_context(compose_processes.running(folder))
        self.url = self.processes.prefect_url.removesuffix("/api")
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            **self._bucket,
            "PREFECT_HOME": str(folder / "client"),
            **self.processes.client,
            "MLFLOW_TRACKING_URI": self.processes.mlflow_url,
            "RETRAINING_HOME": str(ROOT),
            "RETRAINING_STORE": STORE,
            "RETRAINING_REPORTS_URL": self.processes.reports_url,
        }
        _make_bucket(endpoint)
        self.processes.reports({**self._bucket, "RETRAINING_STORE": STORE}).wait()
        self.call("-c", DEPLOY)
        servers.switch_schedules_off(self.environment)

    def call(self, *arguments: str) -> str:
        """Run Python as a person who is let in; what it printed.

        Raises:
            AssertionError: if it failed.
        """
        done = subprocess.run(
            [sys.executable, *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def worker(self, name: str, pool: str = "gpu") -> Iterator[Process]:
        """A worker of a pool with a cache of its own, as on a machine of its own."""
        variables = {**self._bucket, "RETRAINING_CACHE": str(self._folder / f"cache-{name}")}
        worker = self.processes.worker(f"worker-{pool}", name, variables)
        try:
            worker.wait()
            yield worker
        finally:
            worker.stop()

    def get(self, path: str) -> Any:
        """What the API answers."""
        return servers.get(self.environment, path)

    def post(self, path: str, body: Any) -> Any:
        """What the API answers."""
        return servers.post(self.environment, path, body)

    def delete(self, path: str) -> None:
        """Delete by the API."""
        servers.ask(self.environment, "DELETE", path)

    def deployment(self, name: str) -> Json:
        """A deployment, by the names of flow and deployment."""
        found: Json = self.get(f"/deployments/name/{name}")
        return found

    def start(self, name: str, parameters: Json) -> str:
        """Start a run of a deployment; its id."""
        return servers.start_run(self.environment, name, parameters)

    def last_run(self, deployment: Json, after: datetime | None = None) -> Json | None:
        """The run of a deployment that was to start last, of those that have begun; None where there is none.

        Args:
            deployment: Of which.
            after: Only one that was to start later.
        """
        expected = {} if after is None else {"expected_start_time": {"after_": after.isoformat()}}
        begun = {"state": {"type": {"not_any_": ["SCHEDULED", "PENDING"]}}}
        body = {"deployments": {"id": {"any_": [deployment["id"]]}}, "flow_runs": {**begun, **expected}}
        found = self.post("/flow_runs/filter", {**body, "sort": "EXPECTED_START_TIME_DESC", "limit": 1})
        return found[0] if found else None

    def finished(self, run: str) -> Json:
        """A run once it is over, however it ended."""
        return servers.finished(self.environment, run)

    def artifact(self, run: Json, key: str) -> Json:
        """An artifact of a run, the newest of its key."""
        body = {"artifacts": {"flow_run_id": {"any_": [run["id"]]}, "key": {"any_": [key]}}, "sort": "CREATED_DESC"}
        found: Json = self.post("/artifacts/filter", body)[0]
        return found

    def log(self, run: Json) -> list[str]:
        """What the dashboard shows of a run's log."""
        return servers.logs(self.environment, run["id"])

    def active_slots(self, limit: str) -> int:
        """How many slots of a global limit are held."""
        return int(self.get(f"/v2/concurrency_limits/{limit}")["active_slots"])

    def summary(self, run: Json) -> Json:
        """What a run wrote about itself."""
        found: Json = json.loads(self._objects().cat_file(f"{BUCKET}/store/runs/{run['id']}/summary.json"))
        return found

    def names(self, folder: str) -> list[str]:
        """The names of the objects in a folder of the store."""
        prefix = f"{BUCKET}/store/"
        return [str(name).removeprefix(prefix) for name in self._objects().find(prefix + folder)]

    def _objects(self) -> Any:
        from s3fs import S3FileSystem

        return S3FileSystem(
            key=self._bucket["AWS_ACCESS_KEY_ID"],
            secret=self._bucket["AWS_SECRET_ACCESS_KEY"],
            endpoint_url=self._bucket["AWS_ENDPOINT_URL"],
            skip_instance_cache=True,
            use_listings_cache=False,
        )


@contextmanager
def running(folder: Path) -> Iterator[DeployedService]:
    """The service for the time of the block."""
    with ExitStack() as stack:
        yield DeployedService(folder, stack)


def _make_bucket(endpoint: str) -> None:
    # Who has no rights to speak of may make buckets here.
    httpx.put(f"{endpoint}/{BUCKET}").raise_for_status()
