"""The report: one HTML file that needs nothing but a browser.

This module chooses the sections; `exhibits` reads what they show, `template.html.j2` and `sections/` lay it out,
`style.css` dresses it. It imports matplotlib, Jinja2 and Pillow, so the step imports it when it runs and not before.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from cnn_model.curves import METRICS
from tasks.report import comparison, confusions, exhibits, figures, words
from tasks.report.config import ReportConfig
from tasks.report.contents import ReportContents
from tasks.report.exhibits import Exhibits
from tasks.values.execution import StepName
from tasks.values.validation import Check

FOLDER = Path(__file__).parent

MAX_BYTES = 3_000_000
"""A page that can be sent by mail; galleries are cut where it would be larger."""

FILTERS: tuple[Callable[..., str], ...] = (
    words.day,
    words.duration,
    words.interval,
    words.moment,
    words.number,
    words.option,
    words.percent,
    words.points,
    words.probability,
    words.signed,
    words.size,
    words.surety,
)
"""What the templates may say figures with."""

DONE_IS_KEPT = "What was done before is kept: the next run takes it from the cache."
ADVICE: dict[StepName, str] = {
    "ingest": "Put right what the message names and run again.",
    "validate": "Look at the failed checks below, put the data right or choose another source, and run again.",
    "register": "Look at the ledger and at the registry, then run again; what was evaluated comes from the cache.",
}
"""What to do about a failed step, where there is more to say than `DONE_IS_KEPT`."""


def render(contents: ReportContents, config: ReportConfig) -> str:
    """The whole page, below `MAX_BYTES`. Equal contents give equal text."""
    html = _render(contents, config, shortened=False)
    while len(html.encode()) > MAX_BYTES and any(config.model_dump().values()):
        config = config.model_copy(update={name: 3 * number // 4 for name, number in config.model_dump().items()})
        html = _render(contents, config, shortened=True)
    return html


def _render(contents: ReportContents, config: ReportConfig, *, shortened: bool) -> str:
    result = contents.evaluation.result if contents.evaluation is not None else None
    extra = contents.evaluation.extra_test if contents.evaluation is not None else None
    decision = contents.registration.decision if contents.registration is not None else None
    comparisons = decision.comparisons if decision is not None else ()
    shown = exhibits.read(contents, config)
    charts = _charts(contents)
    return _template().render(
        contents=contents,
        run=contents.run,
        result=result,
        decision=decision,
        digits=words.digits_for(result.num_images) if result is not None else 1,
        extra_digits=words.digits_for(extra.result.num_images) if extra is not None else 1,
        shown=shown,
        sections=_sections(contents, shown, has_curves=bool(charts)),
        conditions=comparison.conditions(decision) if decision is not None else (),
        main_comparison=comparisons[0] if comparisons else None,
        accuracy=comparison.accuracy_forest(decision) if decision is not None and comparisons else None,
        calibration=comparison.calibration_forest(comparisons[0], _calibration_margin(contents))
        if comparisons
        else None,
        charts=charts,
        metrics=METRICS,
        matrix=confusions.matrix(result) if result is not None else (),
        failed_checks=_failed_first([check for check in contents.checks if not check.passed]),
        passed_checks=[check for check in contents.checks if check.passed],
        advice=ADVICE.get(contents.stopped_at.name, DONE_IS_KEPT),
        versions=_versions(contents),
        seconds=sum(step.seconds for step in contents.all_steps),
        longest=max(step.seconds for step in contents.all_steps) or 1,
        shortened=shortened,
    )


def _sections(contents: ReportContents, shown: Exhibits, *, has_curves: bool) -> dict[str, str]:
    """The sections that this page has, by their template: what the list at the top calls each."""
    decision = contents.registration.decision if contents.registration is not None else None
    evaluated = contents.evaluation is not None
    history = contents.history
    wanted = (
        ("comparison", "Against the champion", decision is not None and bool(decision.comparisons)),
        ("flips", "Newly right, newly wrong", bool(shown.flips)),
        ("classes", "Classes", evaluated),
        ("calibration", "Calibration", bool(shown.reliability)),
        ("robustness", "Robustness", bool(shown.robustness)),
        ("training", "Training", has_curves),
        ("images", "Images", evaluated),
        ("labels", "Labels", evaluated),
        ("near-duplicates", "Near-duplicates", bool(shown.pairs)),
        ("extra-test", "Extra test images", contents.extra_test is not None),
        ("drops", "Drops", contents.drops is not None and bool(contents.drops.drops)),
        ("checks", "Data checks", bool(contents.checks)),
        ("history", "History", bool(shown.past)),
        ("ledger", "Promotions", history is not None and bool(history.promotions or history.problem)),
        ("time", "Time", True),
        ("lineage", "Lineage", True),
    )
    return {name: title for name, title, there in wanted if there}


def _charts(contents: ReportContents) -> dict[str, Markup]:
    """The curves by the name of their metric."""
    if contents.model is None or not contents.model.result.history:
        return {}
    training = contents.model.result
    return {metric: Markup(figures.curves(training, metric)) for metric in METRICS}


def _calibration_margin(contents: ReportContents) -> float | None:
    """What the gate held the probabilities to, as the run was configured."""
    margin = contents.run.configuration.get("register", {}).get("calibration_margin")
    return float(margin) if isinstance(margin, int | float) else None


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
