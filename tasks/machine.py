"""What belongs to the machine and not to the result: where the store and the ledger lie, which device and framework
train, where MLflow is, of which limit a computation takes a slot, and where reports are served.

Set once at the flow's door and read by the rooms through `current()`. Nothing of it is in any cache key, so the same
run on another machine, or with the store moved, takes its steps from the cache.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from tasks import ledger_place
from tasks.addresses import carries_credentials, local_path, require_no_credentials, scheme_of
from tasks.errors import ConfigurationError
from tasks.objects import DRIVERS, Objects

Device = Literal["auto", "cpu", "gpu"]
Backend = Literal["tensorflow", "jax"]

DEFAULT_STORE = Path("store")


class Machine(BaseModel):
    """The settings of one machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: Path = Field(
        DEFAULT_STORE,
        description="Folder that holds data, models, reports and registry; with a bucket, the folder for local copies.",
    )
    bucket: str | None = Field(
        None, description="URL of object storage that holds the store; none means that the folder does."
    )
    device: Device = Field("auto", description="Device that trains.")
    backend: Backend = Field("tensorflow", description="Framework that Keras computes with.")
    num_devices: int = Field(1, ge=1, le=64, description="Devices that share each batch, 1 to 64; 1 but with jax.")
    tracking_uri: str | None = Field(None, description="MLflow's tracking URI; none means SQLite in the store.")
    ledger: str | None = Field(
        None,
        description="Where the ledgers of promotions stand: a folder, or a URL of object storage; none means in the "
        "store.",
    )
    gpu_slot: str | None = Field(
        None,
        min_length=1,
        description="Prefect's global concurrency limit of which a step holds one slot while it computes on the "
        "device, which it then has alone on its machine; none means that it waits for nobody.",
    )
    reports_url: str | None = Field(
        None,
        description="Address at which the store's reports are served, for links to them; none means that a link names "
        "the file.",
    )


def from_environment(environ: Mapping[str, str]) -> Machine:
    """Read the variables that count, by name.

    They are `RETRAINING_STORE`, `RETRAINING_CACHE`, `RETRAINING_DEVICE`, `RETRAINING_BACKEND`,
    `RETRAINING_NUM_DEVICES`, `RETRAINING_LEDGER`, `RETRAINING_GPU_SLOT`, `RETRAINING_REPORTS_URL` and
    `MLFLOW_TRACKING_URI`.

    Raises:
        ConfigurationError: if one of them has a value that it cannot have.
    """
    return Machine.model_validate(
        {
            **_store(environ),
            "device": _choice(environ, "RETRAINING_DEVICE", get_args(Device)),
            "backend": _choice(environ, "RETRAINING_BACKEND", get_args(Backend)),
            "num_devices": _number(environ, "RETRAINING_NUM_DEVICES"),
            "tracking_uri": _tracking_uri(environ),
            "ledger": _place(environ),
            "gpu_slot": environ.get("RETRAINING_GPU_SLOT") or None,
            "reports_url": _reports_url(environ),
        }
    )


def with_store(environ: Mapping[str, str], address: str | None) -> Mapping[str, str]:
    """The environment, with the store that a person names on the command line; None where they name none."""
    return environ if address is None else {**environ, "RETRAINING_STORE": address}


def _choice(environ: Mapping[str, str], variable: str, choices: tuple[str, ...]) -> str:
    """The variable's value, or the first choice where it is not set."""
    value = environ.get(variable) or choices[0]
    if value not in choices:
        expected = f"{', '.join(choices[:-1])} or {choices[-1]}"
        raise ConfigurationError(f"{variable} is {value!r}; expected {expected}. Set it so, or unset it.")
    return value


def _store(environ: Mapping[str, str]) -> dict[str, Path | str]:
    """The folder that `RETRAINING_STORE` names; or its bucket, and the folder of `RETRAINING_CACHE`."""
    address = environ.get("RETRAINING_STORE") or str(DEFAULT_STORE)
    if scheme_of(address) not in DRIVERS:
        return {"store": _folder(address, "RETRAINING_STORE")}
    require_no_credentials(address, "RETRAINING_STORE")
    bucket = Objects(address).url
    if not environ.get("MLFLOW_TRACKING_URI"):
        raise ConfigurationError(
            f"The store {bucket} is for several machines, and MLFLOW_TRACKING_URI is not set: SQLite, which a local "
            "store has, is for one. Set it to the URL of an MLflow server."
        )
    cache = environ.get("RETRAINING_CACHE") or str(DEFAULT_STORE)
    return {"store": _folder(cache, "RETRAINING_CACHE"), "bucket": bucket}


def _folder(address: str, variable: str) -> Path:
    if scheme_of(address) is None:
        return Path(address)
    return local_path(address, variable, "a path" if variable == "RETRAINING_CACHE" else ledger_place.EXPECTED)


def _place(environ: Mapping[str, str]) -> str | None:
    """The address that `RETRAINING_LEDGER` names; None where it is not set."""
    address = environ.get("RETRAINING_LEDGER") or None
    if address is not None:
        ledger_place.check(address)
    return address


def _tracking_uri(environ: Mapping[str, str]) -> str | None:
    """What `MLFLOW_TRACKING_URI` names; None where it is not set.

    It stands in errors and reports, so it must let nobody in. What stands alone before a server's host may be a token;
    before a database's it is the user's name, and a password there may hold slashes.
    """
    uri = environ.get("MLFLOW_TRACKING_URI") or None
    if uri is None:
        return None
    if scheme_of(uri) in ("http", "https"):
        refused = carries_credentials(uri)
    else:
        refused = re.search("://[^/@]*:[^@]*@", uri) is not None or carries_credentials(
            re.sub("://[^/?#@]*@", "://", uri)
        )
    if refused:
        raise ConfigurationError(
            "MLFLOW_TRACKING_URI carries a user, a password or a signature, which would be kept with the run. Write it "
            "without; a server's go into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD or "
            "MLFLOW_TRACKING_TOKEN, the password of PostgreSQL into PGPASSWORD or the file that PGPASSFILE names."
        )
    return uri


def _reports_url(environ: Mapping[str, str]) -> str | None:
    """What `RETRAINING_REPORTS_URL` names, without a slash at its end; None where it is not set."""
    address = environ.get("RETRAINING_REPORTS_URL") or None
    if address is None:
        return None
    require_no_credentials(address, "RETRAINING_REPORTS_URL")
    if scheme_of(address) not in ("http", "https"):
        raise ConfigurationError(
            f"RETRAINING_REPORTS_URL is {address!r}; expected the URL of a web server, such as http://127.0.0.1:4300. "
            "Set it so, or unset it."
        )
    return address.rstrip("/")


def _number(environ: Mapping[str, str], variable: str) -> int:
    """The variable's value, or 1 where it is not set."""
    value = environ.get(variable) or "1"
    if not value.isdecimal() or not 1 <= int(value) <= 64:
        raise ConfigurationError(f"{variable} is {value!r}; expected a number from 1 to 64. Set it so, or unset it.")
    return int(value)


_current: ContextVar[Machine | None] = ContextVar("machine", default=None)


def current() -> Machine | None:
    """The machine that the flow's door has set, or None outside a run."""
    return _current.get()


@contextmanager
def use(machine: Machine) -> Iterator[Machine]:
    """Make `machine` the current one within the block."""
    token = _current.set(machine)
    try:
        yield machine
    finally:
        _current.reset(token)
