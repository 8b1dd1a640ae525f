"""`make deploy` on a real server: again and again without harm, and one line where it cannot be."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests import servers


def ids(environ: dict[str, str]) -> dict[str, str]:
    """Of everything that is deployed, by kind and name."""
    found = {f"pool {item['name']}": item["id"] for item in servers.post(environ, "/work_pools/filter", {})}
    for deployment in servers.post(environ, "/deployments/filter", {}):
        found[f"deployment {deployment['name']}"] = deployment["id"]
        for schedule in deployment["schedules"]:
            found[f"schedule {schedule['slug']}"] = schedule["id"]
    for automation in servers.post(environ, "/automations/filter", {}):
        found[f"automation {automation['name']}"] = automation["id"]
        found[f"trigger {automation['name']}"] = automation["trigger"]["id"]
    return found


def deploy(environ: dict[str, str]) -> list[str]:
    """The lines of the command's table."""
    return servers.python(environ, "deployments.apply", "--device", "auto").splitlines()


def test_a_second_deployment_changes_nothing(deployed: dict[str, str]) -> None:
    before = ids(deployed)
    assert "schedule nightly" in before
    lines = deploy(deployed)
    # Not even an automation's trigger: with a new one it would forget since when it waits.
    assert ids(deployed) == before
    assert not [line for line in lines if "created" in line or "updated" in line]
    assert sum("unchanged" in line for line in lines) > 10
    assert sum("no RETRAINING_NOTIFY_URL" in line for line in lines) == 3


@pytest.fixture
def switched(deployed: dict[str, str]) -> Iterator[dict[str, Any]]:
    """What a person changed in the dashboard; set back at the end."""
    place = "/deployments/name/retrain/retrain-weekly"
    weekly, daily = servers.get(deployed, place), servers.get(deployed, "/deployments/name/score/score-daily")
    schedules = [(item["id"], item["schedules"][0]["id"]) for item in (weekly, daily)]
    automation = next(item for item in servers.post(deployed, "/automations/filter", {}) if "drop" in item["name"])

    def switch(weekly_on: bool, daily_on: bool, automation_on: bool, pool_limit: int | None, slots: int) -> None:
        for (deployment, schedule), active in zip(schedules, (weekly_on, daily_on), strict=True):
            servers.patch(deployed, f"/deployments/{deployment}/schedules/{schedule}", {"active": active})
        servers.patch(deployed, f"/automations/{automation['id']}", {"enabled": automation_on})
        servers.patch(deployed, "/work_pools/gpu", {"concurrency_limit": pool_limit})
        servers.patch(deployed, "/v2/concurrency_limits/gpu", {"limit": slots})

    limit = servers.get(deployed, "/work_pools/gpu")["concurrency_limit"]
    switch(weekly_on=False, daily_on=True, automation_on=False, pool_limit=300, slots=2)
    yield {"automation": automation["id"]}
    switch(weekly_on=True, daily_on=False, automation_on=True, pool_limit=limit, slots=1)


def test_what_a_person_switched_stays(deployed: dict[str, str], switched: dict[str, Any]) -> None:
    servers.patch(deployed, f"/automations/{switched['automation']}", {"enabled": False})
    # Something that is brought up to date is not switched on by it.
    found = servers.get(deployed, f"/automations/{switched['automation']}")
    body = {key: found[key] for key in ("name", "enabled", "trigger", "actions")} | {"description": "old"}
    servers.put(deployed, f"/automations/{switched['automation']}", body)
    lines = deploy(deployed)
    assert any("new drop" in line and "updated" in line and "is off" in line for line in lines)
    assert not servers.get(deployed, f"/automations/{switched['automation']}")["enabled"]
    weekly, daily = (
        servers.get(deployed, f"/deployments/name/{name}")["schedules"][0]
        for name in ("retrain/retrain-weekly", "score/score-daily")
    )
    assert (weekly["active"], daily["active"]) == (False, True)
    assert servers.get(deployed, "/work_pools/gpu")["concurrency_limit"] == 300
    assert servers.get(deployed, "/v2/concurrency_limits/gpu")["limit"] == 2


def test_what_the_files_say_no_more_goes_and_what_is_not_ours_stays(deployed: dict[str, str]) -> None:
    ours = next(item for item in servers.post(deployed, "/automations/filter", {}) if "crashed" in item["name"])
    other = {"trigger": {**ours["trigger"], "expect": ["x"]}, "actions": [{"type": "do-nothing"}]}
    for name in ("retraining: of old", "somebody's own", ours["name"]):
        servers.post(deployed, "/automations/", {"name": name, **other})
    lines = deploy(deployed)
    assert any("of old" in line and "removed" in line for line in lines)
    left = [item["name"] for item in servers.post(deployed, "/automations/filter", {})]
    assert "somebody's own" in left
    assert left.count(ours["name"]) == 1
    assert "retraining: of old" not in left


def test_a_pool_of_another_kind_is_left_alone(deployed: dict[str, str]) -> None:
    done = servers.call(deployed, "deployments.apply", "--kind", "docker")
    assert done.returncode == 1
    assert "The work pool gpu is of type process" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"PREFECT_API_URL": None}, 2, "PREFECT_API_URL is not set"),
        ({"PREFECT_API_URL": "http://127.0.0.1:9/api"}, 1, "No Prefect server answers at http://127.0.0.1:9/api"),
        ({"MLFLOW_TRACKING_URI": "https://me:hunter2@mlflow"}, 2, "MLFLOW_TRACKING_URI carries a user, a password"),
        ({"RETRAINING_NOTIFY_URL": "hunter2"}, 2, "RETRAINING_NOTIFY_URL is no URL"),
    ],
)
def test_what_cannot_be_is_one_line(
    deployed: dict[str, str], change: dict[str, str | None], code: int, said: str
) -> None:
    environ = {name: value for name, value in {**deployed, **change}.items() if value is not None}
    done = servers.call(environ, "deployments.apply")
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "hunter2" not in done.stdout + done.stderr
