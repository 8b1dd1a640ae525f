"""All checks on one raw dataset."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.validate.checkpoint import run_checks
from tasks.validate.config import ValidateConfig
from tasks.validate.near_duplicates import Search
from tasks.validate.statistics import image_table
from tasks.validate.suite import dataset_expectations, dataset_table, image_expectations
from tasks.values.dataset import RawDataset
from tasks.values.validation import Check, DataValidationError


@dataclass(frozen=True)
class Findings:
    """What was found in a dataset that may be trained on.

    Attributes:
        checks: What was expected, and what was found.
        images: The table that the checks looked at, one row an image, train before test.
        search: Knows their near-duplicates, by their rows, and finds those of drops.
    """

    checks: tuple[Check, ...]
    images: pd.DataFrame
    search: Search


def check_dataset(dataset: RawDataset, folder: Path, config: ValidateConfig) -> Findings:
    """Describe every image, look for near-duplicates, and check the lot.

    Args:
        dataset: The dataset's value.
        folder: Its fetched artifact.
        config: Bounds of the checks.

    Raises:
        DataValidationError: if a critical check failed; names each, with how many images.
    """
    images = pd.concat([_table(folder, split) for split in ("train", "test")], ignore_index=True)
    search = Search(_array(folder, "train_images"), _array(folder, "test_images"))
    figures = dataset_table(images, dataset.name, search.pairs.indices, search.groups())
    checks = (
        *run_checks(images, "images", image_expectations(dataset)),
        *run_checks(figures, "dataset", dataset_expectations(config)),
    )
    critical = [check for check in checks if not check.passed and check.severity == "critical"]
    if critical:
        raise DataValidationError(_message(dataset.name, critical), checks)
    return Findings(checks, images, search)


def write_checks(folder: Path, checks: tuple[Check, ...], images: pd.DataFrame) -> None:
    """Write `checks.json` and `statistics.npz` into `folder`."""
    (folder / "checks.json").write_text(json.dumps([check.model_dump() for check in checks], indent=1))
    # Fixed-width text: object columns would need pickle.
    columns = {
        str(name): column.to_numpy().astype(str) if column.dtype.kind not in "iuf" else column.to_numpy()
        for name, column in images.items()
    }
    np.savez(folder / "statistics.npz", allow_pickle=False, **columns)


def _table(folder: Path, split: str) -> pd.DataFrame:
    return image_table(_array(folder, f"{split}_images"), _array(folder, f"{split}_labels"), split)


def _array(folder: Path, name: str) -> NDArray[np.uint8]:
    array: NDArray[np.uint8] = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    return array


def _message(dataset_name: str, critical: list[Check]) -> str:
    parts = [
        f"{check.name}: observed {check.observed}, expected {check.expected}"
        + (f" ({check.num_images:,} images)" if check.num_images else "")
        for check in critical
    ]
    return (
        f"The dataset {dataset_name} must not be trained on; {len(critical)} critical checks failed. "
        + "; ".join(parts)
        + ". Mend the source; nothing was trained."
    )
