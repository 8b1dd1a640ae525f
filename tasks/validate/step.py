"""The Prefect task of the second step."""

import logging

from prefect import task

from tasks import policies, store
from tasks.validate.config import ValidateConfig
from tasks.values.baselines import Baselines
from tasks.values.dataset import RawDataset
from tasks.values.near_duplicates import NearDuplicates, in_train
from tasks.values.validation import Validation

logger = logging.getLogger(__name__)


LIBRARIES = ("numpy", "scipy", "pandas", "pillow", "scikit-learn", "great-expectations")


@task(name="validate", task_run_name="validate {dataset.name}", **policies.cached(distributions=LIBRARIES))
def validate(dataset: RawDataset, baselines: Baselines, config: ValidateConfig) -> Validation:
    """Check the raw dataset with Great Expectations; a critical failure stops the run before training.

    Each of its drops is judged as well; a bad one is for the flow to act on, since a cached step moves nothing. Extra
    test images that cannot be used stop the run.

    Args:
        dataset: With all drops that were read.
        baselines: What the drops are to be like.
        config: The bounds.
    """
    # Great Expectations takes seconds to import and belongs to this step alone; SciPy takes one.
    from tasks.validate.checks import check_dataset, write_checks
    from tasks.validate.drops import judge
    from tasks.validate.extra_test import judge_extra_test, require_good
    from tasks.validate.likeness import Likeness
    from tasks.validate.near_duplicates import write_near_duplicates

    findings = check_dataset(dataset, store.current().fetch(dataset.artifact), config)
    for check in findings.checks:
        if not check.passed:
            logger.warning("%s: observed %s, expected %s", check.name, check.observed, check.expected)
    search = findings.search
    extra_test = judge_extra_test(dataset, findings.images, search, config)
    if dataset.extra_test is not None and extra_test is not None:
        require_good(extra_test, dataset.extra_test.name, findings.checks)
        for check in extra_test.failed:
            logger.warning(
                "Extra test images, %s: observed %s, expected %s", check.name, check.observed, check.expected
            )
    drops = judge(dataset, findings.images, search, Likeness(dataset, baselines, config), config)
    # An artifact of their own: what is made of them does not hang on checks and their bounds, nor on bad drops.
    with store.current().staging() as folder:
        groups = search.groups()
        write_near_duplicates(folder, search.pairs, groups, search.base_groups())
        near_duplicates = NearDuplicates(
            artifact=store.current().publish(folder),
            num_train_images=dataset.num_train_images,
            num_test_images=dataset.num_test_images,
            num_test_images_in_train=int(in_train(groups, dataset.num_train_images, dataset.num_test_images).sum()),
            drops=tuple(verdict.digest for verdict in drops if verdict.good),
        )
    with store.current().staging() as folder:
        write_checks(folder, findings.checks, findings.images)
        artifact = store.current().publish(folder)
    return Validation(
        artifact=artifact, checks=findings.checks, near_duplicates=near_duplicates, drops=drops, extra_test=extra_test
    )
