import numpy as np

from cnn_model.golden import choose, largest_difference


def test_the_first_of_each_class_come_first_then_the_second() -> None:
    labels = np.array([3, 3, 1, 3, 1, 0], np.uint8)
    assert choose(labels).tolist() == [5, 2, 0, 4, 1, 3]
    assert choose(labels, 4).tolist() == [5, 2, 0, 4]


def test_of_ten_classes_each_gives_three_and_two_give_one_more() -> None:
    labels = np.random.default_rng(0).integers(0, 10, 1000).astype(np.uint8)
    assert np.bincount(labels[choose(labels)]).tolist() == [4, 4, 3, 3, 3, 3, 3, 3, 3, 3]


def test_what_cannot_be_compared_differs_infinitely() -> None:
    rows = np.full((2, 10), 0.5, np.float32)
    assert largest_difference(rows, rows + np.float32(0.25)) == 0.25
    assert largest_difference(rows, rows[:1]) == float("inf")
    assert largest_difference(rows, np.where(rows > 1, rows, np.nan)) == float("inf")
