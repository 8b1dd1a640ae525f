"""The drops of one run: found before ingest, settled after validate, and the folder this run's alone in between."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from prefect import runtime
from pydantic import ValidationError

from flows.execution import Steps
from tasks.errors import ConfigurationError
from tasks.ingest import drops, extra_test, settling
from tasks.ingest.config import IngestConfig
from tasks.ingest.drop_address import place_at
from tasks.ingest.drops import Arrivals
from tasks.ingest.sources import Source
from tasks.ledger import model_name, open_ledger
from tasks.succession import succession
from tasks.validate.config import ValidateConfig
from tasks.values.baselines import Baselines
from tasks.values.dataset import RawDataset
from tasks.values.drops import DropOutcomes
from tasks.values.validation import DataValidationError, Validation

logger = logging.getLogger(__name__)


def check(config: IngestConfig) -> None:
    """See, before anything starts, that the folders are there and the corrections a file.

    Raises:
        ConfigurationError: if they are not.
    """
    if config.corrections is not None and not Path(config.corrections).is_file():
        raise ConfigurationError(f"The corrections {config.corrections} are not there; expected a CSV file.")
    if config.drops is not None:
        place_at(config.drops)
    extra_test.check(config)


@contextmanager
def opened(steps: Steps, source: Source, config: IngestConfig) -> Iterator[Arrivals]:
    """Look at the drops folder, and have it alone until the end of the block; none, where they are left alone.

    Raises:
        StepFailedError: if the folder is none or cannot be reached, or a drop that was taken is lost.
    """
    if config.drops is None:
        yield Arrivals()
        return
    reason = _why_left_alone(source)
    if reason is not None:
        logger.warning("The drops in %s stay as they are: %s.", config.drops, reason)
        yield Arrivals()
        return
    with ExitStack() as stack:
        steps.attempt("ingest", stack.enter_context, drops.turn(config))
        yield steps.attempt("ingest", drops.find, source, config)


def _why_left_alone(source: Source) -> str | None:
    """Why this run must not touch drops, as the end of a sentence; None where it may.

    By the class names of practice images what a team sends would be moved aside, or taken for what it is not. Only a
    command line that names both means both: a deployment has the team's drops among its defaults.
    """
    if source.kind != "synthetic":
        return None
    if source.fallback_reason is not None:
        return "this run is on practice images only by default"
    if runtime.deployment.id is not None:
        return "this run is on practice images, and a deployment's drops are sent for CIFAR-10"
    return None


def baselines(arrivals: Arrivals, dataset: RawDataset) -> Baselines:
    """What each drop is to be like: a new one the champions' data of now, a taken one what it was compared with then.

    A dataset that the store has lost is left out, and said to be.

    Raises:
        RegistryError: if the ledger cannot be read.
    """
    if not arrivals.drops:
        return Baselines()
    entries = open_ledger(model_name(dataset.name)).entries()
    kept = {entry.dataset_digest: entry.dataset for entry in entries if entry.dataset_digest is not None}
    # First and last of those that nobody took back, and once where they are one.
    held = succession(entries)
    digests = [entry.dataset_digest for entry in held if entry.dataset_digest is not None]
    now = tuple(dict.fromkeys(digests[:1] + [entry.dataset_digest for entry in held[-1:] if entry.dataset_digest]))
    wanted = {drop.digest: now if drop.baselines is None else drop.baselines for drop in arrivals.drops}
    datasets: dict[str, RawDataset] = {}
    for digest in sorted({digest for digests in wanted.values() for digest in digests if digest in kept}):
        try:
            datasets[digest] = RawDataset.model_validate(kept[digest])
        except ValidationError as error:
            message = "Drops are not compared with the data %s of an earlier champion: %s"
            logger.warning(message, digest[:12], error.errors()[0]["msg"])
    of_drop = {drop: tuple(digest for digest in digests if digest in datasets) for drop, digests in wanted.items()}
    return Baselines(of_drop={drop: digests for drop, digests in of_drop.items() if digests}, datasets=datasets)


def settle(
    arrivals: Arrivals,
    dataset: RawDataset,
    compared: Baselines,
    validation: Validation,
    run_id: str,
    config: ValidateConfig,
) -> DropOutcomes:
    """Take the good drops and move the bad ones aside; a bad one touches nothing where the run is to stop at it."""
    stop = config.on_bad_drop == "fail"
    return settling.settle(arrivals, dataset, compared, validation.drops, run_id, stop_on_bad=stop)


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
