"""Every Prefect setting of the steps in one place: cache keys, retries, the turn at the device.

A cached step's key is made of its inputs by value, the source of everything first-party that it reaches, without
comments and docstrings, and the versions of the numeric libraries. Prefect's own `TASK_SOURCE` sees the decorated
function alone and serves stale results when a helper changes.

The source is read from disk, and the process has the modules that it imported when it began. Where the two differ no
key would be true, so there is none: the step fails.
"""

import ast
import gc
import hashlib
import json
import logging
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
from prefect.cache_policies import NO_CACHE, CachePolicy
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, TaskRun
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency
from prefect.context import TaskRunContext
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.tasks import Task, exponential_backoff
from pydantic import BaseModel

from tasks import locks, machine
from tasks.errors import CodeChangedError, ConfigurationError, TransientError

logger = logging.getLogger(__name__)

FORMAT = 1
"""Raise it when a change in a module of `_BY_FORMAT` makes cached results unusable."""

ROOT = Path(__file__).parents[1]
FIRST_PARTY = ("tasks", "cnn_model")

BACKENDS = ("cnn_model.backends.tensorflow", "cnn_model.backends.jax")
"""Chosen by name in the child process, which no import shows; for `StepCache.runs`."""

_BY_FORMAT = frozenset(
    f"tasks.{name}"
    for name in (
        "policies",
        "store",
        "remote_store",
        "shared_folder",
        "shared_prefix",
        "objects",
        "machine",
        "progress",
        "errors",
        "child",
        "locks",
        "files",
    )
)
"""Modules that decide how a step runs, never what it gives."""

_BY_VALUE = ("config", "recipes")
"""Modules and packages that only declare values; the values are among the inputs, so editing a description, or
another recipe, recomputes nothing."""

_BEGAN = {path: path.read_bytes() for package in FIRST_PARTY for path in ROOT.joinpath(package).rglob("*.py")}
"""The first-party source when this process began: what it has imported, or should."""

SLOT_LEASE_SECONDS = 60.0
"""How long the slot of a killed run stays taken; the shortest that Prefect's server grants."""

WAITING_SAID_SECONDS = 3.0
"""A slot that is free is there in less."""


