"""The report: one HTML file that needs nothing but a browser.

This module chooses and words what `template.html.j2` lays out and `style.css` dresses. It imports matplotlib, Jinja2
and Pillow, so the step imports it when it runs and not before.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from cnn_model.curves import METRICS
from cnn_model.results import EvaluationResult
from tasks.errors import PipelineError
from tasks.report import figures, words
from tasks.report.config import ReportConfig
from tasks.report.contents import ReportContents
from tasks.report.examples import Examples, dataset_examples, drop_examples
from tasks.report.gallery import Gallery, gallery
from tasks.report.label_issues import SuspectPicture, suspect_pictures
from tasks.report.near_duplicates import PairGallery, pair_gallery
from tasks.values.execution import StepName
from tasks.values.validation import Check

logger = logging.getLogger(__name__)

T = TypeVar("T")

FOLDER = Path(__file__).parent

FILTERS: tuple[Callable[..., str], ...] = (
    words.duration,
    words.interval,
    words.moment,
    words.number,
    words.option,
    words.percent,
    words.size,
    words.surety,
)
"""What the template may say figures with."""

DONE_IS_KEPT = "What was done before is kept: the next run takes it from the cache."
ADVICE: dict[StepName, str] = {
    "ingest": "Put right what the message names and run again.",
    "validate": "Look at the failed checks below, put the data right or choose another source, and run again.",
    "register": "Look at the ledger and at the registry, then run again; what was evaluated comes from the cache.",
}
"""What to do about a failed step, where there is more to say than `DONE_IS_KEPT`."""


@dataclass(frozen=True)
class Cell:
    """A cell of the confusion matrix.

    Attributes:
        hit: Whether it counts images that were recognised.
        shade: Depth of the colour, 0 to 100. Right ones stay pale, by their share; mistakes, by their share against
            the worst one, are what the eye should find.
    """

    count: int
    hit: bool
    shade: int


def render(contents: ReportContents, config: ReportConfig) -> str:
    """The whole page. Equal contents give equal text.

    Where the images cannot be read, the page says so in their place.
    """
    result = contents.evaluation.result if contents.evaluation is not None else None
    extra = contents.evaluation.extra_test if contents.evaluation is not None else None
    pictures, excuse = _shown("pictures", lambda: _pictures(contents, config))
    pairs, pairs_excuse = _shown("near-duplicates", lambda: _pairs(contents, config))
    suspects, suspects_excuse = _shown("suspected labels", lambda: _suspects(contents, config))
    failed_checks = _failed_first([check for check in contents.checks if not check.passed])
    examples, _ = _shown("images of failed checks", lambda: _examples(contents, failed_checks, config))
    of_drops, _ = _shown("images of the drops' failed checks", lambda: _drop_examples(contents, config))
    return _template().render(
        contents=contents,
        run=contents.run,
        result=result,
        digits=words.digits_for(result.num_images) if result is not None else 1,
        extra_digits=words.digits_for(extra.result.num_images) if extra is not None else 1,
        charts=_charts(contents),
        metrics=METRICS,
        matrix=_matrix(result) if result is not None else (),
        pictures=pictures,
        excuse=excuse,
        pairs=pairs,
        pairs_excuse=pairs_excuse,
        suspects=suspects,
        suspects_excuse=suspects_excuse,
        failed_checks=failed_checks,
        examples=examples or {},
        drop_examples=of_drops or {},
        passed_checks=[check for check in contents.checks if check.passed],
        advice=ADVICE.get(contents.stopped_at.name, DONE_IS_KEPT),
        versions=_versions(contents),
        seconds=sum(step.seconds for step in contents.all_steps),
        longest=max(step.seconds for step in contents.all_steps) or 1,
    )


def _shown(name: str, read: Callable[[], T | None]) -> tuple[T | None, str]:
    """What is read, or why it cannot be shown; no fault of theirs costs a run its report."""
    try:
        return read(), ""
    except (PipelineError, OSError, ValueError) as error:
        logger.warning("The report has no %s: %s", name, error)
        return None, str(error)


def _pictures(contents: ReportContents, config: ReportConfig) -> Gallery | None:
    if contents.splits is None or contents.evaluation is None:
        return None
    return gallery(
        contents.splits,
        contents.evaluation,
        num_sample=config.sample_images,
        num_predictions=config.predictions,
        num_mistakes=config.worst_mistakes,
    )


def _pairs(contents: ReportContents, config: ReportConfig) -> PairGallery | None:
    if contents.dataset is None or contents.near_duplicates is None:
        return None
    return pair_gallery(contents.dataset, contents.near_duplicates, config.near_duplicates)


def _suspects(contents: ReportContents, config: ReportConfig) -> tuple[SuspectPicture, ...]:
    if contents.splits is None or contents.evaluation is None:
        return ()
    return suspect_pictures(contents.splits, contents.evaluation.label_issues, config.label_issues)


def _examples(contents: ReportContents, checks: list[Check], config: ReportConfig) -> Examples:
    return dataset_examples(contents.dataset, checks, config.check_examples) if contents.dataset is not None else {}


def _drop_examples(contents: ReportContents, config: ReportConfig) -> dict[str, Examples]:
    """By the name of the drop."""
    drops = contents.drops.drops if contents.drops is not None else ()
    return {drop.name: drop_examples(drop, config.check_examples) for drop in drops if drop.checks}


def _charts(contents: ReportContents) -> dict[str, Markup]:
    """The curves by the name of their metric."""
    if contents.model is None or not contents.model.result.history:
        return {}
    training = contents.model.result
    return {metric: Markup(figures.curves(training, metric)) for metric in METRICS}


def _matrix(result: EvaluationResult) -> tuple[tuple[Cell, ...], ...]:
    """The confusion matrix with shares and shades, rows true and columns predicted class."""
    shares = [[count / (sum(row) or 1) for count in row] for row in result.confusion_matrix]
    mistakes = (share for i, row in enumerate(shares) for j, share in enumerate(row) if i != j)
    worst = max(mistakes, default=0) or 1
    return tuple(
        tuple(
            Cell(
                count=count,
                hit=i == j,
                shade=round(65 * shares[i][j] if i == j else 100 * shares[i][j] / worst),
            )
            for j, count in enumerate(row)
        )
        for i, row in enumerate(result.confusion_matrix)
    )


def _failed_first(checks: list[Check]) -> list[Check]:
    """The gravest first."""
    return sorted(checks, key=lambda check: ("critical", "warning", "info").index(check.severity))


def _versions(contents: ReportContents) -> dict[str, str]:
    """Versions of the flow's process and, where they differ or are new, of the one that trained."""
    trained = contents.model.result.versions if contents.model is not None else {}
    return dict(sorted({**contents.versions, **trained}.items(), key=lambda item: item[0].lower()))


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for filter_ in FILTERS:
        environment.filters[filter_.__name__] = filter_
    environment.globals["style"] = Markup((FOLDER / "style.css").read_text(encoding="utf-8"))
    return environment.get_template("template.html.j2")
