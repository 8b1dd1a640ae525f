import numpy as np
import pytest

from tasks.evaluate.subsets import accuracy_without

LABELS = np.arange(10, dtype=np.uint8)


def test_images_that_are_left_out_count_neither_way() -> None:
    probabilities = np.eye(10, dtype=np.float32)
    probabilities[[8, 9]] = probabilities[[9, 8]]
    found = accuracy_without(probabilities, LABELS, LABELS < 5)
    assert found is not None
    assert (found.num_images, found.accuracy.value) == (5, 0.6)
    # Wilson's interval of 3 in 5, as statistical tables have it.
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx((0.2307, 0.8824), abs=1e-4)


def test_where_every_image_is_left_out_there_is_no_figure() -> None:
    assert accuracy_without(np.eye(10, dtype=np.float32), LABELS, np.ones(10, dtype=bool)) is None
