"""The kernel of a convolution that whitens image patches: its outputs are uncorrelated, with variance one.

Computed once from training images, never trained; a first layer that would take a network its first epoch to learn.

Reference: Page, "How to Train Your ResNet 8: Bag of Tricks" (2019); Jordan, arXiv 2404.00498, section 3.1, whose
epsilon this is.
"""

import numpy as np
import numpy.typing as npt

EPSILON = 5e-4
"""Added to the variances, so that directions in which patches hardly vary are not blown up to noise."""


def whitening_kernel(images: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Make the kernel from the eigenvectors of the patches' covariance.

    Args:
        images: ndarray of shape (num_images, height, width, channels), normalised.
        size: Side of a patch in pixels.

    Returns:
        ndarray of shape (size, size, channels, 2 * size * size * channels): each eigenvector over the square root of
        its variance, then each once more with the opposite sign, so that no rectifier loses half of it.
    """
    channels = images.shape[-1]
    patches = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    rows = patches.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size * size * channels)  # (num_patches, patch values)
    centred = rows - rows.mean(axis=0)
    # In float32, unlike np.cov: the rounding stays far below epsilon, in a tenth of the time.
    covariance = (centred.T @ centred).astype(np.float64) / (len(rows) - 1)
    variances, vectors = np.linalg.eigh(covariance)
    filters = vectors / np.sqrt(np.maximum(variances, 0) + EPSILON)  # (patch values, filters)
    kernel = np.concatenate([filters, -filters], axis=1)
    return kernel.reshape(size, size, channels, -1).astype(np.float32)
