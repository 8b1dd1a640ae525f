from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cnn_model import corruptions
from cnn_model.corruptions import GREY, NAMES, SEVERITIES, corrupt
from cnn_model.failures import BadRequestError

Images = np.ndarray


@pytest.fixture(scope="module")
def photos() -> Images:
    """40 images as smooth as photographs, with edges, each with another contrast."""
    rng = np.random.default_rng(3)
    noise = gaussian_filter(rng.normal(size=(40, 32, 32, 3)), (0, 2, 2, 0.5))
    noise += 0.1 * gaussian_filter(rng.normal(size=noise.shape), (0, 0.7, 0.7, 0))
    noise /= np.abs(noise).max(axis=(1, 2, 3), keepdims=True)
    images = 128 + rng.uniform(60, 127, (40, 1, 1, 1)) * noise
    images[:, 7:19, 9:24] += rng.uniform(-90, 90, (40, 1, 1, 3))
    given: Images = np.clip(images, 0, 255).astype(np.uint8)
    return given


def each(function: Callable[..., None]) -> Callable[..., None]:
    marked: Callable[..., None] = pytest.mark.parametrize("name", NAMES)(function)
    return marked


def greys(num_images: int) -> Images:
    """Grey images that differ in one value, and so in what is drawn for them."""
    images = np.full((num_images, 32, 32, 3), 128, np.uint8)
    images[:, 0, 0, 0] = 100 + np.arange(num_images)
    return images


def distortion(images: Images, corrupted: Images) -> np.ndarray:
    """Mean squared error of each image."""
    found: np.ndarray = ((corrupted.astype(np.float64) - images) ** 2).mean(axis=(1, 2, 3))
    return found


def test_there_are_ten_of_three_severities() -> None:
    assert len(set(NAMES)) == 10
    assert SEVERITIES == (1, 2, 3)


@each
def test_type_and_shape_stay_and_what_came_is_left_as_it_is(name: str, photos: Images) -> None:
    before = photos.copy()
    given = corrupt(photos, name, 3, seed=1)
    assert given.dtype == np.uint8
    assert given.shape == photos.shape
    np.testing.assert_array_equal(photos, before)
    assert not np.shares_memory(given, photos)
    assert corrupt(photos[:0], name, 1, seed=1).shape == (0, 32, 32, 3)


