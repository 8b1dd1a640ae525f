"""A real MLflow server on a real PostgreSQL, each on this machine alone, as a team would run them.

PostgreSQL comes from the system. The server comes from PyPI into an environment of uv's own, in the version of the
project's MLflow: `mlflow` and `mlflow-skinny` own the same files, and one environment never holds both.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

from tests.processes import PATIENCE_SECONDS, free_port, wait_for

ROOT = Path(__file__).parents[1]
# Not a path below pytest's folder: the name of a Unix socket has 107 characters at most.
FOLDERS = Path(tempfile.gettempdir())


class Postgres:
    """A PostgreSQL server on a Unix socket, and on a port of the loopback where one is named.

    Who comes by the socket is let in as the superuser; by the port, only with a password.
    """

    def __init__(self, folder: Path, superuser: str = "mlflow", port: int | None = None) -> None:
        self._folder, self._superuser, self._port = folder, superuser, port
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = _unprivileged()
        if os.geteuid() == 0:
            os.chown(folder, self._owner.pw_uid, self._owner.pw_gid)
        trusted = ["--auth-local=trust", "--auth-host=scram-sha-256"]
        self._call("initdb", "-D", str(folder / "data"), "-U", superuser, *trusted, "-E", "UTF8", "--no-sync")
        self.start()

    @property
    def uri(self) -> str:
        """The database, as SQLAlchemy names it."""
        return f"postgresql+psycopg2://mlflow@/mlflow?host={self._folder}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [str(_binary("postgres")), "-D", str(self._folder / "data"), "-k", str(self._folder)]
        command += ["-h", ""] if self._port is None else ["-h", "127.0.0.1", "-p", str(self._port)]
        # What is here may be lost with the machine's power.
        command += ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
        with (self._folder / "postgres.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, **self._as_owner())
        ready = [str(_binary("pg_isready")), "-q", *self._place()]
        wait_for(lambda: subprocess.run(ready, check=False).returncode == 0, lambda: process.poll() is None)
        self._process = process

    def stop(self) -> None:
        """End it, with the connections that are open."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=PATIENCE_SECONDS)
            self._process = None

    def sql(self, statement: str) -> None:
        """Run a statement on the superuser's database."""
        self._psql("-c", statement)

    def script(self, path: Path, environment: dict[str, str]) -> None:
        """Run a file of statements, which may read the variables."""
        self._psql("-f", str(path), env={**os.environ, **environment})

    def create_database(self) -> None:
        """Create the superuser's database; that of `postgres` is there from the start."""
        self._call("createdb", *self._place(), "-U", self._superuser, self._superuser)

    def _psql(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        self._call("psql", *self._place(), "-U", self._superuser, "-q", "-v", "ON_ERROR_STOP=1", *arguments, env=env)

    def _place(self) -> list[str]:
        return ["-h", str(self._folder), *(["-p", str(self._port)] if self._port is not None else [])]

    def _call(self, program: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        command = [str(_binary(program)), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, **self._as_owner())
        assert done.returncode == 0, done.stdout + done.stderr

    def _as_owner(self) -> dict[str, Any]:
        """PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return {"cwd": self._folder}
        return {"cwd": self._folder, "user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}


class MlflowServer:
    """An MLflow server on such a database; an address that stays the same when it is started anew."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        self._folder, self.postgres = folder, postgres
        self._process: subprocess.Popen[bytes] | None = None
        self._port = free_port()
        self.start()

    @property
    def uri(self) -> str:
        """What `MLFLOW_TRACKING_URI` is to be."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        needs = ["--from", f"mlflow=={version('mlflow-skinny')}", "--with", "psycopg2-binary"]
        tool = [uv(), "tool", "run", "--quiet", "--python", sys.executable, *needs]
        subprocess.run([*tool, "python", "-c", ""], cwd=self._folder, check=True)  # the first time it is downloaded
        server = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"]
        server += ["--backend-store-uri", self.postgres.uri, "--artifacts-destination", str(self._folder / "artifacts")]
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "VIRTUAL_ENV"))}
        environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        log = self._folder / "mlflow.log"
        with log.open("ab") as file:
            self._process = process = subprocess.Popen(
                [*tool, *server],
                stdout=file,
                stderr=file,
                env=environ,
                cwd=self._folder,
                start_new_session=True,
            )
        try:
            wait_for(lambda: _answers(f"{self.uri}/health"), lambda: process.poll() is None)
        except AssertionError as error:
            raise AssertionError(f"MLflow's server did not start: {log.read_text()[-3000:]}") from error

    def kill(self) -> None:
        """End it at once, with its workers, in whatever they do."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=PATIENCE_SECONDS)
            self._process = None

    def empty(self) -> None:
        """Forget all that was recorded; the tables stay."""
        self.postgres.sql(
            "DO $$ DECLARE found text; BEGIN"
            " FOR found IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            " AND tablename NOT IN ('alembic_version', 'experiments', 'workspaces')"
            " LOOP EXECUTE format('TRUNCATE %I CASCADE', found); END LOOP; END $$;"
            " DELETE FROM experiments WHERE experiment_id <> 0;"
        )


@contextmanager
def running() -> Iterator[MlflowServer]:
    """A server for the time of the block."""
    with tempfile.TemporaryDirectory(prefix="pg-", dir=FOLDERS) as data, tempfile.TemporaryDirectory() as folder:
        postgres = Postgres(Path(data))
        try:
            postgres.create_database()
            server = MlflowServer(Path(folder), postgres)
            try:
                yield server
            finally:
                server.kill()
        finally:
            postgres.stop()


def _unprivileged() -> pwd.struct_passwd:
    """Who is to run PostgreSQL."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def _binary(program: str) -> Path:
    """One of PostgreSQL's programs; Debian keeps the server's off the path."""
    found = shutil.which(program)
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: float(path.parts[4]))
    assert found or kept, f"{program} is not there: install PostgreSQL, such as by `apt-get install postgresql`"
    return Path(found) if found else kept[-1]


def uv() -> str:
    """The uv that the Makefile found or made."""
    found = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".tools/bin/uv")
    assert Path(found).exists(), f"{found} is not there: run the tests by `make test-service`, which makes it"
    return str(Path(found).absolute())


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False
