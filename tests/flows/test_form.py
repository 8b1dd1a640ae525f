"""The forms of the dashboard, as Prefect makes them of the flows' parameters: what they say and what they refuse."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from prefect import Flow
from prefect.utilities.schema_tools.validation import validate

from flows.promoting import promote, rollback
from flows.retraining import retrain
from flows.scoring import score

Schema = dict[str, Any]
FLOWS: list[Flow[..., Any]] = [retrain, score, promote, rollback]
WITHOUT_END = {"version", "to"}
"""Numbers of versions, of which there is always one more."""


def form(flow: Flow[..., Any]) -> Schema:
    return flow.parameters.model_dump_for_openapi()


def fields(schema: Schema, whole: Schema, name: str = "") -> Iterator[tuple[str, Schema]]:
    """Every field that a person fills in, by its dotted name."""
    if "$ref" in schema:
        schema = {**whole["definitions"][schema["$ref"].split("/")[-1]], **schema}
    if "properties" in schema:
        for part, found in schema["properties"].items():
            yield from fields(found, whole, f"{name}.{part}".lstrip("."))
    else:
        yield name, schema


CASES = [
    pytest.param(name, field, id=f"{flow.name}-{name}")
    for flow in FLOWS
    for name, field in fields(form(flow), form(flow))
]


@pytest.mark.parametrize(("name", "field"), CASES)
def test_a_field_says_what_it_is_for_and_what_it_takes(name: str, field: Schema) -> None:
    assert field.get("description", "").strip()
    for choice in field.get("anyOf", [field]):
        assert takes_not_everything(choice, name.split(".")[-1]), choice


def takes_not_everything(choice: Schema, name: str) -> bool:
    match choice:
        case {"enum": _} | {"const": _} | {"type": "boolean" | "null"}:
            return True
        case {"type": "integer" | "number"}:
            low = {"minimum", "exclusiveMinimum"} & set(choice)
            high = {"maximum", "exclusiveMaximum"} & set(choice)
            return bool(low) and (bool(high) or name in WITHOUT_END)
        case {"type": "string"}:
            return bool({"minLength", "pattern"} & set(choice))
        case {"type": "array", "items": items}:
            return "minItems" in choice and takes_not_everything(items, name)
    return False


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"train": {"recipe": "fats"}}, "'fats' is not one of"),
        ({"train": {"epochs": 0}}, "not valid under any of the given schemas"),
        ({"train": {"epoch": 3}}, "Additional properties are not allowed"),
        ({"register": {"approval_hours": 0}}, "less than or equal to the minimum of 0"),
        ({"register": {"policy": "force"}}, "'reason' is a required property"),
        ({"register": {"policy": "force", "reason": "because", "actor": None}}, "None is not of type 'string'"),
        ({"source": ""}, "should be non-empty"),
    ],
)
def test_nonsense_is_refused_before_a_run_starts(parameters: Schema, problem: str) -> None:
    found = validate(parameters, form(retrain), raise_on_error=False)
    assert problem in json.dumps([error.message for error in found])


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_a_form_that_is_sent_as_it_comes_is_taken(flow: Flow[..., Any]) -> None:
    assert not validate({}, form(flow), raise_on_error=False, ignore_required=True)
