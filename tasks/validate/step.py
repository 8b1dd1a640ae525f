"""The Prefect task of the second step."""

import logging

from prefect import task

from tasks import policies, store
from tasks.validate.config import ValidateConfig
from tasks.values.dataset import RawDataset
from tasks.values.validation import Validation

logger = logging.getLogger(__name__)


@task(name="validate", **policies.cached(distributions=("numpy", "pandas", "great-expectations")))
def validate(dataset: RawDataset, config: ValidateConfig) -> Validation:
    """Check the raw dataset with Great Expectations; a critical failure stops the run before training."""
    # Great Expectations takes seconds to import and belongs to this step alone.
    from tasks.validate.checks import check_dataset, write_checks

    checks, table = check_dataset(dataset, store.current().fetch(dataset.artifact), config.max_class_imbalance)
    for check in checks:
        if not check.passed:
            logger.warning("%s: observed %s, expected %s", check.name, check.observed, check.expected)
    with store.current().staging() as folder:
        write_checks(folder, checks, table)
        return Validation(artifact=store.current().publish(folder), checks=checks)
