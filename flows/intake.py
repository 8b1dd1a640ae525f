"""The drops of one run: found before ingest, settled after validate, and the folder this run's alone in between."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.execution import Steps
from tasks.errors import ConfigurationError
from tasks.ingest import drops, settling
from tasks.ingest.config import IngestConfig
from tasks.ingest.drop_folder import DropFolder
from tasks.ingest.drops import Arrivals
from tasks.ingest.sources import Source
from tasks.validate.config import ValidateConfig
from tasks.values.dataset import RawDataset
from tasks.values.drops import DropOutcomes
from tasks.values.validation import DataValidationError, Validation


def check(config: IngestConfig) -> None:
    """See, before anything starts, that the drops folder is one and the corrections a file.

    Raises:
        ConfigurationError: if they are not.
    """
    if config.corrections is not None and not Path(config.corrections).is_file():
        raise ConfigurationError(f"The corrections {config.corrections} are not there; expected a CSV file.")
    if config.drops is not None:
        DropFolder(config.drops)


@contextmanager
def opened(steps: Steps, source: Source, config: IngestConfig) -> Iterator[Arrivals]:
    """Look at the drops folder, and have it alone until the end of the block."""
    with ExitStack() as stack:
        steps.attempt("ingest", stack.enter_context, drops.turn(config))
        yield steps.attempt("ingest", drops.find, source, config)


def settle(
    arrivals: Arrivals, dataset: RawDataset, validation: Validation, run_id: str, config: ValidateConfig
) -> DropOutcomes:
    """Take the good drops and move the bad ones aside; a bad one touches nothing where the run is to stop at it."""
    stop = config.on_bad_drop == "fail"
    return settling.settle(arrivals, dataset, validation.drops, run_id, stop_on_bad=stop)


def require_none_refused(outcomes: DropOutcomes) -> None:
    """See that the run may go on.

    Raises:
        DataValidationError: if a drop is bad, and the run was to stop at it.
    """
    refused = outcomes.having("refused")
    if refused:
        parts = " ".join(f"{drop.folder}: {drop.reason}" for drop in refused)
        raise DataValidationError(
            f"{len(refused)} of {len(outcomes.drops)} drops must not be trained on. {parts} Mend or remove them, or "
            "leave --validate.on-bad-drop at quarantine; nothing was moved, and nothing trained."
        )