@dataclass
class StepCache(CachePolicy):
    """The cache key of a step.

    Attributes:
        runs: Modules that the step runs in a child process, which no import shows.
        ignore: Names of parameters that do not shape the result, such as where a file lies or how long to wait.
        distributions: Libraries whose versions take part.
    """

    runs: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str:
        """The key, 64 hexadecimal digits.

        Raises:
            TypeError: if an input is neither a pydantic model nor a plain JSON value.
            CodeChangedError: if there is no true key. Prefect logs it, runs the step and keeps nothing: see
                `check_code`.
        """
        return _digest(self._parts(task_ctx.task.fn, inputs))

    def keys_by(self, task: Task[Any, Any], inputs: Mapping[str, Any], name: str) -> Callable[[int], str]:
        """The keys that Prefect would ask for, were one input another; what they share is looked up once.

        Args:
            task: A step with this policy.
            inputs: By name, defaults included.
            name: Of the input, a number, that the function given back takes.

        Raises:
            CodeChangedError: if the code has changed since this process began.
        """
        parts = self._parts(task.fn, inputs)
        return lambda value: _digest({**parts, "inputs": {**parts["inputs"], name: value}})

    def modules(self, function: Callable[..., Any]) -> tuple[str, ...]:
        """The modules that a step begins with, here and in its child process."""
        return (function.__module__, *self.runs)

    def _parts(self, function: Callable[..., Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "step": f"{function.__module__}.{function.__qualname__}",
            "inputs": {name: _plain(value) for name, value in inputs.items() if name not in self.ignore},
            "source": source_digest(self.modules(function)),
            "python": ".".join(platform.python_version_tuple()[:2]),
            "versions": {name: version(name) for name in self.distributions},
        }


def is_transient(task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed step may succeed when tried again. Prefect wants a plain function here.

    Only what is known to pass by itself: wrong data, wrong settings and a lack of memory fail the same way twice. A
    step whose code has changed meanwhile would not be the same step again.
    """
    error = state.result(raise_on_failure=False)
    if not isinstance(error, TransientError | httpx.TransportError | ConnectionError):
        return False
    try:
        check_code(task)
    except CodeChangedError as changed:
        logger.warning("Not tried again. %s", changed)
        return False
    return True


def check_code(task: Task[Any, Any]) -> None:
    """See, before a step runs, that its results could be kept: the code on disk is that of this process.

    Not left to the key, whose errors Prefect swallows: the step would run, half of it by the new code, which its child
    process imports.

    Raises:
        CodeChangedError: if a file that a cached step reaches has changed.
    """
    if isinstance(task.cache_policy, StepCache):
        _read_unchanged(task.cache_policy.modules(task.fn))


def cached(
    *,
    distributions: tuple[str, ...],
    runs: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    retries: int = 2,
    retry_delay_seconds: int = 10,
) -> dict[str, Any]:
    """Options of a step whose result is kept: `@task(name="train", **cached(...))`.

    Args:
        distributions: See `StepCache`.
        runs: See `StepCache`.
        ignore: See `StepCache`.
        retries: How often a transient failure is tried again.
        retry_delay_seconds: The first delay; each further one doubles, with up to half of it as jitter.
    """
    return {
        "cache_policy": StepCache(runs=runs, ignore=ignore, distributions=distributions),
        "persist_result": True,
        "result_serializer": "json",
        **_retried(retries, retry_delay_seconds),
    }


def uncached(*, retries: int = 2, retry_delay_seconds: int = 10) -> dict[str, Any]:
    """Options of a step that runs every time."""
    return {"cache_policy": NO_CACHE, "persist_result": False, **_retried(retries, retry_delay_seconds)}


def _retried(retries: int, first_delay_seconds: int) -> dict[str, Any]:
    return {
        "retries": retries,
        "retry_delay_seconds": exponential_backoff(first_delay_seconds),
        "retry_jitter_factor": 0.5,
        "retry_condition_fn": is_transient,
    }


def check_device_slot() -> None:
    """See, at the flow's door, that a turn at the device can be had, before hours of steps come to it.

    Raises:
        ConfigurationError: if the server knows no such limit, or one without a slot, or the folder of the machine's
            locks cannot be used.
    """
    name = _device_limit()
    if name is None:
        return
    _machine_locks()
    try:
        with get_client(sync_client=True) as client:
            limit = client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound as error:
        raise ConfigurationError(
            f"RETRAINING_GPU_SLOT is {name!r}, and {PREFECT_API_URL.value() or 'the embedded Prefect server'} has no "
            f"global concurrency limit of that name. Run `make deploy` or `prefect global-concurrency-limit create "
            f"{name} --limit 1`, or unset it."
        ) from error
    if not limit.active or limit.limit < 1:
        raise ConfigurationError(
            f"The global concurrency limit {name!r} of RETRAINING_GPU_SLOT is switched off or has no slot; expected "
            f"1 or more. Run `prefect global-concurrency-limit update {name} --limit 1 --enable`."
        )


@contextmanager
def device_slot() -> Iterator[None]:
    """Have this machine's devices alone, and a slot of the limit, while a step computes; nothing, where it has none.

    The limit counts the computations of all machines and knows none of them: two slots for two machines would let two
    runs compute on one. So a run first waits for its own machine, and takes no other's slot meanwhile.

    A training of hours does not end because the server was away: where the lease cannot be renewed three times within
    seconds the slot counts as free when its time is up, and until the block ends a run of another machine may compute
    beside it, one more than there are slots.

    Raises:
        ConfigurationError: if the limit was deleted since the flow's door, or the folder of the machine's locks cannot
            be used.
        httpx.TransportError: if the server cannot be reached before the slot is there.
    """
    name = _device_limit()
    if name is None:
        yield
        return
    with _devices_of_this_machine(), _slot(name):
        yield


@contextmanager
def _devices_of_this_machine() -> Iterator[None]:
    """Wait until no other process of this machine and user computes on the devices that this one sees."""
    start, waited = time.monotonic(), False

    def say(holder: str) -> None:
        nonlocal waited
        waited = True
        logger.info("Waits for the devices of this machine: %s computes.", holder)

    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
    # A digest: a list of GPUs by their ids is too long for the name of a file.
    with locks.turn(_machine_locks(), f"devices-{hashlib.sha256(visible.encode()).hexdigest()[:16]}", say):
        if waited:
            logger.info("Has the devices of this machine after %.0f s.", time.monotonic() - start)
        yield


def _machine_locks() -> Path:
    """A folder of this machine and user; the store may be shared by machines, where the kernel's locks may not reach.

    Raises:
        ConfigurationError: if it cannot be made, or is another user's.
    """
    folder = Path(tempfile.gettempdir()) / f"retraining-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.stat().st_uid
    except OSError as error:
        raise ConfigurationError(
            f"{folder}, where runs of this machine wait for each other, cannot be made: {error.strerror}. Let TMPDIR "
            "name a folder that can be written to, the same for all workers of this machine."
        ) from error
    if owner != os.getuid():
        raise ConfigurationError(
            f"{folder}, where runs of this machine wait for each other, belongs to user {owner}; expected "
            f"{os.getuid()}, who runs this. Remove it, or let TMPDIR name another folder, the same for all workers of "
            "this machine."
        )
    return folder


@contextmanager
def _slot(name: str) -> Iterator[None]:
    """Hold a slot of a global concurrency limit.

    Raises:
        ConfigurationError: if the limit was deleted since the flow's door.
        httpx.TransportError: if the server cannot be reached before the slot is there.
    """
    held = ExitStack()
    with _waiting_said(name):
        try:
            held.enter_context(
                concurrency(
                    name,
                    occupy=1,
                    strict=True,
                    lease_duration=SLOT_LEASE_SECONDS,
                    raise_on_lease_renewal_failure=False,
                )
            )
        except ConcurrencySlotAcquisitionError as error:
            if isinstance(error.__cause__, httpx.TransportError):
                raise error.__cause__ from error  # it may pass by itself, so the step is tried again
            check_device_slot()
            raise
    try:
        yield
    finally:
        try:
            held.close()
        except Exception as error:  # what was computed is not lost over this
            logger.warning("The slot of %s comes free in %.0f s, not now: %s", name, SLOT_LEASE_SECONDS, error)


def _device_limit() -> str | None:
    return (machine.current() or machine.Machine()).gpu_slot


@contextmanager
def _waiting_said(name: str) -> Iterator[None]:
    """Log that a slot is waited for, where it is, and for how long it was."""
    start = time.monotonic()
    said = threading.Timer(
        WAITING_SAID_SECONDS, copy_context().run, (logger.info, "Waits for a slot of %s: others compute.", name)
    )
    said.daemon = True
    said.start()
    try:
        yield
    finally:
        said.cancel()
    if (seconds := time.monotonic() - start) >= WAITING_SAID_SECONDS:
        logger.info("Has a slot of %s after %.0f s.", name, seconds)


def source_digest(modules: Iterable[str]) -> str:
    """SHA-256 over the parsed source, without comments and docstrings, of all that `modules` reach.

    Raises:
        ValueError: if one of them is not first-party, and so cannot be followed.
        CodeChangedError: if any of it has changed since this process began.
    """
    return hashlib.sha256(json.dumps(_read_unchanged(modules), sort_keys=True).encode()).hexdigest()


def reached_modules(modules: Iterable[str]) -> dict[str, Path]:
    """The first-party modules that `modules` import, transitively and wherever in the file, with their files.

    Raises:
        ValueError: if one of `modules` is not first-party.
    """
    todo = list(modules)
    for module in todo:
        if _source_file(module) is None:
            raise ValueError(f"{module!r} is no module of {FIRST_PARTY}; its source cannot take part in a cache key")
    reached: dict[str, Path] = {}
    while todo:
        module = todo.pop()
        path = _source_file(module)
        if path is None or module in reached or module in _BY_FORMAT or _is_declaration(module):
            continue
        reached[module] = path
        todo.extend(_parse(path, _at_the_beginning(path))[1])
    return reached


def _read_unchanged(modules: Iterable[str]) -> dict[str, str]:
    """The parsed source, by module, of all that `modules` reach.

    Raises:
        ValueError: if one of `modules` is not first-party.
        CodeChangedError: if any of it has changed since this process began.
    """
    parsed: dict[str, str] = {}
    for module, path in sorted(reached_modules(modules).items()):
        parsed[module] = _parse(path, _at_the_beginning(path))[0]
        try:
            unchanged = _parse(path, path.read_bytes())[0] == parsed[module]
        except (OSError, SyntaxError):
            unchanged = False
        if not unchanged:
            raise CodeChangedError(
                f"The code changed while the run was at work: {path} is not what it was when this process began. "
                "Start the run again, with one state of the code; finished steps are kept."
            )
    return parsed


def _at_the_beginning(path: Path) -> bytes:
    """A file as it was when this process began. One that was not there is reached from no other that is unchanged."""
    return _BEGAN[path] if path in _BEGAN else path.read_bytes()


def _digest(parts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a step's input must be a pydantic model or a plain value to have a cache key; got {type(value)}")


def _source_file(module: str) -> Path | None:
    """The file of a first-party module; None for anything else, such as `tasks.store.Reference`.

    Found by name: `importlib.util.find_spec` would import the packages above, and TensorFlow with them.
    """
    parts = module.split(".")
    if parts[0] not in FIRST_PARTY:
        return None
    path = ROOT.joinpath(*parts)
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file in _BEGAN or file.is_file()), None)


def _is_declaration(module: str) -> bool:
    return any(part in _BY_VALUE for part in module.split("."))


@cache
def _parse(path: Path, source: bytes) -> tuple[str, tuple[str, ...]]:
    """The source without comments and docstrings, and the absolute names of all that it imports."""
    tree = _tree(path, source)
    imported: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            imported.append(node.module)
            imported.extend(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
    return ast.unparse(tree), tuple(imported)


def _tree(path: Path, source: bytes) -> ast.Module:
    """The syntax tree.

    Python 3.11 counts how deep it is for all threads together, and takes it for a fault of its own, a SystemError,
    where a collection of garbage lets another thread parse in between. So nothing is collected meanwhile.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source, filename=str(path))
    finally:
        if collecting:
            gc.enable()


def _drop_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Leave out every bare string of a body: docstrings, and those that stand below an attribute."""
    node.body = [
        part
        for part in node.body
        if not (
            isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and isinstance(part.value.value, str)
        )
    ] or [ast.Pass()]
