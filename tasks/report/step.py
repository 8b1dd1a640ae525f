"""The step `report`: write the page, then say it in short on the dashboard."""

import logging
from pathlib import Path
from socket import gethostname

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from tasks import policies
from tasks.addresses import scheme_of
from tasks.errors import PipelineError
from tasks.files import write_atomically
from tasks.report import brief
from tasks.report.config import ReportConfig
from tasks.report.contents import ReportContents

logger = logging.getLogger(__name__)

REPORT = "report.html"
LABEL_ISSUES = "label_issues.csv"


@task(name="report", task_run_name="report, {contents.outcome}", **policies.uncached(retries=0))
def report(contents: ReportContents, config: ReportConfig, folder: str, place: str) -> str:
    """Render the run, failed or not, into `folder`.

    Args:
        contents: What the page tells.
        config: The section.
        folder: On this machine.
        place: Where people find the page: its path there, or the URL of the copy that the store has.

    Returns:
        The place.
    """
    write_report(contents, config, folder)
    try:
        publish_artifacts(contents, place)
    except Exception as error:  # whatever a server does, the page is there
        logger.warning("The dashboard has no artifacts of this run: %s", error)
    return place


def write_report(contents: ReportContents, config: ReportConfig, folder: str) -> str:
    """Write `report.html` and the list of suspected labels into `folder`, each whole or not at all.

    Returns:
        The path of the page.
    """
    from tasks.report import page  # matplotlib, Jinja2 and Pillow: not before they are needed

    target = Path(folder).absolute()
    target.mkdir(parents=True, exist_ok=True)
    if contents.evaluation is not None:
        try:
            write_atomically(target / LABEL_ISSUES, contents.evaluation.label_issues.text())
        except PipelineError as error:
            logger.warning("There is no list of suspected labels beside the report: %s", error)
    write_atomically(target / REPORT, page.render(contents, config))
    return str(target / REPORT)


def publish_artifacts(contents: ReportContents, place: str) -> None:
    """Give the dashboard a summary, the figures of each class and a link to the page; within a Prefect run."""
    cause = f" {contents.stopped_at.error}" if contents.outcome == "failed" and contents.stopped_at.error else ""
    create_markdown_artifact(
        brief.markdown(contents, place), key="report-summary", description=contents.sentence + cause
    )
    if contents.evaluation is not None:
        create_table_artifact(
            brief.class_table(contents.evaluation.result),
            key="report-classes",
            description="Precision, recall and F1 of each class on the test images.",
        )
    local = scheme_of(place) is None
    create_link_artifact(
        Path(place).as_uri() if local else place,
        link_text="Report",
        key="report-file",
        description=f"On {gethostname()}: `{place}`. Browsers open no file from another page: copy the address there."
        if local
        else f"In the store: `{place}`",
    )
