"""How the command speaks: JSON lines for a program, plain lines for a person; and how it ends with its parent."""

import json
import os
import sys
import threading
from typing import Any

Event = dict[str, Any]


def write_json(event: Event) -> None:
    """One event, one line on standard output."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def write_text(event: Event) -> None:
    """The same for a person: progress and result on standard output, warnings and errors on standard error."""
    stream = sys.stderr if event["event"] in ("warning", "error") else sys.stdout
    line = _line(event)
    if line is not None:
        stream.write(line + "\n")
        stream.flush()


def end_with_parent() -> None:
    """End this process at once when standard input closes: the process that started it is gone."""
    threading.Thread(target=_wait_for_end_of_input, name="end-with-parent", daemon=True).start()


def _wait_for_end_of_input() -> None:
    # The descriptor itself: a buffered reader would hold a lock that the interpreter wants at its end.
    while os.read(0, 1024):
        pass
    os._exit(1)


def _line(event: Event) -> str | None:
    match event["event"]:
        case "epoch":
            return _epoch_line(event)
        case "progress":
            return _progress_line(event)
        case "device":
            return f"on {event['device']}"
        case "scored":
            return f"  {event['images']:,} images, {event['images_per_second']:.0f} images/s"
        case "resumed":
            return f"goes on after epoch {event['epoch']} of {event['epochs']}"
        case "warning":
            return f"warning: {event['message']}"
        case "error":
            return f"error ({event['kind']}): {event['message']}"
        case "result":
            shown = {name: value for name, value in event.items() if isinstance(value, str | int | float)}
            return "\n".join(f"{name}: {value}" for name, value in shown.items() if name != "event")
    return None


def _epoch_line(event: Event) -> str:
    line = f"epoch {event['epoch']}/{event['epochs']}: {_scores(event['train'])}"
    if event["validation"] is not None:
        line += f", validation {_scores(event['validation'])}"
    return f"{line}, {event['seconds']:.1f} s, {event['images_per_second']:.0f} images/s"


def _progress_line(event: Event) -> str:
    # What is done is a number of epochs with a fraction: 2.35 is 35 % of the third.
    epoch, share = divmod(event["done"], 1)
    return (
        f"  {epoch:.0f} of {event['total']} epochs and {100 * share:.0f} %: {_scores(event)}, "
        f"{event['images_per_second']:.0f} images/s"
    )


def _scores(scores: Event) -> str:
    return f"loss {scores['loss']:.3f}, accuracy {scores['accuracy']:.3f}"
