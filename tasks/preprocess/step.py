"""The Prefect task of the third step."""

import logging

import numpy as np
from prefect import task

from tasks import policies, store
from tasks.preprocess.config import PreprocessConfig
from tasks.preprocess.dropped import parts_by_split
from tasks.preprocess.splitting import arrays_digest, channel_statistics, grouped_indices, write_split
from tasks.values.dataset import RawDataset
from tasks.values.near_duplicates import NearDuplicates
from tasks.values.splits import Splits

logger = logging.getLogger(__name__)


@task(name="preprocess", task_run_name="preprocess {dataset.name}", **policies.cached(distributions=("numpy",)))
def preprocess(dataset: RawDataset, near_duplicates: NearDuplicates, config: PreprocessConfig) -> Splits:
    """Cut the dataset into train, validation, calibration and test, as memory-mapped arrays.

    Args:
        dataset: The dataset's value, with the accepted drops alone.
        near_duplicates: Of this dataset; they stay on one side of train, validation, calibration.
        config: Fractions and seed.
    """
    folder = store.current().fetch(dataset.artifact)
    arrays = {
        f"{split}_{kind}": np.load(folder / f"{split}_{kind}.npy", mmap_mode="r", allow_pickle=False)
        for split in ("train", "test")
        for kind in ("images", "labels")
    }
    indices = grouped_indices(
        np.asarray(arrays["train_labels"]),
        near_duplicates.base_groups()[: dataset.num_train_images],
        config.validation_fraction,
        config.calibration_fraction,
        config.split_seed,
    )
    dropped = parts_by_split(dataset.drops, near_duplicates, indices, config)
    with store.current().staging() as target:
        sizes = {
            split: write_split(
                target, split, [(arrays["train_images"], arrays["train_labels"], chosen), *dropped[split]]
            )
            for split, chosen in indices.items()
        }
        everything = np.arange(dataset.num_test_images)
        sizes["test"] = write_split(target, "test", [(arrays["test_images"], arrays["test_labels"], everything)])
        mean, std = channel_statistics(np.load(target / "train_images.npy", mmap_mode="r", allow_pickle=False))
        logger.info("Splits: %s", ", ".join(f"{split} {size:,}" for split, size in sizes.items()))
        return Splits(
            artifact=store.current().publish(target),
            dataset_name=dataset.name,
            class_names=dataset.class_names,
            num_images=sizes,
            test_digest=arrays_digest(arrays["test_images"], arrays["test_labels"]),
            channel_mean=tuple(mean.tolist()),
            channel_std=tuple(std.tolist()),
        )
