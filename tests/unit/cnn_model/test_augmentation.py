import numpy as np
import numpy.typing as npt
import pytest
from keras import ops

from cnn_model.augmentation import EpochPlan, look_up, plan_epoch

IMAGES = np.random.default_rng(0).integers(0, 256, size=(64, 32, 32, 3), dtype=np.uint8)


def _shown(plan: EpochPlan) -> npt.NDArray[np.uint8]:
    """All images of a plan, in its order."""
    batches = [
        ops.convert_to_numpy(look_up(ops.convert_to_tensor(IMAGES), *map(ops.convert_to_tensor, step)))
        for step in zip(plan.order, plan.mirrored, plan.shifts, strict=True)
    ]
    return np.concatenate(batches)


@pytest.mark.parametrize(("flip", "shift_pixels"), [("none", 0), ("random", 0), ("none", 2), ("alternating", 8)])
def test_every_image_is_shown_once_as_it_can_be_cut_out_of_the_reflected_one(make_recipe, flip: str, shift_pixels: int):
    plan = plan_epoch(make_recipe(flip=flip, shift_pixels=shift_pixels, batch_size=16), 64, seed=3, epoch=1)

    shown = _shown(plan)

    assert shown.dtype == np.uint8
    assert shown.shape == IMAGES.shape
    assert sorted(plan.order.ravel()) == list(range(64))
    far = shift_pixels
    padded = np.pad(IMAGES, ((0, 0), (far, far), (far, far), (0, 0)), mode="reflect")
    for image, index, mirrored, (down, right) in zip(
        shown, plan.order.ravel(), plan.mirrored.ravel(), plan.shifts.reshape(-1, 2), strict=True
    ):
        cut = padded[index, far + down : far + down + 32, far + right : far + right + 32]
        np.testing.assert_array_equal(image, cut[:, ::-1] if mirrored else cut)


def test_shifts_reach_every_distance_and_no_farther(make_recipe):
    shifts = plan_epoch(make_recipe(shift_pixels=2, batch_size=500), 500, seed=1, epoch=0).shifts

    assert set(np.unique(shifts)) == {-2, -1, 0, 1, 2}
    assert plan_epoch(make_recipe(shift_pixels=0), 500, seed=1, epoch=0).shifts.any() is np.False_


@pytest.mark.parametrize("flip", ["random", "alternating"])
def test_about_half_of_the_images_are_mirrored(make_recipe, flip: str):
    recipe = make_recipe(flip=flip, batch_size=1000)
    sides = [_sides(plan_epoch(recipe, 1000, seed=1, epoch=epoch)) for epoch in range(3)]

    assert all(420 < side.sum() < 580 for side in sides)
    assert np.array_equal(sides[0], ~sides[1]) is (flip == "alternating")
    assert np.array_equal(sides[0], sides[2]) is (flip == "alternating")


def test_an_epoch_can_be_drawn_again_and_another_differs(make_recipe):
    recipe = make_recipe()
    first, again, other = (plan_epoch(recipe, 200, seed=7, epoch=epoch) for epoch in (3, 3, 4))

    for name in ("order", "mirrored", "shifts"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))


def test_batches_have_one_size_and_few_images_are_one_batch(make_recipe):
    assert plan_epoch(make_recipe(batch_size=60), 200, seed=1, epoch=0).order.shape == (3, 60)
    assert plan_epoch(make_recipe(batch_size=60), 7, seed=1, epoch=0).order.shape == (1, 7)


def _sides(plan: EpochPlan) -> npt.NDArray[np.bool_]:
    """Whether each image is mirrored, in the order of the split."""
    sides = np.zeros(plan.num_images, np.bool_)
    sides[plan.order.ravel()] = plan.mirrored.ravel()
    return sides
