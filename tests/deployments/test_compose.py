"""The compose file against its schema, and what no schema says: secrets, ports, limits, health. No engine is needed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from prefect.settings import PREFECT_UI_URL, Settings, temporary_settings
from prefect.utilities.urls import url_for

from tests import compose
from tests.compose import FILE, INTERPOLATION, ROOT

EXAMPLE = FILE.with_name(".env.example")
CONTENT = compose.read()
SERVICES: dict[str, dict[str, Any]] = CONTENT["services"]
ONE_SHOT = {"deploy"}
RUN = "bf7b2c38-90b6-4818-8de1-020ba5327c78"
GIVEN = {
    "POSTGRES_PASSWORD": "first",
    "PREFECT_DATABASE_PASSWORD": "second",
    "MLFLOW_DATABASE_PASSWORD": "third",
    "PREFECT_AUTH_STRING": "admin:fourth",
}


def texts(node: Any) -> Iterator[str]:
    """All texts of a part of the file."""
    if isinstance(node, dict):
        for value in node.values():
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)
    elif isinstance(node, str):
        yield node


def example() -> dict[str, str]:
    """The variables of `.env.example`, those in comments as well, with their values."""
    found = re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", EXAMPLE.read_text(), flags=re.MULTILINE)
    return dict(found)


def test_it_fits_the_schema_of_compose_files() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_variable_is_in_the_example_without_a_value() -> None:
    named = {match["name"]: match["kind"] for text in texts(CONTENT) for match in INTERPOLATION.finditer(text)}
    by_name = {name for item in SERVICES.values() for name, value in item.get("environment", {}).items() if not value}
    assert named.keys() | by_name == example().keys()
    assert not any(example().values())
    # Uncommented are those without which nothing starts.
    needed = set(re.findall(r"^([A-Z_]+)=", EXAMPLE.read_text(), flags=re.MULTILINE))
    assert needed == {name for name, kind in named.items() if kind == "?"} == GIVEN.keys()
    assert all(text.count("${") == len(INTERPOLATION.findall(text)) for text in texts(CONTENT))


@pytest.mark.parametrize("missing", sorted(GIVEN))
def test_a_missing_secret_is_named(missing: str) -> None:
    given = {**GIVEN, missing: ""}
    with pytest.raises(KeyError, match=f"{missing}: .*see .env.example"):
        [compose.service(name, given) for name in SERVICES]


def test_no_secret_is_written_in_the_file_or_on_a_command_line() -> None:
    for name, entry in SERVICES.items():
        for variable, value in entry.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|AUTH|KEY", variable):
                assert value is None or re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), f"{name}: {variable}"
        command = " ".join(compose.service(name, GIVEN).command)
        assert not any(secret in command for secret in GIVEN.values()), name


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_watched_restarted_and_bounded(name: str) -> None:
    entry = SERVICES[name]
    assert entry["mem_limit"]
    assert entry["logging"]["options"]["max-size"]
    assert "no-new-privileges:true" in entry["security_opt"]
    assert entry["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")
    assert entry["healthcheck"].get("test") or name in ONE_SHOT
    assert not entry.get("privileged")
    assert "network_mode" not in entry


def test_ports_are_on_the_loopback_unless_told() -> None:
    published = [compose.interpolate(port, {}) for entry in SERVICES.values() for port in entry.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    told = [compose.interpolate(port, {"PROXY_BIND": "0.0.0.0"}) for port in SERVICES["proxy"]["ports"]]
    assert all(port.startswith("0.0.0.0:") for port in told)


@pytest.mark.parametrize("given", [{}, {"PREFECT_ADDRESS": "https://host.example:4443"}])
def test_a_notifications_link_is_one_that_a_browser_opens(given: dict[str, str]) -> None:
    # The automations' text asks Prefect's filter ui_url, which has nothing to say without the setting.
    environment = compose.service("prefect", {**GIVEN, **given}).environment
    with temporary_settings({PREFECT_UI_URL: environment["PREFECT_UI_URL"]}):
        link = url_for("flow-run", RUN, url_type="ui")
    address = given.get("PREFECT_ADDRESS", "http://127.0.0.1:4200")
    assert link == f"{address}/runs/flow-run/{RUN}"
    assert environment["PREFECT_SERVER_UI_API_URL"] == f"{address}/api"


def test_the_gpu_worker_alone_reserves_a_gpu() -> None:
    reserved = {name: entry["deploy"]["resources"] for name, entry in SERVICES.items() if "deploy" in entry}
    assert reserved == {
        "worker-gpu": {"reservations": {"devices": [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]}}
    }
    assert SERVICES["worker-gpu"]["profiles"] == ["gpu"]


def test_the_proxy_starts_anew_with_what_it_stands_before() -> None:
    # nginx keeps the addresses that it found at its start.
    text = (FILE.parent / "nginx" / "nginx.conf").read_text()
    behind = set(re.findall(r"proxy_pass http://(\w+):", text))
    assert behind
    expected = {name: {"condition": "service_healthy", "restart": True} for name in behind}
    assert SERVICES["proxy"]["depends_on"] == expected


def test_files_images_and_volumes_are_there() -> None:
    targets = set(re.findall(r"^FROM \S+ AS (\S+)$", (FILE.parent / "Dockerfile").read_text(), flags=re.MULTILINE))
    for entry in SERVICES.values():
        if "build" in entry:
            assert (FILE.parent / entry["build"]["context"] / entry["build"]["dockerfile"]).is_file()
            assert entry["build"]["target"] in targets
            assert entry["image"] == f"cifar10-retraining:{entry['build']['target']}"
            # MLflow's image has none of the project's code.
            told = entry["build"].get("args", {}).get("GIT_COMMIT")
            assert (told is None) == (entry["build"]["target"] == "mlflow"), entry["image"]
        for volume in entry.get("volumes", ()):
            source = volume.split(":")[0]
            assert (FILE.parent / source).is_file() if source.startswith(".") else source in CONTENT["volumes"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_prefect_has_every_setting_that_is_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Prefect ignores names that it does not know, and does not start with values that it cannot read.
    environment = compose.service(name, GIVEN).environment
    if name == "postgres":
        return
    settings = {variable: value for variable, value in environment.items() if variable.startswith("PREFECT_")}
    for variable in [variable for variable in os.environ if variable.startswith("PREFECT_")]:
        monkeypatch.delenv(variable)
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    known = Settings().to_environment_variables(exclude_unset=True, include_aliases=True)
    assert settings.keys() <= known.keys()


def test_secrets_stay_out_of_the_repository_and_of_images() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/deployments/.env", "/deployments/secrets/"} <= set(ignored)
