"""The step `report`: write the page, then say it in short on the dashboard."""

import logging
from pathlib import Path
from socket import gethostname

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from tasks import machine, policies
from tasks.addresses import scheme_of
from tasks.errors import PipelineError
from tasks.files import write_atomically
from tasks.report import brief
from tasks.report.config import ReportConfig
from tasks.report.contents import ReportContents

logger = logging.getLogger(__name__)

REPORT = "report.html"
LABEL_ISSUES = "label_issues.csv"

UNSERVED = "No browser opens that from here; one does where reports are served and RETRAINING_REPORTS_URL says where."


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
        publish_artifacts(contents, address_of(contents.run.run_id, place))
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


def address_of(run_id: str, place: str) -> str:
    """Where people open a run's report: where the machine's settings say that it is served, else where it lies."""
    settings = machine.current()
    served = settings.reports_url if settings is not None else None
    return place if served is None else f"{served}/{run_id}/{REPORT}"


def publish_artifacts(contents: ReportContents, address: str) -> None:
    """Give the dashboard a summary, the figures of each class and a link to the page; within a Prefect run.

    Args:
        contents: What the page tells.
        address: Of the page: a path on this machine, or a URL.
    """
    cause = f" {contents.stopped_at.error}" if contents.outcome == "failed" and contents.stopped_at.error else ""
    create_markdown_artifact(
        brief.markdown(contents, address), key="report-summary", description=contents.sentence + cause
    )
    if contents.evaluation is not None:
        create_table_artifact(
            brief.class_table(contents.evaluation.result),
            key="report-classes",
            description="Precision, recall and F1 of each class on the test images.",
        )
    match scheme_of(address):
        case None:
            link, where = Path(address).as_uri(), f"On {gethostname()}: `{address}`. {UNSERVED}"
        case "http" | "https":
            link, where = address, "The whole page."
        case _:
            link, where = address, f"In the store: `{address}`. {UNSERVED}"
    create_link_artifact(link, link_text="Report", key="report-file", description=where)
