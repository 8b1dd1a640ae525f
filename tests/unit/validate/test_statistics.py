import hashlib

import numpy as np
import pytest

from tasks.validate.statistics import CHUNK_IMAGES, COLUMNS, image_table


def one(image: np.ndarray) -> dict[str, float]:
    table = image_table(image[None], np.array([3], np.uint8), "train")
    return {str(name): value for name, value in table.iloc[0].items()}


def constant(red: int, green: int, blue: int) -> np.ndarray:
    return np.broadcast_to(np.array([red, green, blue], np.uint8), (32, 32, 3)).copy()


def test_a_constant_image_has_its_means_and_nothing_else() -> None:
    row = one(constant(10, 20, 30))
    assert (row["mean_red"], row["mean_green"], row["mean_blue"]) == (10, 20, 30)
    assert [row[name] for name in ("std_red", "contrast", "entropy", "sharpness")] == pytest.approx([0] * 4, abs=1e-4)
    assert row["saturation"] == pytest.approx(2 / 3)


def test_half_black_half_white() -> None:
    image = constant(0, 0, 0)
    image[:16] = 255
    row = one(image)
    assert row["contrast"] == pytest.approx(127.5, rel=1e-4)
    assert row["entropy"] == pytest.approx(1.0)
    assert (row["share_black"], row["share_white"], row["saturation"]) == (0.5, 0.5, 0.0)


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (32, 32)).astype(np.uint8)
    values = grey.astype(float)
    inner = values[1:-1, 1:-1]
    laplacian = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:] - 4 * inner
    assert one(np.repeat(grey[..., None], 3, axis=2))["sharpness"] == pytest.approx(laplacian.var(), rel=1e-3)


def test_rows_keep_their_order_over_chunks() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (CHUNK_IMAGES + 3, 32, 32, 3), dtype=np.uint8)
    labels = (np.arange(len(images)) % 10).astype(np.uint8)
    table = image_table(images, labels, "test")
    assert tuple(table.columns) == COLUMNS
    assert len(table) == len(images)
    last = images[-1]
    assert table["digest"].iloc[-1] == hashlib.sha256(last.tobytes()).hexdigest()
    assert table["mean_blue"].iloc[-1] == pytest.approx(last[..., 2].mean(), rel=1e-4)
    assert table["std_green"].iloc[-1] == pytest.approx(last[..., 1].std(), rel=1e-4)
    assert table["label"].iloc[-1] == labels[-1]
