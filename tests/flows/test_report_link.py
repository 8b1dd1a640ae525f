"""What the dashboard links to: the page where it is served, or the file where nothing serves it."""

from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import Artifact

from flows.retraining import retrain
from tasks import machine
from tasks.errors import ConfigurationError
from tasks.machine import Machine, from_environment
from tasks.report.summary import Summary
from tests.flows.conftest import SMALL, FinishedRun


def artifact(summary: Summary, key: str) -> Artifact:
    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(summary.run_id)]), key=ArtifactFilterKey(any_=[key])
    )
    with get_client(sync_client=True) as client:
        (found,) = client.read_artifacts(artifact_filter=wanted)
    return found


def test_a_page_that_is_served_is_linked_to_by_its_address(filled_store: Path) -> None:
    with machine.use(Machine(store=filled_store, reports_url="http://127.0.0.1:4300")):
        summary = retrain(**SMALL)
    address = f"http://127.0.0.1:4300/{summary.run_id}/report.html"
    assert artifact(summary, "report-file").data == f"[Report]({address})"
    assert f"- Report: <{address}>" in str(artifact(summary, "report-summary").data)
    # Where it lies is what the run itself keeps.
    assert summary.report == str(filled_store / "runs" / summary.run_id / "report.html")


def test_without_an_address_the_file_is_named_and_how_to_have_one(first_run: FinishedRun) -> None:
    found = artifact(first_run.summary, "report-file")
    path = first_run.store / "runs" / first_run.summary.run_id / "report.html"
    assert found.data == f"[Report]({path.as_uri()})"
    assert f"`{path}`" in str(found.description)
    assert "RETRAINING_REPORTS_URL" in str(found.description)


def test_the_address_comes_from_the_environment() -> None:
    assert from_environment({}).reports_url is None
    assert from_environment({"RETRAINING_REPORTS_URL": ""}).reports_url is None
    assert from_environment({"RETRAINING_REPORTS_URL": "https://host/runs/"}).reports_url == "https://host/runs"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("/srv/reports", "RETRAINING_REPORTS_URL is '/srv/reports'; expected the URL of a web server"),
        ("s3://bucket/runs", "expected the URL of a web server"),
        ("https://jane:hunter2@host/", "RETRAINING_REPORTS_URL carries a user, a password"),
    ],
)
def test_an_address_that_no_browser_opens_is_refused(address: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as error:
        from_environment({"RETRAINING_REPORTS_URL": address})
    assert "hunter2" not in str(error.value)
