import keras
import numpy as np
import pytest
from keras import ops

from cnn_model import architectures
from cnn_model.recipe import Architecture
from cnn_model.recipes import catalogue
from cnn_model.whitening import whitening_kernel

IMAGES = np.random.default_rng(0).integers(0, 256, size=(50, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "num_parameters"),
    [("tutorial-64-logits", 167_562), ("tutorial-64-softmax", 167_562), ("tutorial-128", 315_722)],
)
def test_tutorial_networks_have_the_published_number_of_parameters(name: str, num_parameters: int):
    network = architectures.build(catalogue.find(name).architecture, IMAGES)

    assert network.count_params() == num_parameters


def test_operations_are_counted_at_every_place_of_a_convolution():
    network = architectures.build(Architecture(name="tutorial", widths=(4,), dense_units=5), IMAGES)

    convolution, hidden, last = 30 * 30 * 4 * 27, 15 * 15 * 4 * 5, 5 * 10
    assert architectures.flops(network) == 2 * (convolution + hidden + last)


def test_fast_network_is_small_and_its_whitening_is_not_trained():
    network = architectures.build(catalogue.find("fast").architecture, IMAGES)

    assert network.count_params() < 1_000_000
    assert [layer.name for layer in network.layers if layer.weights and not layer.trainable] == ["whiten"]


def test_a_bias_of_the_whitening_is_trained_and_its_kernel_is_not():
    network = architectures.build(Architecture(name="whitened", widths=(4,), whitening_bias=True), IMAGES)

    whiten = network.get_layer("whiten")
    trained = {id(variable) for variable in network.trainable_variables}
    assert id(whiten.bias) in trained
    assert id(whiten.kernel) not in trained
    assert not whiten.bias.numpy().any()
    without = architectures.build(Architecture(name="whitened", widths=(4,)), IMAGES)
    np.testing.assert_array_equal(whiten.get_weights()[0], without.get_layer("whiten").get_weights()[0])


def test_random_weights_start_within_the_bound_that_is_asked_for():
    widest = {}
    for name in ("glorot", "fan-in"):
        network = architectures.build(Architecture(name="whitened", widths=(64, 256), initialization=name), IMAGES)
        last = next(layer for layer in network.layers if layer.name.startswith("dense"))
        first = next(layer for layer in network.layers if layer.name.startswith("conv2d"))
        widest[name] = (np.abs(first.get_weights()[0][..., 24:]).max(), np.abs(last.get_weights()[0]).max())

    assert widest["fan-in"] == pytest.approx((1 / np.sqrt(9 * 24), 1 / np.sqrt(256)), rel=0.02)
    assert widest["glorot"] == pytest.approx((np.sqrt(6 / (9 * (24 + 64))), np.sqrt(6 / (256 + 10))), rel=0.02)


@pytest.mark.parametrize("name", catalogue.names())
def test_networks_take_uint8_images_and_give_what_they_say(name: str):
    architecture = catalogue.find(name).architecture
    network = architectures.build(architecture, IMAGES)

    outputs = ops.convert_to_numpy(network(IMAGES[:3]))

    assert outputs.shape == (3, 10)
    sums_to_one = np.allclose(outputs.sum(axis=1), 1)
    assert sums_to_one is (architecture.output == "probabilities")


def test_blocks_give_their_inputs_on_at_first():
    """The first filters are the identity, so that a deep network starts as a shallow one."""
    network = architectures.build(Architecture(name="whitened", widths=(32,)), IMAGES)

    kernel = next(layer for layer in network.layers if layer.name.startswith("conv2d")).get_weights()[0]

    x = np.random.default_rng(1).normal(size=(1, 9, 9, 24)).astype(np.float32)
    given = ops.convert_to_numpy(ops.conv(x, kernel, padding="same"))
    np.testing.assert_allclose(given[..., :24], x, atol=1e-6)
    assert given[..., 24:].std() > 0.1


def test_computing_in_bfloat16_keeps_weights_and_logits_in_float32():
    network = architectures.build(Architecture(name="whitened", widths=(4,)), IMAGES, "mixed_bfloat16")

    assert {str(variable.dtype) for variable in network.variables} == {"float32"}
    assert keras.backend.standardize_dtype(network(IMAGES[:1]).dtype) == "float32"
    assert {layer.compute_dtype for layer in network.layers if layer.name.startswith("conv2d")} == {"bfloat16"}
    assert keras.config.dtype_policy().name == "float32"


def test_a_network_in_float32_has_the_same_weights_and_layers():
    network = architectures.build(Architecture(name="whitened", widths=(4,)), IMAGES, "mixed_bfloat16")

    copy = architectures.in_float32(network)

    assert {layer.compute_dtype for layer in copy.layers} == {"float32"}
    assert [layer.name for layer in copy.layers] == [layer.name for layer in network.layers]
    for ours, theirs in zip(copy.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # Within bfloat16's three digits.
    given, expected = (ops.convert_to_numpy(model(IMAGES[:20])) for model in (copy, network))
    np.testing.assert_allclose(given, expected, atol=0.02)


def test_whitened_patches_are_uncorrelated_with_variance_one():
    generator = np.random.default_rng(0)
    images = np.cumsum(generator.normal(size=(200, 12, 12, 3)), axis=2).astype(np.float32)  # neighbours are alike

    kernel = whitening_kernel(images, 2)

    assert kernel.shape == (2, 2, 3, 24)
    np.testing.assert_array_equal(kernel[..., :12], -kernel[..., 12:])
    patches = np.lib.stride_tricks.sliding_window_view(images, (2, 2), axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
    outputs = patches.reshape(-1, 12) @ kernel.reshape(12, 24)
    np.testing.assert_allclose(np.cov(outputs[:, :12], rowvar=False), np.eye(12), atol=0.01)


def test_grey_images_and_a_single_one_give_finite_logits():
    grey = np.full((1, 32, 32, 3), 128, np.uint8)

    network = architectures.build(Architecture(name="whitened", widths=(4,)), grey)

    assert np.isfinite(ops.convert_to_numpy(network(grey))).all()
