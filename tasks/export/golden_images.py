"""The golden images of a test split, as an artifact of their own: its digest hangs on them and on nothing else."""

import numpy as np

from cnn_model import golden
from tasks import store
from tasks.store import Reference
from tasks.values.splits import Splits

IMAGES = "images.npy"


def publish(splits: Splits) -> Reference:
    """Publish the golden images of the splits: `images.npy`, shape (num_images, 32, 32, 3), dtype=uint8.

    Raises:
        StoreError: if the splits are missing or damaged, or the store cannot be written.
    """
    arrays = store.current().fetch(splits.artifact)
    images, labels = (np.load(arrays / f"test_{kind}.npy", mmap_mode="r") for kind in ("images", "labels"))
    with store.current().staging() as folder:
        np.save(folder / IMAGES, images[golden.choose(np.asarray(labels))])
        return store.current().publish(folder)
