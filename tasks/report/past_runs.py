"""The runs of a store, read from the `summary.json` that each left."""

import logging
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from cnn_model.results import Interval
from tasks.report.summary import SUMMARY
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


def past_runs(folder: Path, model_name: str, without: str) -> tuple[tuple[PastRun, ...], int]:
    """The last runs that came to a version of a model.

    Args:
        folder: It has a folder for each run.
        model_name: The registered model's; runs of others are left out.
        without: Id of a run that is left out.

    Returns:
        At most `NUM_RUNS` runs, the oldest first, and how many summaries could not be read.
    """
    found: list[PastRun] = []
    num_unreadable = 0
    for path in _newest(folder)[:MAX_READ]:
        try:
            summary = _Summary.model_validate_json(path.read_bytes())
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
        except (OSError, ValidationError) as error:
            num_unreadable += 1
            logger.warning("The run of %s is not in the history: %s", path, error)
        if len(found) == NUM_RUNS:
            break
    return tuple(sorted(found, key=lambda run: run.started)), num_unreadable


def _newest(folder: Path) -> list[Path]:
    """The summaries, the last written first."""
    times: list[tuple[float, Path]] = []
    for path in folder.glob(f"*/{SUMMARY}"):
        try:
            times.append((path.stat().st_mtime, path))
        except OSError:  # removed meanwhile
            continue
    return [path for _, path in sorted(times, reverse=True)]
