"""The deployments on a real Prefect server: does it start, and does a schedule create a run?

Both fail in silence or at the first request with the wrong versions of FastAPI and SQLAlchemy; see `pyproject.toml`.
"""

from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from cnn_model.recipes import catalogue
from flows import approval
from tasks.errors import ConfigurationError
from tasks.register.config import RegisterConfig
from tests import servers
from tests.files import files_with
from tests.processes import wait_for


def test_the_schedule_creates_runs(deployed: dict[str, str]) -> None:
    run = wait_for(lambda: servers.runs(deployed, "retrain-weekly", "SCHEDULED"), every=servers.POLL_SECONDS)[0]
    assert run["parameters"]["train"] == {"recipe": "fast", "seed": "date", "max_model_age_days": 30}
    assert run["parameters"]["ingest"] == {"drops": deployed["RETRAINING_DROPS"]}
    assert run["parameters"]["register"] == {"policy": "improve"}
    assert run["expected_start_time"][11:16] in ("02:00", "01:00"), "three in the morning in Zurich, in UTC"


def test_nonsense_in_the_form_is_refused_before_a_run_exists(deployed: dict[str, str]) -> None:
    deployment = servers.get(deployed, "/deployments/name/retrain/retrain-manual")
    schema = deployment["parameter_openapi_schema"]
    assert schema["definitions"]["TrainConfig"]["properties"]["recipe"]["enum"] == list(catalogue.names())
    assert "form" not in schema["properties"]
    assert (schema["properties"]["force"]["type"], schema["properties"]["force"]["default"]) == ("boolean", False)
    body = {"parameters": {"source": "synthetic", "train": {"epochs": 0}}}
    answer = servers.request(deployed, "POST", f"/deployments/{deployment['id']}/create_flow_run", body)
    assert answer.status_code == 409
    assert "epochs" in answer.text


@pytest.mark.parametrize(
    "parameters",
    [
        {"source": "https://user:hunter2@host/cifar-10.tar.gz"},
        {"ingest": {"drops": "s3://key:hunter2@bucket/drops"}},
        {"ingest": {"urls": ["https://host/cifar-10.tar.gz?X-Amz-Signature=hunter2"]}},
    ],
)
def test_credentials_in_the_form_are_refused_before_a_run_exists_that_keeps_them(
    deployed: dict[str, str], parameters: dict[str, object]
) -> None:
    deployment = servers.get(deployed, "/deployments/name/retrain/retrain-manual")
    body = {"parameters": parameters}
    answer = servers.request(deployed, "POST", f"/deployments/{deployment['id']}/create_flow_run", body)
    assert answer.status_code == 409, answer.text
    home = Path(deployed["PREFECT_HOME"])
    assert files_with(home, "retrain-manual")
    assert files_with(home, "hunter2") == []


@pytest.mark.parametrize(
    ("flow", "parameters", "named"),
    [
        ("promote/promote-manual", {"version": 0, "reason": "because", "actor": "Jane"}, "version"),
        ("promote/promote-manual", {"version": 2, "reason": " ", "actor": "Jane"}, "reason"),
        ("rollback/rollback-manual", {"reason": "because"}, "actor"),
    ],
)
def test_a_promotion_without_reason_or_actor_is_refused_before_a_run_exists(
    deployed: dict[str, str], flow: str, parameters: dict[str, object], named: str
) -> None:
    deployment = servers.get(deployed, f"/deployments/name/{flow}")
    fields = deployment["parameter_openapi_schema"]["properties"]
    assert all(field["description"] for field in fields.values())
    body = {"parameters": parameters}
    answer = servers.request(deployed, "POST", f"/deployments/{deployment['id']}/create_flow_run", body)
    assert answer.status_code == 409
    assert named in answer.text


def test_a_person_is_asked_only_where_a_run_that_goes_on_is_not_cancelled(
    deployed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = RegisterConfig(require_approval=True)
    with temporary_settings({PREFECT_API_URL: deployed["PREFECT_API_URL"]}):
        for name in ("retrain-manual", "retrain-weekly"):
            found = servers.get(deployed, f"/deployments/name/retrain/{name}")
            monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", found["id"])
            if name == "retrain-manual":
                approval.check(rule)
            else:
                with pytest.raises(ConfigurationError, match="cancels runs that find another at work"):
                    approval.check(rule)
