from pathlib import Path

import numpy as np

from cnn_model.class_names import CLASS_NAMES
from tasks.evaluate.extra_test import figures, images_file
from tasks.store import Store
from tests.drops import noise, publish_drop


def test_figures_are_of_these_images_in_their_order(opened_store: Store, tmp_path: Path) -> None:
    images, labels = noise(8)  # of the first eight classes
    drop = publish_drop(opened_store, (images, labels))
    seen = np.where(np.arange(8) < 6, labels, (labels + 1) % 10)
    np.save(tmp_path / "extra_test_probabilities.npy", np.eye(10, dtype=np.float32)[seen])
    given = figures(drop, tmp_path, CLASS_NAMES)
    assert (given.digest, given.result.num_images, given.result.accuracy.value) == (drop.digest, 8, 0.75)
    assert [(metrics.num_images, metrics.recall) for metrics in given.result.per_class] == [
        *[(1, 1.0)] * 6,
        *[(1, 0.0)] * 2,
        *[(0, 0.0)] * 2,
    ]
    np.testing.assert_array_equal(np.load(images_file(drop)), images)