@each
def test_an_image_is_corrupted_alike_in_any_batch_and_order(name: str, photos: Images) -> None:
    whole = corrupt(photos, name, 2, seed=1)
    np.testing.assert_array_equal(corrupt(photos, name, 2, seed=1), whole)
    parts = [corrupt(photos[start : start + 7], name, 2, seed=1) for start in range(0, len(photos), 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(corrupt(photos[::-1], name, 2, seed=1), whole[::-1])


@each
def test_another_seed_changes_what_is_random_and_nothing_else(name: str, photos: Images) -> None:
    fixed = {"Gaussian blur", "Brightness", "Contrast", "Pixelation", "JPEG compression"}
    same = np.array_equal(corrupt(photos, name, 2, seed=1), corrupt(photos, name, 2, seed=2))
    assert same == (name in fixed)


@each
def test_each_severity_distorts_every_image_more_than_the_one_before(name: str, photos: Images) -> None:
    one, two, three = (distortion(photos, corrupt(photos, name, severity, seed=1)) for severity in SEVERITIES)
    assert one.mean() > 0
    if name in ("Gaussian noise", "Impulse noise", "Occlusion", "Brightness", "Contrast"):
        assert (two >= one).all()
        assert (three >= two).all()
    assert one.mean() < two.mean() < three.mean()


@each
@pytest.mark.parametrize("shade", [0, 255])
def test_extreme_images_do_not_wrap_around(name: str, shade: int) -> None:
    flat = np.full((2, 32, 32, 3), shade, np.uint8)
    given = corrupt(flat, name, 1, seed=1).astype(np.int64)
    assert np.abs(np.median(given) - shade) <= (40 if name == "Brightness" and shade == 0 else 3)


def test_images_of_equal_pixels_share_their_noise_and_others_do_not(photos: Images) -> None:
    pair = np.stack([photos[0], photos[1], photos[0]])
    noise = corrupt(pair, "Gaussian noise", 1, seed=1).astype(np.int64) - pair
    np.testing.assert_array_equal(noise[0], noise[2])
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.1


def test_gaussian_noise_has_the_deviation_that_it_says() -> None:
    grey = greys(20)
    for severity, deviation in zip(SEVERITIES, (0.02, 0.04, 0.06), strict=True):
        noise = corrupt(grey, "Gaussian noise", severity, seed=1).astype(np.float64) - grey
        assert noise.mean() == pytest.approx(0, abs=0.2)
        assert noise.std() == pytest.approx(255 * deviation, rel=0.02)


def test_impulse_noise_sets_few_values_to_the_extremes_and_leaves_the_rest(photos: Images) -> None:
    grey = greys(50)
    given = corrupt(grey, "Impulse noise", 3, seed=1)
    assert set(np.unique(given[given != grey])) == {0, 255}
    assert (given != grey).mean() == pytest.approx(0.02, rel=0.1)
    assert (given == 0).sum() == pytest.approx((given == 255).sum(), rel=0.15)
    two, three = (corrupt(grey, "Impulse noise", severity, seed=1) != grey for severity in (2, 3))
    assert (three | ~two).all()  # what is hit stays hit


@pytest.mark.parametrize("name", ["Gaussian blur", "Motion blur", "Pixelation", "Contrast"])
def test_what_averages_keeps_the_mean_and_flattens(name: str, photos: Images) -> None:
    given = corrupt(photos, name, 3, seed=1).astype(np.float64)
    means, deviations = given.mean(axis=(1, 2)), given.std(axis=(1, 2))
    np.testing.assert_allclose(means, photos.mean(axis=(1, 2)), atol=4)
    assert (deviations <= photos.std(axis=(1, 2)) + 0.5).all()


def test_motion_blur_is_along_one_line_and_differs_from_image_to_image() -> None:
    dots = np.zeros((32, 32, 32, 3), np.uint8)
    dots[:, 16, 16] = 255
    dots[:, 0, 0, 0] = np.arange(32)  # other pixels, so other directions
    given = corrupt(dots, "Motion blur", 3, seed=1)[:, 8:25, 8:25, 0].astype(np.float64)
    rows, columns = np.mgrid[-8:9, -8:9]
    angles = set()
    for image in given:
        weights = image / image.sum()
        spread = np.array([[rows * rows, rows * columns], [rows * columns, columns * columns]])
        across, along = np.linalg.eigvalsh((spread * weights).sum(axis=(2, 3)))
        assert along > 4 * across
        angles.add(round(float((weights * rows * columns).sum()), 1))
        assert image.sum() == pytest.approx(255, rel=0.1)
    assert len(angles) > 4


def test_brightness_keeps_the_order_of_channels_and_hue(photos: Images) -> None:
    given = corrupt(photos, "Brightness", 1, seed=1).astype(np.float64)
    assert (given.max(axis=-1) >= photos.max(axis=-1)).all()
    first, second = photos[..., 0] > photos[..., 1], photos[..., 1] > photos[..., 2]
    assert (given[..., 0] >= given[..., 1])[first].all()
    assert (given[..., 1] >= given[..., 2])[second].all()
    bright = (photos.max(axis=-1) > 60) & (given.max(axis=-1) < 255)
    ratios = given.min(axis=-1) / given.max(axis=-1), photos.min(axis=-1) / photos.max(axis=-1).astype(float)
    np.testing.assert_allclose(ratios[0][bright], ratios[1][bright], atol=0.02)


def test_contrast_shrinks_distances_to_the_mean_by_its_share(photos: Images) -> None:
    given = corrupt(photos, "Contrast", 1, seed=1)
    means = photos.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(given - means, 0.5 * (photos - means), atol=0.51)


def test_pixelation_leaves_blocks_of_one_colour(photos: Images) -> None:
    given = corrupt(photos, "Pixelation", 3, seed=1)
    blocks = given.reshape(-1, 16, 2, 16, 2, 3)
    assert (blocks == blocks[:, :, :1, :, :1]).all()
    np.testing.assert_allclose(blocks[:, :, 0, :, 0], photos.reshape(-1, 16, 2, 16, 2, 3).mean(axis=(2, 4)), atol=0.51)
    # 28 of 32 rows are left at the mildest severity.
    assert len(np.unique(corrupt(photos[:1], "Pixelation", 1, seed=1)[0], axis=0)) == 28


def test_translation_keeps_the_pixels_and_moves_them(photos: Images) -> None:
    # Each pixel says where it came from.
    rows, columns = np.mgrid[:32, :32].astype(np.uint8)
    places = np.stack([rows, columns, np.zeros_like(rows)], axis=-1)
    images = np.repeat(places[None], 16, axis=0)
    images[:, 0, 0, 2] = np.arange(16)
    for severity, distance in zip(SEVERITIES, (3, 6, 9), strict=True):
        given = corrupt(images, "Translation", severity, seed=1).astype(np.int64)
        moved = np.stack([rows, columns], axis=-1).astype(np.int64) - given[..., :2]
        centre = moved[:, 10:22, 10:22]
        assert (centre == centre[:, :1, :1]).all()
        lengths = np.hypot(*centre[:, 0, 0].T)
        np.testing.assert_allclose(lengths, distance, atol=0.75)
        assert len({tuple(step) for step in centre[:, 0, 0]}) > 4


def test_occlusion_covers_one_square_and_nothing_else(photos: Images) -> None:
    white = np.full((30, 32, 32, 3), 255, np.uint8)
    white[:, 0, 0, 0] = np.arange(200, 230)
    covered = []
    for severity, side in zip(SEVERITIES, (8, 12, 16), strict=True):
        mask = (corrupt(white, "Occlusion", severity, seed=1) == GREY).all(axis=-1)
        assert (mask.sum(axis=(1, 2)) == side * side).all()
        assert (mask.any(axis=1).sum(axis=1) == side).all()
        assert (mask.any(axis=2).sum(axis=1) == side).all()
        covered.append(mask)
    assert (covered[1] | ~covered[0]).all()
    assert (covered[2] | ~covered[1]).all()
    assert covered[0].any(axis=0).mean() > 0.8


def test_jpeg_compression_is_that_of_pillow(photos: Images) -> None:
    errors = [distortion(photos, corrupt(photos, "JPEG compression", severity, 1)).mean() for severity in SEVERITIES]
    assert 1 < errors[0] < errors[1] < errors[2] < 400


@pytest.mark.parametrize(("name", "severity"), [("snow", 1), ("Contrast", 0), ("Contrast", 4)])
def test_what_is_not_there_is_refused(name: str, severity: int, photos: Images) -> None:
    with pytest.raises(BadRequestError, match=r"expected one of Gaussian noise, .*of severity 1 to 3"):
        corrupt(photos, name, severity, seed=1)


def test_the_suite_needs_no_keras() -> None:
    assert "keras" not in vars(corruptions)
