"""Removes from a store what nothing needs any more: the command line, which starts without Prefect.

    python -m flows.pruning             say what would go
    python -m flows.pruning --apply     remove it

The exit code is 0 where all is well, 1 where nothing was removed because something is wrong, 2 after a wrong option.
"""

import os
import sys
from collections.abc import Sequence

from rich.console import Console

from flows import options, pruning_words
from flows.options import PruningOptions
from tasks import machine
from tasks.errors import ConfigurationError, PipelineError
from tasks.retention import prune


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code."""
    try:
        chosen = options.parse(arguments, PruningOptions)
        with machine.use(chosen.machine(os.environ)):
            found = prune(chosen.retention, apply=chosen.apply, waiting=_say_waiting)
    except ConfigurationError as error:
        options.exit_with_usage_error(error, PruningOptions)
    except PipelineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if chosen.as_json:
        sys.stdout.write(found.model_dump_json(indent=1) + "\n")
        return 0
    console = Console(highlight=False, soft_wrap=False, file=sys.stdout)
    console.print(pruning_words.table(found))
    if not found.applied and found.removed:
        console.print("Remove it with --apply.")
    return 0


def _say_waiting(holder: str) -> None:
    sys.stderr.write(f"Waiting for another pruning of this store to end: {holder}.\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
