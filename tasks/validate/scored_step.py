"""The Prefect task of a scoring that compares its images. Apart from `step`, whose cache key would hang on it."""

import json
import logging

import numpy as np
from prefect import task

from tasks import policies, store
from tasks.store import Reference
from tasks.values.dataset import RawDataset
from tasks.values.scoring import Drift

logger = logging.getLogger(__name__)


@task(name="drift", task_run_name="drift against {trained_on.name}", **policies.uncached(retries=0))
def drift(sample: Reference, trained_on: RawDataset) -> Drift:
    """Compare a sample of the images that a model scored with what it was trained on.

    Args:
        sample: As a `Scoring` has it.
        trained_on: The dataset of the model.

    Raises:
        StoreError: if an artifact is missing or damaged.
    """
    from tasks.validate.scored import compare  # Great Expectations, SciPy and scikit-learn take seconds

    folder = store.current().fetch(sample)
    images, classes = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("images", "classes"))
    found = compare(images, classes, json.loads((folder / "names.json").read_text()), trained_on)
    for check in found.warnings:
        logger.warning("%s: observed %s, expected %s", check.name, check.observed, check.expected)
    return found
