"""How a long step says how far it is, without knowing who listens: a terminal, the dashboard, or nobody."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pydantic import BaseModel, ConfigDict


class Progress(BaseModel):
    """How far a step is.

    Attributes:
        done: Units done, 0 to `total`.
        total: Units in all.
        unit: What is counted: "epochs", "bytes".
        note: The latest figures in a few words, such as "loss 0.91, accuracy 0.68".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    done: float
    total: float
    unit: str
    note: str = ""


Listener = Callable[[Progress], None]

_listener: ContextVar[Listener | None] = ContextVar("progress_listener", default=None)


def report(progress: Progress) -> None:
    """Tell the listener, if there is one."""
    listener = _listener.get()
    if listener is not None:
        listener(progress)


@contextmanager
def listen(listener: Listener) -> Iterator[None]:
    """Send what is reported within the block to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
