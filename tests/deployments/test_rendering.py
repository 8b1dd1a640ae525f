"""What `prefect.yaml` becomes on one machine."""

import shutil
from pathlib import Path

import pytest
import yaml

from deployments import apply, pools, rendering
from deployments.check import FOLDER
from deployments.errors import DeployError
from deployments.pools import KINDS, Kind
from tasks import machine
from tasks.errors import ConfigurationError


def test_what_is_not_set_is_left_out() -> None:
    content = rendering.render(FOLDER / "prefect.yaml", rendering.values({}, "process", "auto"))
    weekly = content["deployments"][0]
    assert weekly["parameters"]["ingest"] == {}
    home = str(Path(rendering.__file__).parents[1])
    expected = {"working_dir": home, "store": f"{home}/store", "device": "auto", "gpu_slot": "gpu"}
    assert weekly["work_pool"]["job_variables"] == expected
    assert weekly["pull"] == [{"prefect.deployments.steps.set_working_directory": {"directory": home}}]


def test_what_is_set_is_filled_in() -> None:
    environ = {
        "RETRAINING_HOME": "/srv/checkout",
        "RETRAINING_STORE": "s3://bucket/store",
        "RETRAINING_CACHE": "/var/cache/store",
        "RETRAINING_DROPS": "s3://bucket/drops",
        "MLFLOW_TRACKING_URI": "https://mlflow:5000",
        "RETRAINING_REPORTS_URL": "https://reports:6443",
    }
    content = rendering.render(FOLDER / "prefect.yaml", rendering.values(environ, "kubernetes", "gpu"))
    for deployment in content["deployments"]:
        variables = deployment["work_pool"]["job_variables"]
        assert variables["store"] == "s3://bucket/store"
        assert variables["cache"] == "/var/cache/store"
        assert variables["mlflow_tracking_uri"] == "https://mlflow:5000"
        assert variables["reports_url"] == "https://reports:6443"
        assert ("gpu_slot" in variables) == (deployment["work_pool"]["name"] == "gpu")
    assert content["deployments"][1]["parameters"]["ingest"] == {"drops": "s3://bucket/drops"}


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_containers_without_a_store_are_refused(kind: Kind) -> None:
    with pytest.raises(DeployError, match=f"RETRAINING_STORE is not set, and a run in {kind} .* Set it to") as error:
        rendering.values({}, kind, "gpu")
    assert error.value.exit_code == 2


ON_S3 = {"RETRAINING_STORE": "s3://bucket/store", "RETRAINING_DROPS": "s3://bucket/drops"}


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_containers_with_a_bucket_and_no_mlflow_server_are_refused(kind: Kind) -> None:
    # As each of their runs would be, at its own door.
    with pytest.raises(ConfigurationError, match="MLFLOW_TRACKING_URI is not set"):
        machine.from_environment(ON_S3)
    with pytest.raises(DeployError, match=f"MLFLOW_TRACKING_URI is not set.* run in {kind} .* Set it to") as error:
        rendering.values(ON_S3, kind, "gpu")
    assert error.value.exit_code == 2
    given = ON_S3 | {"MLFLOW_TRACKING_URI": "https://mlflow:5443"}
    assert rendering.values(given, kind, "gpu").items() >= given.items()
    assert apply.warnings(given, kind) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_pool_may_name_the_mlflow_server(kind: Kind, tmp_path: Path) -> None:
    shutil.copytree(pools.FOLDER, tmp_path, dirs_exist_ok=True)
    entries = yaml.safe_load((tmp_path / "pools.yaml").read_text())
    for entry in entries.values():
        entry["variables"]["mlflow_tracking_uri"] = "https://mlflow:5443"
    (tmp_path / "pools.yaml").write_text(yaml.safe_dump(entries))
    assert not rendering.lacks_mlflow(ON_S3, kind, tmp_path)
    del entries["cpu"]["variables"]["mlflow_tracking_uri"]
    (tmp_path / "pools.yaml").write_text(yaml.safe_dump(entries))
    assert rendering.lacks_mlflow(ON_S3, kind, tmp_path)


def test_processes_may_find_the_mlflow_server_in_their_workers_environment() -> None:
    assert "MLFLOW_TRACKING_URI" not in rendering.values(ON_S3, "process", "gpu")
    (line,) = apply.warnings(ON_S3, "process")
    assert line.startswith("MLFLOW_TRACKING_URI is not set: with a store on object storage, each worker needs it")
    assert apply.warnings({"RETRAINING_STORE": "/srv/store", "RETRAINING_DROPS": "/srv/drops"}, "process") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLFLOW_TRACKING_URI", "https://me:hunter2@mlflow"),
        ("MLFLOW_TRACKING_URI", "https://hunter2@mlflow"),
        ("MLFLOW_TRACKING_URI", "postgresql://me:hunter2@postgres/mlflow"),
        ("RETRAINING_STORE", "s3://hunter2@bucket/store"),
        ("RETRAINING_LEDGER", "s3://me:hunter/2@bucket/ledger"),
        ("RETRAINING_REPORTS_URL", "https://me:hunter2@host:6443"),
        ("RETRAINING_DROPS", "https://host/drops?X-Amz-Signature=1&sig=hunter2"),
    ],
)
def test_what_lets_somebody_in_is_refused_and_not_shown(name: str, value: str) -> None:
    with pytest.raises(DeployError, match=f"{name} carries a user, a password or a signature") as error:
        rendering.values({name: value}, "process", "gpu")
    assert "hunter" not in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("value", ["/srv/reports", "host:6443", "s3://bucket/runs"])
def test_reports_are_served_by_a_web_server(value: str) -> None:
    with pytest.raises(DeployError, match=f"RETRAINING_REPORTS_URL is '{value}'; expected the URL of a web server"):
        rendering.values({"RETRAINING_REPORTS_URL": value}, "process", "gpu")


def test_the_user_of_a_database_is_no_secret() -> None:
    uri = "postgresql://me@postgres/mlflow"
    assert rendering.values({"MLFLOW_TRACKING_URI": uri}, "process", "gpu")["MLFLOW_TRACKING_URI"] == uri


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RETRAINING_HOME", "checkout"),
        ("RETRAINING_STORE", "store"),
        ("RETRAINING_STORE", "~/store"),
        ("RETRAINING_STORE", "file:///srv/store"),
        ("RETRAINING_CACHE", "cache"),
        ("RETRAINING_LEDGER", "ledger"),
    ],
)
def test_a_relative_path_is_refused(kind: Kind, name: str, value: str) -> None:
    with pytest.raises(DeployError, match=f"{name} is '{value}'; expected an absolute path") as error:
        rendering.values({"RETRAINING_STORE": "/srv/store", name: value}, kind, "gpu")
    assert error.value.exit_code == 2
