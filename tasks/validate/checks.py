"""All checks on one raw dataset."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.validate.checkpoint import run_checks
from tasks.validate.statistics import image_table
from tasks.validate.suite import dataset_expectations, dataset_table, image_expectations
from tasks.values.dataset import RawDataset
from tasks.values.validation import Check, DataValidationError


def check_dataset(
    dataset: RawDataset, folder: Path, max_class_imbalance: float
) -> tuple[tuple[Check, ...], pd.DataFrame]:
    """Describe every image and check the lot.

    Args:
        dataset: The dataset's value.
        folder: Its fetched artifact.
        max_class_imbalance: See `ValidateConfig`.

    Returns:
        The checks, and the table with one row an image that they looked at.

    Raises:
        DataValidationError: if a critical check failed; names each, with how many images.
    """
    images = pd.concat([_table(folder, split) for split in ("train", "test")], ignore_index=True)
    figures = dataset_table(images, dataset.name)
    checks = (
        *run_checks(images, "images", image_expectations(dataset)),
        *run_checks(figures, "dataset", dataset_expectations(max_class_imbalance)),
    )
    critical = [check for check in checks if not check.passed and check.severity == "critical"]
    if critical:
        raise DataValidationError(_message(dataset.name, critical), checks)
    return checks, images


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
    images = np.load(folder / f"{split}_images.npy", mmap_mode="r", allow_pickle=False)
    labels = np.load(folder / f"{split}_labels.npy", mmap_mode="r", allow_pickle=False)
    return image_table(images, labels, split)


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
