"""Random changes of images that leave what they show unchanged.

What is random is drawn beforehand, a whole epoch at once, with NumPy and from seed and epoch alone. So an epoch can
be made again, both backends see the same images, and only small arrays travel to a device that holds the images.
There a changed batch is a single look-up of pixels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from cnn_model.recipe import Recipe

_ORDER, _SIDES, _SHIFTS = range(3)
"""Names of the streams of random numbers."""


@dataclass(frozen=True)
class EpochPlan:
    """Which images an epoch shows, when, and how changed.

    Attributes:
        order: ndarray of shape (num_steps, batch_size), dtype=int32: positions in the split.
        mirrored: ndarray of shape (num_steps, batch_size), dtype=bool: whether left and right change places.
        shifts: ndarray of shape (num_steps, batch_size, 2), dtype=int32: how many rows and columns further on in the
            image a pixel is taken from; beyond an edge the image is continued by its reflection.
    """

    order: npt.NDArray[np.int32]
    mirrored: npt.NDArray[np.bool_]
    shifts: npt.NDArray[np.int32]

    @property
    def num_steps(self) -> int:
        """Steps of the epoch."""
        return len(self.order)

    @property
    def num_images(self) -> int:
        """Images that it shows."""
        return self.order.size

    def part(self, start: int, stop: int) -> "EpochPlan":
        """Some of its steps."""
        return EpochPlan(self.order[start:stop], self.mirrored[start:stop], self.shifts[start:stop])


def changes_images(recipe: Recipe) -> bool:
    """Whether any image is shown otherwise than it is."""
    return recipe.flip != "none" or recipe.shift_pixels > 0


def plan_epoch(recipe: Recipe, num_images: int, seed: int, epoch: int) -> EpochPlan:
    """Draw one epoch.

    All steps have batches of one size: images left over wait for another epoch's order. Fewer images than a batch are
    one batch.

    Args:
        recipe: Says how large a batch is and what changes.
        num_images: Images in the split, at least 1.
        seed: Of the training.
        epoch: Counted from 0.
    """
    batch_size = min(recipe.batch_size, num_images)
    shape = (num_images // batch_size, batch_size)
    shuffled = np.random.default_rng((seed, epoch, _ORDER)).permutation(num_images).astype(np.int32)
    order = shuffled[: shape[0] * batch_size].reshape(shape)
    farthest = recipe.shift_pixels
    shifts = np.random.default_rng((seed, epoch, _SHIFTS)).integers(-farthest, farthest + 1, (*shape, 2), np.int32)
    return EpochPlan(order, _sides(recipe, num_images, seed, epoch)[order], shifts)


def look_up(images: Any, order: Any, mirrored: Any, shifts: Any) -> Any:
    """One batch, shifted and mirrored, as a tensor of the backend.

    Args:
        images: tensor of shape (num_images, height, width, channels).
        order: tensor of shape (batch_size,), dtype=int32.
        mirrored: tensor of shape (batch_size,), dtype=bool.
        shifts: tensor of shape (batch_size, 2), dtype=int32, range [1 - side, side - 1].

    Returns:
        tensor of shape (batch_size, height, width, channels), of the images' dtype.
    """
    height, width, channels = images.shape[1:]
    columns = ops.arange(width, dtype="int32")
    columns = ops.where(mirrored[:, None], width - 1 - columns, columns)  # (batch_size, width)
    columns = _reflected(columns + shifts[:, 1:], width)
    rows = _reflected(ops.arange(height, dtype="int32") + shifts[:, :1], height)  # (batch_size, height)
    positions = (order[:, None] * height + rows)[:, :, None] * width + columns[:, None, :]
    return ops.take(ops.reshape(images, (-1, channels)), positions, axis=0)


def _reflected(positions: Any, size: int) -> Any:
    """Positions beyond an edge, folded back at its last pixel."""
    return size - 1 - ops.abs(size - 1 - ops.abs(positions))


def _sides(recipe: Recipe, num_images: int, seed: int, epoch: int) -> npt.NDArray[np.bool_]:
    """Whether each image is mirrored in this epoch.

    Alternating: a random half in the first epoch, the other half in the next, and so on. An image is never shown the
    same way in two epochs on end, so less is repeated (Jordan, arXiv 2404.00498, section 3.6).
    """
    if recipe.flip == "none":
        return np.zeros(num_images, np.bool_)
    drawn_in = 0 if recipe.flip == "alternating" else epoch
    half: npt.NDArray[np.bool_] = np.random.default_rng((seed, drawn_in, _SIDES)).random(num_images) < 0.5
    return half ^ (epoch % 2 == 1) if recipe.flip == "alternating" else half
