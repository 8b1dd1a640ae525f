import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from flows.options import Options, parse
from tasks.config import Sections
from tasks.errors import ConfigurationError
from tasks.machine import Machine, from_environment


def test_every_option_reaches_its_section() -> None:
    line = "--source synthetic --train.epochs 3 --train.seed date --ingest.allow-unofficial --ingest.urls https://a "
    options = parse([*line.split(), "--ingest.urls", "https://b", "--validate.max-class-imbalance", "0.1"], Options)
    parameters = options.parameters()
    assert parameters["source"] == "synthetic"
    assert (parameters["train"].epochs, parameters["train"].seed) == (3, "date")
    assert parameters["ingest"].allow_unofficial
    assert parameters["ingest"].urls == ("https://a", "https://b")
    assert parameters["validate"].max_class_imbalance == 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train.epochs", "-3"], r"--train\.epochs: .*greater than or equal to 1; got '-3'"),
        (["--train.recipe", "nope"], r"--train\.recipe: .*'fast', .* or .*; got 'nope'"),
        (["--train.seed", "x"], r"--train\.seed: .*integer.* or .*'date'; got 'x'"),
        (["--trian.epochs", "3"], r"unrecognized arguments: --trian\.epochs 3; --help"),
        (["--preprocess.validation-fraction", "0.3", "--preprocess.calibration-fraction", "0.3"], "together"),
        (["--device", "tpu"], "--device: .*'gpu'"),
        (["--backend", "torch"], "--backend: .*'jax'; got 'torch'"),
        (["--source"], "--source"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_option(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        parse(arguments, Options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["--source", "--ingest.urls", "--ingest.drops"])
def test_credentials_are_refused_and_not_shown_again(option: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{option}: it carries a user.* worker's environment") as caught:
        parse([option, "https://user:hunter2@host/a"], Options)
    assert "hunter2" not in str(caught.value)


def test_stray_variables_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SOURCE", "STORE", "DEVICE", "BACKEND", "DEBUG", "TRAIN", "TRAIN__EPOCHS", "INGEST"):
        monkeypatch.setenv(name, "7")
    assert parse([], Options) == Options.model_construct(**Options.model_validate({}).__dict__)
    assert parse([], Options).source == "auto"
    assert parse([], Options).store is None


def test_an_option_goes_before_its_variable_and_that_before_the_default() -> None:
    environ = {
        "RETRAINING_STORE": "/from/variable",
        "RETRAINING_DEVICE": "cpu",
        "RETRAINING_BACKEND": "jax",
        "MLFLOW_TRACKING_URI": "http://m",
    }
    assert parse([], Options).machine({}) == Machine()
    assert parse([], Options).machine(environ) == Machine(
        store=Path("/from/variable"), device="cpu", backend="jax", tracking_uri="http://m"
    )
    options = parse(["--store", "/from/option", "--device", "auto", "--backend", "tensorflow"], Options)
    assert options.machine(environ) == Machine(
        store=Path("/from/option"), device="auto", backend="tensorflow", tracking_uri="http://m"
    )


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("RETRAINING_DEVICE", "tpu", "auto, cpu or gpu"),
        ("RETRAINING_BACKEND", "torch", "tensorflow or jax"),
    ],
)
def test_a_variable_of_another_value_is_refused(variable: str, value: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{variable} is {value!r}; expected {expected}"):
        from_environment({variable: value})


def fields() -> list[tuple[str, str, BaseModel]]:
    sections: dict[str, BaseModel] = Sections().by_step()
    return [
        (f"--{step}.{name}".replace("_", "-"), name, section)
        for step, section in sections.items()
        for name in type(section).model_fields
    ]


def test_help_describes_every_option_with_its_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--help"], Options)
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for option, name, section in fields():
        field = type(section).model_fields[name]
        assert option in text
        description = field.description
        assert description, option
        assert " ".join(description.split()) in text
        for bound in field.metadata:
            for limit in ("ge", "gt", "le", "lt"):
                value = getattr(bound, limit, None)
                if value is not None:
                    assert re.search(rf"(?<![\d.]){value:.12g}(?!\d)", description), (option, limit, value)
