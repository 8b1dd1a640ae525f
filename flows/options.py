"""The command lines of the flows, made from the configuration sections."""

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, CliApp, CliPositionalArg, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from tasks import machine
from tasks.addresses import Address, carries_credentials
from tasks.config import Sections
from tasks.errors import ConfigurationError
from tasks.machine import Backend, Device, Machine
from tasks.retention import RetentionConfig
from tasks.score.config import ScoreConfig

USAGE_EXIT_CODE = 2


def _not_empty(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("the folder's name is empty")
    return value


class StoreOptions(BaseSettings):
    """What every command line has."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_exit_on_error=False,
    )

    store: Annotated[str | None, BeforeValidator(_not_empty)] = Field(
        None,
        description="Folder or s3://bucket/prefix for data, models, reports and registry; else RETRAINING_STORE, else "
        "./store.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The command line alone: a stray `STORE=` in someone's shell must change nothing."""
        return (init_settings,)

    def machine(self, environ: Mapping[str, str]) -> Machine:
        """The machine's settings: an option, else its variable, else its default."""
        options = [name for name in Machine.model_fields if name != "store"]
        given = {name: value for name in options if (value := getattr(self, name, None)) is not None}
        return machine.from_environment(machine.with_store(environ, self.store)).model_copy(update=given)


class MachineOptions(StoreOptions):
    """What belongs to the machine; the same for each flow that computes."""

    device: Device | None = Field(None, description="Device that computes; else RETRAINING_DEVICE, else auto.")
    backend: Backend | None = Field(
        None, description="Framework that Keras computes with; else RETRAINING_BACKEND, else tensorflow."
    )
    debug: bool = Field(False, description="Show Prefect's log, and the traceback of a failure.")


class Options(MachineOptions, Sections):
    """Run the seven steps once: ingest, validate, preprocess, train, evaluate, register, report."""

    model_config = SettingsConfigDict(cli_prog_name="python -m flows.retraining")

    source: Address = Field(
        "auto",
        description="Where the images come from: cifar10 (download), a path or file:// URL of the binary archive or of "
        "a folder of .bin files, synthetic (practice images), or auto: CIFAR10_SOURCE, else what the store has, else "
        "cifar10, else synthetic.",
    )
    num_devices: int | None = Field(
        None, ge=1, le=64, description="Devices that share each batch, 1 to 64; else RETRAINING_NUM_DEVICES, else 1."
    )
    force: bool = Field(
        False,
        description="Train, evaluate and register even if nothing changed; with the seed `date`, with the next one of "
        "the day.",
    )

    def parameters(self) -> dict[str, Any]:
        """The flow's parameters."""
        return {"source": self.source, "force": self.force, **self.by_step()}


class ScoringOptions(MachineOptions):
    """Score images with the champion, into Parquet files."""

    model_config = SettingsConfigDict(cli_prog_name="python -m flows.scoring")

    images: CliPositionalArg[Address] = Field(
        description="Path of a folder or an archive of PNG or JPEG files, or of Parquet files with a column of them."
    )
    output: Annotated[Address | None, BeforeValidator(_not_empty)] = Field(
        None, description="Folder for the Parquet files; else one in the store's prediction log."
    )
    model: str = Field("cifar10-cnn", description="The registered model's name.")
    version: int | None = Field(
        None, ge=1, description="A version that was promoted once, 1 or more; else the champion."
    )
    score: ScoreConfig = Field(ScoreConfig(), description="How the images are scored.")

    def parameters(self) -> dict[str, Any]:
        """The flow's parameters."""
        return {name: getattr(self, name) for name in ("images", "output", "model", "version", "score")}


class PruningOptions(StoreOptions, RetentionConfig):
    """Say what of a store nothing needs any more; --apply removes it."""

    model_config = SettingsConfigDict(cli_prog_name="python -m flows.pruning")

    apply: bool = Field(False, description="Remove it.")
    as_json: bool = Field(False, validation_alias="json", description="Write JSON for a program.")

    @property
    def retention(self) -> RetentionConfig:
        """How much of the past stays."""
        return RetentionConfig(**{name: getattr(self, name) for name in RetentionConfig.model_fields})


Chosen = TypeVar("Chosen", bound=StoreOptions)


def parse(arguments: Sequence[str], kind: type[Chosen]) -> Chosen:
    """Read the command line of a flow.

    Raises:
        SystemExit: with 0 after `--help`.
        ConfigurationError: if an option or its value is wrong; one line that names it.
    """
    try:
        return CliApp.run(kind, cli_args=list(arguments))
    except SettingsError as error:
        text = str(error).removeprefix("error parsing CLI: ")
        raise ConfigurationError(f"{text}; --help lists the options") from error
    except ValidationError as error:
        raise ConfigurationError(_explain(error)) from error


def exit_with_usage_error(error: ConfigurationError, kind: type[StoreOptions]) -> NoReturn:
    """Say in one line what is wrong, and leave with exit code 2."""
    sys.stderr.write(f"{kind.model_config['cli_prog_name']}: {' '.join(str(error).split())}\n")
    raise SystemExit(USAGE_EXIT_CODE)


def _explain(error: ValidationError) -> str:
    """One phrase an option, in the words of the command line."""
    messages: dict[str, list[str]] = {}
    values: dict[str, object] = {}
    for item in error.errors():
        # A union's members stand in the location as well, after the names of section and field.
        names = [part for part in item["loc"][:2] if isinstance(part, str)]
        option = "--" + ".".join(names).replace("_", "-")
        messages.setdefault(option, []).append(item["msg"].removeprefix("Value error, "))
        values[option] = item["input"]
    return "; ".join(
        # What carries credentials is not shown again.
        f"{option}: {' or '.join(found)}"
        + ("" if carries_credentials(str(values[option])) else f"; got {values[option]!r}")
        for option, found in messages.items()
    )
