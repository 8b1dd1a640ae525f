"""What an image looks like, as a row of numbers from which a linear model tells classes and faults apart.

Random patches of the images themselves, whitened, serve as filters; where in the image each responds, and how strongly,
is summed over quarters. Colours on a grid of 4x4, and the traces that JPEG's 8x8 blocks leave, come beside them.

Reference: Coates, Lee and Ng, "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", AISTATS 2011;
there k-means finds the filters, and random patches come close to it.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import dctn
from threadpoolctl import threadpool_limits

from tasks.validate.statistics import LUMA

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]

PATCH_SIZE = 6
STRIDE = 2
NUM_FILTERS = 128
NUM_PATCHES = 20_000
"""From which the whitening is estimated."""

CONTRAST_FLOOR = 10.0
"""Levels squared, added to a patch's variance: what is nearly flat stays so."""

WHITENING_FLOOR = 0.1
"""Added to the variances of the normalised patches: no direction of noise is blown up."""

RESPONSE_THRESHOLD = 0.25
"""Responses below it count as none; both signs count apart."""

JPEG_BLOCK = 8
FAINT_BELOW = (1.0, 3.0, 6.0)
"""Levels. JPEG rounds coefficients to nothing; these are too small to be seen."""

CHUNK = 250
MAX_THREADS = 4


class Features:
    """Turns images into features.

    Args:
        images: ndarray of shape (num_images, 32, 32, 3), dtype=uint8, from which the filters come; at least one.
    """

    def __init__(self, images: Images) -> None:
        rng = np.random.default_rng(0)
        windows = sliding_window_view(images, (PATCH_SIZE, PATCH_SIZE), axis=(1, 2))
        places = tuple(rng.integers(0, size, NUM_PATCHES) for size in windows.shape[:3])
        patches = _normalised(windows[places].reshape(NUM_PATCHES, -1).astype(np.float32))
        mean = patches.mean(axis=0)
        variances, directions = np.linalg.eigh(np.cov((patches - mean).T))
        whitening = (directions / np.sqrt(np.maximum(variances, 0) + WHITENING_FLOOR)) @ directions.T
        filters = (patches[:NUM_FILTERS] - mean) @ whitening
        filters /= np.maximum(np.linalg.norm(filters, axis=1, keepdims=True), 1e-6)
        self._filters = (whitening @ filters.T).astype(np.float32)
        self._offset = (mean @ self._filters).astype(np.float32)

    def __call__(self, images: Images) -> Floats:
        """One row an image, shape (num_images, num_features); the number of cores changes the time alone."""
        chunks = [images[start : start + CHUNK] for start in range(0, max(len(images), 1), CHUNK)]
        num_threads = min(os.cpu_count() or 1, MAX_THREADS)
        # Each thread with matrix products of its own: those of OpenBLAS wait for each other.
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(num_threads) as threads:
            return np.concatenate([*threads.map(self._describe, chunks)])

    def _describe(self, images: Images) -> Floats:
        colours = images.reshape(len(images), 4, 8, 4, 8, 3).mean(axis=(2, 4), dtype=np.float32) / 255
        products = colours[..., [0, 0, 0, 1, 1, 2]] * colours[..., [0, 1, 2, 1, 2, 2]]
        parts = (self._responses(images), colours, products, _block_traces(images))
        return np.concatenate([part.reshape(len(images), -1) for part in parts], axis=1)

    def _responses(self, images: Images) -> Floats:
        """Mean responses in the four quarters, shape (num_images, 4, 2 * NUM_FILTERS)."""
        windows = sliding_window_view(images, (PATCH_SIZE, PATCH_SIZE), axis=(1, 2))[:, ::STRIDE, ::STRIDE]
        num_images, side = windows.shape[:2]
        patches = windows.reshape(num_images * side * side, -1).astype(np.float32)
        responses = _normalised(patches) @ self._filters - self._offset
        both = np.concatenate([responses, -responses], axis=1) - np.float32(RESPONSE_THRESHOLD)
        np.maximum(both, 0, out=both)
        half = side // 2
        quarters = both.reshape(num_images, 2, half, 2, half, 2 * NUM_FILTERS)
        means: Floats = quarters.mean(axis=(2, 4))
        return means


def _normalised(patches: Floats) -> Floats:
    """Without mean, and with a variance of about one; in place."""
    patches -= patches.mean(axis=1, keepdims=True)
    variance = np.einsum("np,np->n", patches, patches) / patches.shape[1]
    patches /= np.sqrt(variance + CONTRAST_FLOOR)[:, None]
    return patches


def _block_traces(images: Images) -> Floats:
    """How many more faint waves there are in JPEG's own blocks than in blocks half a block off; three shares."""
    luma = images @ LUMA
    half = JPEG_BLOCK // 2
    traces: Floats = _shares_of_faint(luma) - _shares_of_faint(luma[:, half:-half, half:-half])
    return traces


def _shares_of_faint(luma: Floats) -> Floats:
    rows, columns = luma.shape[1] // JPEG_BLOCK, luma.shape[2] // JPEG_BLOCK
    blocks = luma.reshape(len(luma), rows, JPEG_BLOCK, columns, JPEG_BLOCK)
    waves = np.abs(dctn(blocks, axes=(2, 4), norm="ortho"))
    return np.stack([(waves < bound).mean(axis=(1, 2, 3, 4), dtype=np.float32) for bound in FAINT_BELOW], axis=1)
