"""The recipe against the figures of arXiv 2404.00498, listing 4, in their own units."""

import numpy as np
import pytest
from keras import layers

from cnn_model import architectures
from cnn_model.recipes.accurate import RECIPE

IMAGES = np.random.default_rng(0).integers(0, 256, size=(20, 32, 32, 3), dtype=np.uint8)

SCALE = 1 + 1 / (1 - RECIPE.momentum)
"""What both rates are divided by there."""


def test_the_rate_is_the_published_one_for_the_mean_of_a_batch():
    assert pytest.approx(11.5 / 1024 * RECIPE.batch_size / SCALE) == RECIPE.learning_rate


def test_a_step_at_the_peak_rate_decays_as_much_as_published():
    """There the decay is added to the gradient, and the momentum repeats it in all later steps."""
    share_in_the_end = 0.0153 / 1024 * RECIPE.batch_size / SCALE / (1 - RECIPE.momentum)

    assert RECIPE.weight_decay * RECIPE.learning_rate == pytest.approx(share_in_the_end, rel=1e-3)


def test_network_is_the_published_one():
    network = architectures.build(RECIPE.architecture, IMAGES)

    kernels = 12 * 24 + 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256) + 256 * 10
    biases = 24 + 2 * (64 + 256 + 256)
    running_figures = 2 * 2 * (64 + 256 + 256)
    assert network.count_params() == kernels + biases + running_figures
    assert [pooled.output.shape[1:3] for pooled in network.layers if isinstance(pooled, layers.MaxPooling2D)] == [
        (15, 15),
        (7, 7),
        (3, 3),
    ]
    # 0.36 PFLOP for 9.9 epochs: forward once, backward twice.
    assert 3 * architectures.flops(network) * 9.9 * 50_000 == pytest.approx(0.36e15, rel=0.03)
