"""Which addresses may be kept with a run and shown, and how others are refused without being shown."""

import re
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from tasks import machine
from tasks.addresses import Address, WebAddress, carries_credentials, local_path
from tasks.errors import ConfigurationError
from tasks.ingest.config import IngestConfig
from tasks.ingest.drop_address import place_at

SECRET = "hunter2"

WITH = [
    f"https://user:{SECRET}@host/archive.tar.gz",
    f"https://{SECRET}@host/archive.tar.gz",
    f"s3://key:{SECRET}@bucket/prefix",
    f"https://host/a?X-Amz-Credential=k&X-Amz-Signature={SECRET}",
    f"https://host/a?part=1&sig={SECRET}",
    f"https://host/a?AWSAccessKeyId={SECRET}",
    f"https://host/a?access_token={SECRET}",
    f"file://user:{SECRET}@host/a",
    f"s3://key:wJalr/{SECRET}/K7MDENG@bucket/prefix",
    f"https://host/a?pwd={SECRET}",
    f"https://host/a?sas={SECRET}",
]
WITHOUT = [
    "https://host/a?download=1",
    "https://host/@user/a",
    "https://host:8080/@user/a",
    "https://host:8080",
    "s3://bucket/a@b",
    "/data/me@home/x",
    "me@home",
    "file:///a",
]


@pytest.mark.parametrize("address", WITH)
def test_an_address_with_credentials_is_refused_and_not_shown(address: str) -> None:
    assert carries_credentials(address)
    for refused in (local_path, lambda address, *_: place_at(address)):
        with pytest.raises(ConfigurationError, match="worker's environment") as caught:
            refused(address, "The source", "a path")
        assert SECRET not in str(caught.value)
    with pytest.raises(ConfigurationError, match="RETRAINING_LEDGER") as caught:
        machine.from_environment({"RETRAINING_LEDGER": address})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("kind", [Address, WebAddress])
@pytest.mark.parametrize("address", WITH)
def test_parameter_and_schema_refuse_the_same(kind: Any, address: str) -> None:
    adapter: TypeAdapter[str] = TypeAdapter(kind)
    with pytest.raises(ValidationError):
        adapter.validate_python(address)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(address, adapter.json_schema())


@pytest.mark.parametrize("address", WITHOUT)
def test_what_only_looks_like_it_passes(address: str) -> None:
    adapter = TypeAdapter(Address)
    assert adapter.validate_python(address) == address
    jsonschema.validate(address, adapter.json_schema())


def test_the_section_keeps_its_own_bounds_in_the_schema() -> None:
    schema = IngestConfig.model_json_schema()["properties"]
    assert schema["urls"]["items"]["pattern"] == "^https?://"
    assert re.search(schema["urls"]["items"]["not"]["pattern"], WITH[0])
    assert schema["drops"]["anyOf"][0]["minLength"] == 1


@pytest.mark.parametrize(
    "uri",
    [
        f"http://user:{SECRET}@mlflow:5000",
        f"https://{SECRET}@mlflow",
        f"postgresql://mlflow:{SECRET}@host/mlflow",
        f"postgresql+psycopg2://mlflow@host/mlflow?password={SECRET}",
        f"mysql+pymysql://:{SECRET}@host/mlflow",
        f"mysql+pymysql://mlflow:a/b?{SECRET}@host/mlflow",
    ],
)
def test_a_tracking_uri_with_credentials_is_refused_and_not_shown(uri: str) -> None:
    with pytest.raises(ConfigurationError, match=r"MLFLOW_TRACKING_USERNAME.*PGPASSWORD") as caught:
        machine.from_environment({"MLFLOW_TRACKING_URI": uri})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "http://mlflow:5000",
        "sqlite:////srv/mlflow.db",
        "postgresql://mlflow@host/mlflow",
        "postgresql://mlflow@/m?host=/run",
    ],
)
def test_a_tracking_uri_without_passes(uri: str) -> None:
    assert machine.from_environment({"MLFLOW_TRACKING_URI": uri}).tracking_uri == uri
