"""Where people look: runs, metrics, model versions and aliases in MLflow. The only module that imports it.

The truth about promotion is `tasks.ledger`; aliases mirror it and are repaired from it. Model files stay in the store
and a version names their digest, so moving the store breaks nothing.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import shorten

from filelock import FileLock
from sqlalchemy.exc import SQLAlchemyError

from tasks import machine, store
from tasks.errors import ConfigurationError, RegistryError, RegistryUnreachableError
from tasks.ledger import Ledger, LedgerEntry
from tasks.succession import previous

# Read when MLflow is imported. It would send a request seven times where the answer is lost, and so make a version
# twice; Prefect's retries, which a person can see, look first for what was made.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Metric, Param
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

MODEL_TAG = "model_sha256"
VERDICT_TAG = "verdict"
WAITS_UNTIL_TAG = "waits_until"
"""Until when a person may approve of the version, ISO 8601 with zone."""
WAITS_RUN_TAG = "waits_run"
"""The flow run that waits for them."""
RULE_TAG = "decided_by"
"""What a refusal was decided against; under another rule or champion the model is judged anew."""
HEAD_TAG = "ledger_head"
"""Of a registered model: number and SHA-256 of the last entry of its ledger, which may have grown since."""


@dataclass(frozen=True)
class Version:
    """A model version: its number, the run that made it, and its tags."""

    number: int
    run_id: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Figures:
    """Figures of a model on one dataset.

    Attributes:
        dataset: Its name.
        digest: SHA-256 of its images and labels.
        context: What the model did with it: `training` or `testing`.
        series: By name, the values over the epochs, from epoch 1; one value where there are no epochs.
    """

    dataset: str
    digest: str
    context: str
    series: Mapping[str, Sequence[float]]

    @property
    def short_digest(self) -> str:
        """As MLflow takes it, 36 characters."""
        return self.digest[:36]


@dataclass(frozen=True)
class LoggedRun:
    """A training in MLflow: the run, and the logged model that its figures hang on."""

    run_id: str
    model_id: str


class Registry:
    """The registry that the current machine settings name: SQLite in the store, or `MLFLOW_TRACKING_URI`."""

    def __init__(self) -> None:
        settings = machine.current()
        tracking_uri = settings.tracking_uri if settings else None
        self._uri = tracking_uri or f"sqlite:///{store.current().folder() / 'mlflow.db'}"
        with self._explained():
            self._client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        # Two processes that create the database at once break it for good.
        with FileLock(store.current().folder("locks") / "mlflow.lock"), self._explained():
            self._client.search_registered_models(max_results=1)

    def find_version(self, model_name: str, model_sha256: str) -> Version | None:
        """The version of the registered model with these bytes, or None."""
        with self._explained():
            found = self._client.search_model_versions(f"name = '{model_name}'", order_by=["version_number ASC"])
        return next((_version(version) for version in found if version.tags.get(MODEL_TAG) == model_sha256), None)

    def get_version(self, model_name: str, number: int) -> Version | None:
        """The version of that number, or None."""
        return self.versions(model_name).get(number)

    def versions(self, model_name: str) -> dict[int, Version]:
        """All versions by their numbers, without those that somebody deleted."""
        with self._explained():
            found = self._client.search_model_versions(f"name = '{model_name}'")
        return {int(version.version): _version(version) for version in found}

    def aliases(self, model_name: str) -> dict[str, int]:
        """The versions that a registered model's aliases point to; none where it is not registered."""
        with self._explained():
            found = self._client.search_registered_models(f"name = '{model_name}'")
        return {str(alias): int(version) for model in found for alias, version in dict(model.aliases).items()}

    def check_ledger(self, model_name: str, ledger: Ledger) -> None:
        """See that registry and ledger speak of the same promotions.

        A registry that was lost and begun anew counts from 1 again, and its numbers are those of other models. And the
        registry was told the digest of the ledger's last entry, so that what was altered there with its seal, or cut
        off, is found out.

        Raises:
            RegistryError: if the champion's version is missing or another model, or an entry is not the one that the
                registry was told of.
        """
        self._check(model_name, ledger)

    def check_head(self, model_name: str, ledger: Ledger) -> list[tuple[LedgerEntry, str]]:
        """The ledger's entries with their digests, none of which the registry was told of otherwise.

        Raises:
            RegistryError: if an entry is not the one that the registry was told of.
        """
        # Asked before the ledger is read: an entry is there before the registry is told of it.
        number, sha256 = self._head(model_name)
        entries = ledger.read()
        there = ["nothing", *(digest for _, digest in entries)][number if number <= len(entries) else 0]
        if number and there != sha256:
            raise RegistryError(
                f"MLflow at {self._uri} was told that entry {number} of the ledger {ledger.url} has SHA-256 {sha256}; "
                f"it has {there}. The entry was altered or lost: restore the ledger from a backup. If what is there "
                f"is right, delete the tag {HEAD_TAG} of the registered model {model_name}."
            )
        return entries

    def _check(self, model_name: str, ledger: Ledger) -> list[tuple[LedgerEntry, str]]:
        entries = self.check_head(model_name, ledger)
        if entries:
            champion = entries[-1][0]
            found = self.find_version(model_name, champion.model_sha256)
            if found is None or found.number != champion.version:
                raise RegistryError(
                    f"The ledger's champion of {model_name} is version {champion.version} (SHA-256 "
                    f"{champion.model_sha256[:12]}), which MLflow at {self._uri} does not have under that number. "
                    "Nothing was registered. Bring the registry back from a backup, or begin with an empty store."
                )
        return entries

    def _head(self, model_name: str) -> tuple[int, str]:
        """Number and SHA-256 of the ledger's last entry that the registry was told of; 0 where it was told of none."""
        with self._explained():
            try:
                told = self._client.get_registered_model(model_name).tags.get(HEAD_TAG)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                told = None
        number, _, sha256 = str(told or "0").partition(" ")
        if not number.isdecimal():
            raise RegistryError(
                f"The tag {HEAD_TAG} of the registered model {model_name} is {told!r}; expected a number and a "
                "SHA-256. Delete the tag, and it is set anew."
            )
        return int(number), sha256

    def log_run(
        self,
        experiment: str,
        run_name: str,
        *,
        model_name: str,
        parameters: Mapping[str, object],
        figures: Sequence[Figures],
        tags: Mapping[str, str],
    ) -> LoggedRun:
        """Record one finished training as an MLflow run and a logged model, with its figures on each dataset.

        What a lost server cut off, of the same model, is ended as killed.

        Args:
            experiment: Name of the experiment, made if missing.
            run_name: What people see in the list.
            model_name: The registered model that this is to be a version of.
            parameters: What was asked for.
            figures: On the data that it was trained on, and on those that it was tested on.
            tags: Lineage, `MODEL_TAG` among them.
        """
        with self._explained():
            experiment_id = self._experiment(experiment)
            cut_off = f"attributes.status = 'RUNNING' and tags.{MODEL_TAG} = '{tags[MODEL_TAG]}'"
            for begun in self._client.search_runs([experiment_id], cut_off):
                self._client.set_terminated(begun.info.run_id, "KILLED")
            run = self._client.create_run(experiment_id, run_name=run_name, tags=dict(tags))
            run_id, timestamp = str(run.info.run_id), run.info.start_time
            asked = {name: str(value) for name, value in parameters.items()}
            external = {**tags, "mlflow.model.isExternal": "true"}  # its files stay in the store
            model = self._client.create_logged_model(experiment_id, model_name, run_id, tags=external, params=asked)
            model_id = str(self._client.finalize_logged_model(model.model_id, "READY").model_id)
            self._client.log_batch(
                run_id,
                metrics=[
                    Metric(name, value, timestamp, step, model_id, on.dataset, on.short_digest)
                    for on in figures
                    for name, values in on.series.items()
                    for step, value in enumerate(values, start=1)
                ],
                params=[Param(name, value) for name, value in asked.items()],
            )
            inputs = [
                DatasetInput(
                    Dataset(on.dataset, on.short_digest, source_type="sha256", source=on.digest),
                    [InputTag("mlflow.data.context", on.context)],
                )
                for on in figures
            ]
            self._client.log_inputs(run_id, inputs)
            self._client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
            self._client.set_terminated(run_id)
            return LoggedRun(run_id, model_id)

    def create_version(self, model_name: str, logged: LoggedRun, model_digest: str, tags: Mapping[str, str]) -> Version:
        """Register a model of the store as the next version of `model_name`, linked with its logged model."""
        with self._explained():
            try:
                self._client.create_registered_model(model_name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            linked = {**tags, "logged_model_id": logged.model_id}
            # A server takes no source without a slash.
            source = f"store:/{model_digest}"
            created = self._client.create_model_version(
                model_name, source, logged.run_id, linked, await_creation_for=0, model_id=logged.model_id
            )
            # The way back, by which MLflow's pages lead from the figures to the version.
            back = json.dumps([{"name": model_name, "version": str(created.version)}])
            self._client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": back})
            return Version(int(created.version), logged.run_id, linked)

    def challenge(self, model_name: str, version: int) -> None:
        """Point `challenger` at the version that was judged last."""
        with self._explained():
            self._client.set_registered_model_alias(model_name, "challenger", str(version))

    def tag_version(self, model_name: str, version: int, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        with self._explained():
            for name, value in tags.items():
                self._client.set_model_version_tag(model_name, str(version), name, value)

    def untag_version(self, model_name: str, version: int, tags: Sequence[str]) -> None:
        """Remove tags that a version has."""
        with self._explained():
            for name in tags:
                self._client.delete_model_version_tag(model_name, str(version), name)

    def mirror(self, model_name: str, ledger: Ledger) -> list[str]:
        """Point `champion` and `previous` where the ledger says, and note the ledger's last entry.

        `previous` is what a rollback would restore, so that nobody who falls back on it gets what was taken back; it
        points nowhere where somebody deleted that version.

        Returns:
            What was not as the ledger says, in words.

        Raises:
            RegistryError: see `check_ledger`.
        """
        entries = self._check(model_name, ledger)
        if not entries:
            return []
        before = previous([entry for entry, _ in entries])
        deleted = ""
        if before is not None and self.get_version(model_name, before.version) is None:
            deleted, before = f": MLflow does not have version {before.version} any more", None
        changed: list[str] = []
        with self._explained():
            model = self._client.get_registered_model(model_name)
            present = {str(alias): int(version) for alias, version in dict(model.aliases).items()}
            # The champion last.
            for alias, version, why in (
                ("previous", before.version if before else None, deleted),
                ("champion", entries[-1][0].version, ""),
            ):
                if present.get(alias) == version and not why:
                    continue
                changed.append(f"{alias} was {_or_none(present.get(alias))}, is {_or_none(version)}{why}")
                if version is not None:
                    self._client.set_registered_model_alias(model_name, alias, str(version))
                elif alias in present:
                    self._client.delete_registered_model_alias(model_name, alias)
            head = f"{len(entries)} {entries[-1][1]}"
            if model.tags.get(HEAD_TAG) != head:
                self._client.set_registered_model_tag(model_name, HEAD_TAG, head)
        return changed

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found is not None else self._client.create_experiment(name))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except MlflowException as error:
            if lost := _lost_by(error):
                raise RegistryUnreachableError(
                    f"The MLflow server {self._uri} does not answer ({type(lost).__name__}). Start it, or mend "
                    "MLFLOW_TRACKING_URI."
                ) from error
            status = error.get_http_status_code()
            if status in (401, 403):
                raise ConfigurationError(
                    f"MLflow at {self._uri} refuses the user ({status}). Set MLFLOW_TRACKING_USERNAME and "
                    "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, where this runs, or give the user the right."
                ) from error
            # What is no MLflow server may answer with a whole page.
            raise RegistryError(f"MLflow at {self._uri} refused: {shorten(error.message, 300)}") from error
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"MLflow at {self._uri} needs the package {error.name}, which is not installed; expected the URL of an "
                "MLflow server, or nothing for SQLite in the store."
            ) from error
        except SQLAlchemyError as error:
            cause = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise RegistryError(
                f"The registry {self._uri} cannot be used: {cause}. Bring the file back from a backup."
            ) from error


def _version(found: ModelVersion) -> Version:
    return Version(int(found.version), str(found.run_id), dict(found.tags))


def _or_none(version: int | None) -> str:
    return "none" if version is None else f"version {version}"


def _lost_by(error: MlflowException) -> BaseException | None:
    """What shows that a server does not answer, or None where it refused.

    MLflow wraps what requests raises (always an `OSError`), and a server's 5xx, in its own type, and that in another.
    """
    cause: BaseException | None = error
    while isinstance(cause, MlflowException) and cause.get_http_status_code() not in (429, 502, 503, 504):
        cause = cause.__cause__ or cause.__context__
    return cause if isinstance(cause, MlflowException | OSError) else None
