"""Which model scores: the champion of the ledger, or another version that the ledger names."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from cnn_model.class_names import CLASS_NAMES
from tasks.errors import ConfigurationError, RegistryError, StoreError
from tasks.ledger import LedgerEntry, ledger_names, open_ledger
from tasks.values.dataset import RawDataset
from tasks.values.scoring import ScoredModel


def check_name(model: str) -> None:
    """See that a model's name is one.

    Raises:
        ConfigurationError: if it is not.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", model):
        raise ConfigurationError(f"The model is {model!r}; expected a registered name such as cifar10-cnn. Name one.")


def find(model: str, version: int | None) -> tuple[LedgerEntry, bool]:
    """The promotion of a version, and whether it is champion now.

    Args:
        model: The registered model's name.
        version: Its version; None for the champion.

    Raises:
        ConfigurationError: if the model's name is none.
        RegistryError: if there is no champion yet, the ledger does not name the version, or is damaged.
    """
    check_name(model)
    entries = open_ledger(model).entries()
    if not entries:
        others = ledger_names()
        raise RegistryError(
            f"{model} has no champion yet; expected a promoted model. "
            + (
                f"Promoted were {', '.join(others)}: name one with --model."
                if others
                else "Run flows.retraining first."
            )
        )
    champion = entries[-1]
    if version is None or version == champion.version:
        return champion, True
    found = next((entry for entry in reversed(entries) if entry.version == version), None)
    if found is None:
        known = ", ".join(str(number) for number in sorted({entry.version for entry in entries}))
        raise RegistryError(
            f"The ledger of {model} does not name version {version}; it names {known}. Only what was promoted once is "
            "scored with: name one of these."
        )
    return found, False


def described(entry: LedgerEntry, is_champion: bool) -> ScoredModel:
    """The model of a promotion, as a scoring names it."""
    return ScoredModel(
        name=entry.model_name,
        version=entry.version,
        champion=is_champion,
        model_digest=entry.model_digest,
        model_sha256=entry.model_sha256,
    )


def class_names(entry: LedgerEntry) -> tuple[str, ...]:
    """What the model tells apart; entries of before it was recorded are of CIFAR-10's classes."""
    return tuple(entry.dataset["class_names"]) if entry.dataset is not None else CLASS_NAMES


def trained_on(dataset: Mapping[str, Any]) -> RawDataset:
    """What a model was trained on, from the fields that the ledger keeps.

    Raises:
        StoreError: if the store does not have it any more.
    """
    try:
        return RawDataset.model_validate(dataset)
    except ValidationError as error:
        cause = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise StoreError(f"The model's data are not there: {cause}") from error
