"""One process at a time, by objects that only one can create: for who shares nothing but a bucket.

    TURNS/000007.json    the last turn: who has it, when it gave a sign of life, whether it is over

The next turn is that of who creates the next number; a store that honours conditional writes lets one do so. A holder
renews its object, and one that no longer does is taken for dead: whoever waits watches it by a clock of its own and
then creates the next number. The last object stays, so no number comes twice and a holder that wakes up late harms
nobody's turn but cannot know, either, that it has lost its own.
"""

import logging
import os
import platform
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.errors import PipelineError
from tasks.objects import Objects

logger = logging.getLogger(__name__)

BEAT_SECONDS = 20.0
LEASE_SECONDS = 120.0
"""Six signs of life; a lost network that is back sooner costs no turn."""
POLL_SECONDS = 2.0


class Turn(BaseModel):
    """The object of one turn.

    Attributes:
        id: Tells the holder its own object from another's.
        beats: Signs of life so far.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    process: int
    host: str
    since: str
    beats: int = 0
    over: bool = False


def enter(objects: Objects, folder: str, waiting: Callable[[str], None]) -> AbstractContextManager[None]:
    """Wait until the last turn is over or its holder dead, then have the next one; it begins with the call.

    Args:
        objects: Where the turns lie.
        folder: In which folder.
        waiting: Told once who is waited for: "process 12 on host, since 2026-11-21T...".

    Returns:
        What ends the turn.
    """
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    mine = Turn(id=uuid.uuid4().hex, process=os.getpid(), host=platform.node(), since=now)
    told = False
    seen: tuple[int, bytes] | None = None
    seen_at = 0.0
    while True:
        number, content = _last(objects, folder)
        if seen != (number, content):
            seen, seen_at = (number, content), time.monotonic()
        holder = _parsed(content)
        dead = time.monotonic() - seen_at > LEASE_SECONDS
        if number == 0 or (holder is not None and holder.over) or dead:
            if dead:
                logger.warning("No sign of life of %s for %.0f s; its turn is over.", _words(holder), LEASE_SECONDS)
            if _created(objects, _name(folder, number + 1), mine):
                return _held(objects, folder, number + 1, mine)
        elif not told:
            waiting(_words(holder))
            told = True
        time.sleep(POLL_SECONDS)


@contextmanager
def _held(objects: Objects, folder: str, number: int, mine: Turn) -> Iterator[None]:
    name, over = _name(folder, number), threading.Event()
    beating = threading.Thread(target=_beat, args=(objects, name, mine, over), daemon=True)
    beating.start()
    try:
        for earlier in objects.below(folder):
            if f"{folder}/{earlier}" < name:
                objects.delete(f"{folder}/{earlier}")
        yield
    finally:
        over.set()
        beating.join()
        _end(objects, folder, number, mine)


def _beat(objects: Objects, name: str, mine: Turn, over: threading.Event) -> None:
    beats = 0
    while not over.wait(BEAT_SECONDS):
        beats += 1
        try:
            objects.write(name, _text(mine.model_copy(update={"beats": beats})))
        except (PipelineError, OSError) as error:
            logger.warning("A sign of life did not reach %s: %s", objects.url, error)


def _end(objects: Objects, folder: str, number: int, mine: Turn) -> None:
    try:
        if _last(objects, folder)[0] == number:
            objects.write(_name(folder, number), _text(mine.model_copy(update={"over": True})))
        else:
            logger.warning(
                "Another run has taken the turn at %s, after %.0f s without a sign of life of this one.",
                objects.url,
                LEASE_SECONDS,
            )
    except (PipelineError, OSError) as error:
        logger.warning("The turn at %s was not given back; the next run waits for it: %s", objects.url, error)


def _created(objects: Objects, name: str, mine: Turn) -> bool:
    """Whether the turn of that name is ours."""
    try:
        objects.create(name, _text(mine))
    except PermissionError:
        raise
    except OSError as error:
        try:
            there = _parsed(objects.read(name))
        except FileNotFoundError:
            raise error from None
        # Ours, where the first answer was lost and the driver asked again.
        return there is not None and there.id == mine.id
    try:
        objects.create(name, _text(mine))
    except OSError:
        return True
    logger.warning("%s does not honour conditional writes, so two runs at once may both be at work there.", objects.url)
    return True


def _last(objects: Objects, folder: str) -> tuple[int, bytes]:
    """The highest number and what its object holds; 0 where there is none."""
    while True:
        names = [name for name in objects.below(folder) if re.fullmatch(r"\d{6}\.json", name)]
        if not names:
            return 0, b""
        last = max(names)
        try:
            return int(last.removesuffix(".json")), objects.read(f"{folder}/{last}")
        except FileNotFoundError:
            continue  # removed by the holder of a later one


def _name(folder: str, number: int) -> str:
    return f"{folder}/{number:06d}.json"


def _text(turn: Turn) -> bytes:
    return (turn.model_dump_json(indent=1) + "\n").encode()


def _parsed(content: bytes) -> Turn | None:
    try:
        return Turn.model_validate_json(content)
    except ValidationError:
        return None


def _words(holder: Turn | None) -> str:
    if holder is None:
        return "another process"
    return f"process {holder.process} on {holder.host}, since {holder.since}"
