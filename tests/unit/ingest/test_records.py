import numpy as np
import pytest

from tasks.errors import SourceError
from tasks.ingest import records


def test_a_record_is_a_label_then_planes_of_red_green_and_blue():
    data = bytes([7]) + bytes([10] * 1024) + bytes([20] * 1024) + bytes([30] * 1023 + [31])

    parsed = records.parse(data, "one.bin")

    assert parsed.labels.tolist() == [7]
    assert parsed.images[0, 0, 0].tolist() == [10, 20, 30]
    assert parsed.images[0, 31, 31].tolist() == [10, 20, 31]


def test_rows_come_before_columns():
    plane = np.arange(1024) // 32
    data = bytes([0]) + bytes(np.tile(plane, 3).astype(np.uint8))

    image = records.parse(data, "one.bin").images[0]

    assert image[5, :, 0].tolist() == [5] * 32


def test_parse_undoes_encode_and_gives_contiguous_bytes():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, 12, dtype=np.uint8)

    parsed = records.parse(records.encode(images, labels), "twelve.bin")

    np.testing.assert_array_equal(parsed.images, images)
    np.testing.assert_array_equal(parsed.labels, labels)
    assert parsed.images.dtype == parsed.labels.dtype == np.uint8
    assert parsed.images.flags.c_contiguous


def test_a_size_that_is_no_multiple_of_a_record_is_refused_with_the_numbers():
    with pytest.raises(SourceError, match=r"cut\.bin has 6,145 bytes, which is 1 records and 3,072 bytes over"):
        records.parse(bytes(2 * records.RECORD_BYTES - 1), "cut.bin")


def test_wrong_labels_are_counted_and_the_first_is_named():
    labels = np.array([0, 1, 11, 3, 255], np.uint8)
    data = records.encode(np.zeros((5, 32, 32, 3), np.uint8), labels)

    with pytest.raises(SourceError, match=r"x\.bin has 2 of 5 labels outside 0 to 9; the first is 11, in record 2,"):
        records.parse(data, "x.bin")
