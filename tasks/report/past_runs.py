"""The runs of a store, read from the `summary.json` that each left."""

import logging
from collections.abc import Iterator

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from cnn_model.results import Interval
from tasks.report.summary import SUMMARY
from tasks.shared_folder import SharedFolder
from tasks.values.history import PastRun

logger = logging.getLogger(__name__)

NUM_RUNS = 50
MAX_READ = 500
"""Summaries looked at: with runs of other models among them there may be many more than are shown."""


class _Metrics(BaseModel):
    """What is read of a summary's figures; whatever else an older or newer one has is left alone."""

    model_config = ConfigDict(extra="ignore")

    accuracy: Interval


class _Summary(BaseModel):
    """What is read of a summary."""

    model_config = ConfigDict(extra="ignore")

    run_id: str
    run_name: str
    started: AwareDatetime
    outcome: str
    model_name: str | None = None
    model_version: int | None = None
    metrics: _Metrics | None = None
    test_digest: str | None = None


def past_runs(runs: SharedFolder, model_name: str, without: str) -> tuple[tuple[PastRun, ...], int]:
    """The last runs that came to a version of a model.

    Args:
        runs: It has a folder for each run.
        model_name: The registered model's; runs of others are left out.
        without: Id of a run that is left out.

    Returns:
        At most `NUM_RUNS` runs, the oldest first, and how many summaries could not be read.
    """
    found: list[PastRun] = []
    num_unreadable = 0
    for name, content in _newest(runs):
        try:
            summary = _Summary.model_validate_json(content)
            if summary.model_name != model_name or summary.run_id == without:
                continue
            if summary.metrics is None or summary.model_version is None:
                continue
            found.append(
                PastRun(
                    run_id=summary.run_id,
                    run_name=summary.run_name,
                    started=summary.started,
                    outcome=summary.outcome,
                    version=summary.model_version,
                    accuracy=summary.metrics.accuracy,
                    test_digest=summary.test_digest,
                )
            )
        except ValidationError as error:
            num_unreadable += 1
            logger.warning("The run of %s is not in the history: %s", runs.place(name), error)
        if len(found) == NUM_RUNS:
            break
    return tuple(sorted(found, key=lambda run: run.started)), num_unreadable


def _newest(runs: SharedFolder) -> Iterator[tuple[str, bytes]]:
    """The summaries by name, the last written first; so many are asked for at once as are shown."""
    times = runs.names(f"*/{SUMMARY}")
    newest = sorted(times, key=lambda name: (times[name], name), reverse=True)[:MAX_READ]
    for first in range(0, len(newest), NUM_RUNS):
        found = runs.read(newest[first : first + NUM_RUNS])
        yield from ((name, found[name]) for name in newest[first : first + NUM_RUNS] if name in found)
