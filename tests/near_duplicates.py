"""Near-duplicates as validate leaves them, for images that need not be alike."""

from collections.abc import Sequence

import numpy as np

from tasks.store import Store
from tasks.validate.near_duplicates import Pairs, group, write_near_duplicates
from tasks.values.near_duplicates import NearDuplicates, in_train


def publish_near_duplicates(
    target: Store, num_train: int, num_test: int, pairs: Sequence[tuple[int, int]] = ()
) -> NearDuplicates:
    """Publish pairs, each a little less similar than the one before it; test images count on from train."""
    indices = np.array(pairs, dtype=np.int32).reshape(-1, 2)
    groups = group(num_train + num_test, indices)
    with target.staging() as folder:
        write_near_duplicates(folder, Pairs(indices, np.linspace(1, 0.9, len(pairs), dtype=np.float32)), groups)
        return NearDuplicates(
            artifact=target.publish(folder),
            num_train_images=num_train,
            num_test_images_in_train=int(in_train(groups, num_train).sum()),
        )
