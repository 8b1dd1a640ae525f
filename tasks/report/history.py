"""The history of accuracy as the page has it: the runs of the store and this one, in a chart and a table."""

from dataclasses import dataclass
from datetime import datetime

from tasks.report import charts
from tasks.report.contents import ReportContents
from tasks.values.history import PastRun


@dataclass(frozen=True)
class HistoryRow:
    """One run.

    Attributes:
        same_images: Whether its figure compares with that of the run on the page.
        current: Whether it is that run.
    """

    run: PastRun
    same_images: bool
    current: bool


@dataclass(frozen=True)
class PastAccuracy:
    """The runs that came to a model.

    Attributes:
        rows: The newest first.
        chart: An `<svg>`.
        num_unreadable: Summaries that could not be read.
    """

    rows: tuple[HistoryRow, ...]
    chart: str
    num_unreadable: int


def past_accuracy(contents: ReportContents) -> PastAccuracy | None:
    """The runs before and this one; None where there was none before."""
    history, current = contents.history, _current(contents)
    if history is None or not history.runs:
        return None
    runs = [*history.runs, *([current] if current is not None else [])]
    digest = contents.splits.test_digest if contents.splits is not None else runs[-1].test_digest
    rows = [HistoryRow(run, run.test_digest == digest, run is current) for run in runs]
    champions = {promotion.version for promotion in history.promotions}
    champions |= {run.version for run in runs if run.outcome == "promoted"}
    points = [
        charts.Point(
            started=row.run.started,
            accuracy=row.run.accuracy,
            same_images=row.same_images,
            promoted=row.run.version in champions,
            current=row.current,
        )
        for row in rows
    ]
    return PastAccuracy(tuple(reversed(rows)), charts.history(points), history.num_unreadable)


def _current(contents: ReportContents) -> PastRun | None:
    if contents.registration is None or contents.evaluation is None:
        return None
    return PastRun(
        run_id=contents.run.run_id,
        run_name=contents.run.run_name,
        started=datetime.fromisoformat(contents.run.started),
        outcome=contents.outcome,
        version=contents.registration.version,
        accuracy=contents.evaluation.result.accuracy,
        test_digest=contents.evaluation.test_digest,
    )
