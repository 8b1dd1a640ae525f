"""Where the results of cached steps are, for all machines that share a store.

In a local store they are Prefect's own files in a folder. On object storage they are objects, written and read by the
store. Prefect takes whatever goes wrong when it looks for a result for a miss; here a network that is lost fails the
step instead, so that it is tried again: a miss would train for hours what is there already.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.context import FlowRunContext
from prefect.filesystems import LocalFileSystem, WritableFileSystem
from prefect.results import ResultStore
from pydantic import PrivateAttr

from tasks import store
from tasks.errors import PipelineError, TransientError
from tasks.shared_folder import SharedFolder
from tasks.store import Store

logger = logging.getLogger(__name__)

FOLDER = "results"

DELAYS_SECONDS = (5.0, 20.0, 60.0)
"""Between attempts to write a result; what was computed in hours is not given up for a minute without network."""


class SharedResults(WritableFileSystem):
    """The results of a store on object storage, as Prefect wants them. Holds nothing that a server would have to know,
    and is saved on none.
    """

    _block_type_name = "Shared results"

    _folder: SharedFolder = PrivateAttr()
    _unwritten: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def of(cls, opened: Store) -> "SharedResults":
        """Those of a store. A block's own initialisation takes nothing but fields that are saved."""
        results = cls()
        results._folder = opened.shared(FOLDER)
        return results

    def _resolve_path(self, path: str) -> None:
        """A key is the name of an object. Without this Prefect takes it for a path below the working folder."""

    # Prefect declares both as coroutines, and calls whichever kind it finds.
    def read_path(self, path: str, **_: Any) -> bytes:  # type: ignore[override]
        """The record of that key.

        Raises:
            FileNotFoundError: if there is none.
            PipelineError: if that cannot be told.
        """
        found = self._folder.read([path])
        if path not in found:
            raise FileNotFoundError(path)
        return found[path]

    def write_path(self, path: str, content: bytes, **_: Any) -> None:  # type: ignore[override]
        """Write a record. Prefect only logs a failure: see `require_written`."""
        self._unwritten[path] = content.decode()
        self._folder.write(path, self._unwritten[path])
        del self._unwritten[path]

    def require_written(self) -> None:
        """Write what could not be written before.

        Raises:
            PipelineError: if it still cannot.
        """
        for delay in DELAYS_SECONDS:
            if not self._unwritten:
                return
            time.sleep(delay)
            try:
                self._write_again()
            except TransientError as error:
                logger.warning("A result is not in the store yet: %s", error)
        self._write_again()

    def _write_again(self) -> None:
        for path, text in list(self._unwritten.items()):
            self._folder.write(path, text)
            del self._unwritten[path]


class SharedResultStore(ResultStore):
    """Prefect's way to results, where what cannot be told is no miss."""

    def exists(self, key: str) -> bool:
        """Whether there is a result that can be used, with all artifacts that it names.

        Raises:
            PipelineError: if that cannot be told.
        """
        try:
            self.read(key)
        except PipelineError:
            raise
        except Exception:  # missing, or not understood: as Prefect's own
            return False
        return True


def open_results() -> ResultStore:
    """The results of the current store, as Prefect reads them."""
    opened = store.current()
    if opened.is_remote:
        return SharedResultStore(result_storage=SharedResults.of(opened))
    return ResultStore(result_storage=LocalFileSystem(basepath=str(opened.folder(FOLDER))))


@contextmanager
def kept_in(opened: Store) -> Iterator[dict[str, Any]]:
    """Have the steps within the block keep their results in a store.

    Yields:
        Options for `Task.with_options`.

    Raises:
        PipelineError: at the end, if a result could not be written.
    """
    if not opened.is_remote:
        yield {"result_storage": opened.folder(FOLDER)}
        return
    context = FlowRunContext.get()
    assert context is not None, "steps run within a flow"
    results = SharedResults.of(opened)
    # As an option of the task Prefect would have it saved on a server first.
    with context.model_copy(update={"result_store": SharedResultStore(result_storage=results)}):
        yield {}
    results.require_written()
