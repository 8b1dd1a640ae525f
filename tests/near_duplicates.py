"""Near-duplicates as validate leaves them, for images that need not be alike; and images like photographs."""

from collections.abc import Mapping, Sequence

import numpy as np

from tasks.store import Store
from tasks.validate.near_duplicates import Pairs, group, write_near_duplicates
from tasks.values.near_duplicates import NearDuplicates, in_train


def publish_near_duplicates(
    target: Store,
    num_train: int,
    num_test: int,
    pairs: Sequence[tuple[int, int]] = (),
    drops: Mapping[str, int] | None = None,
) -> NearDuplicates:
    """Publish pairs, each a little less similar than the one before it.

    Test images count on from train, and those of drops, given as digests and sizes, from test.
    """
    indices = np.array(pairs, dtype=np.int32).reshape(-1, 2)
    num_base = num_train + num_test
    groups = group(num_base + sum((drops or {}).values()), indices)
    base_groups = group(num_base, indices[indices[:, 1] < num_base])
    similarity = np.linspace(1, 0.9, len(pairs), dtype=np.float32)
    with target.staging() as folder:
        write_near_duplicates(folder, Pairs(indices, similarity), groups, base_groups)
        return NearDuplicates(
            artifact=target.publish(folder),
            num_train_images=num_train,
            num_test_images=num_test,
            num_test_images_in_train=int(in_train(groups, num_train, num_test).sum()),
            drops=tuple(drops or {}),
        )


def photographs(num_images: int, seed: int = 0) -> np.ndarray:
    """Images like photographs in that their amplitude falls as 1 / frequency, and their channels go together."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((num_images, 64, 64, 1)) + 0.3 * rng.standard_normal((num_images, 64, 64, 3))
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64))
    waves = np.fft.fft2(noise, axes=(1, 2)) / np.maximum(frequency, 1 / 64)[:, :, None]
    fields = np.fft.ifft2(waves, axes=(1, 2)).real
    fields = fields[:, 8:40, 8:40] / fields.std(axis=(1, 2, 3), keepdims=True)
    images: np.ndarray = np.clip(128 + 45 * fields, 0, 255).astype(np.uint8)
    return images
