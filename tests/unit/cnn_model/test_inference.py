from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.special import softmax

from cnn_model import architectures
from cnn_model.failures import BadRequestError
from cnn_model.inference import assemble, load, network_of, predict
from cnn_model.recipe import Architecture

IMAGES = np.random.default_rng(0).integers(0, 256, size=(7, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    return architectures.build(Architecture(name="whitened", widths=(4, 8), whitening_stride=2), IMAGES)


def test_final_model_gives_the_softmax_of_logits_over_temperature(network: keras.Model, make_recipe):
    probabilities = predict(assemble(network, make_recipe(views="one"), temperature=1.7), IMAGES)

    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(probabilities, softmax(predict(network, IMAGES) / 1.7, axis=1), atol=1e-5)


def test_a_network_with_a_softmax_gets_its_temperature_on_the_logarithm(make_recipe):
    keras.utils.set_random_seed(0)
    architecture = Architecture(name="tutorial", widths=(4,), dense_units=8, output="probabilities")
    network = architectures.build(architecture, IMAGES)

    final = assemble(network, make_recipe(architecture=architecture, views="one"), temperature=2.0)

    np.testing.assert_allclose(predict(final, IMAGES), softmax(np.log(predict(network, IMAGES)) / 2, axis=1), atol=1e-5)


def test_mirrored_views_are_averaged_so_that_mirror_images_score_alike(network: keras.Model, make_recipe):
    both = predict(assemble(network, make_recipe(views="mirrored"), 1.0), IMAGES)
    mirrored = IMAGES[:, :, ::-1]

    np.testing.assert_allclose(
        both, predict(assemble(network, make_recipe(views="mirrored"), 1.0), mirrored), atol=1e-5
    )
    mean = (predict(network, IMAGES) + predict(network, mirrored)) / 2
    np.testing.assert_allclose(both, softmax(mean, axis=1), atol=1e-5)


def test_shifted_views_weigh_as_much_as_the_picture_itself(network: keras.Model, make_recipe):
    final = assemble(network, make_recipe(views="mirrored-and-shifted"), 1.0)

    padded = np.pad(IMAGES, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    views = [IMAGES, padded[:, :32, :32], padded[:, 2:, 2:]]
    logits = [(predict(network, view) + predict(network, view[:, :, ::-1])) / 2 for view in views]
    mean = logits[0] / 2 + (logits[1] + logits[2]) / 4
    np.testing.assert_allclose(predict(final, IMAGES), softmax(mean, axis=1), atol=1e-5)


def test_saved_model_loads_in_safe_mode_and_predicts_the_same(network: keras.Model, make_recipe, tmp_path: Path):
    final = assemble(network, make_recipe(views="mirrored-and-shifted"), temperature=2.0)
    final.save(tmp_path / "model.keras")

    loaded = load(tmp_path / "model.keras")

    np.testing.assert_array_equal(predict(loaded, IMAGES), predict(final, IMAGES))
    np.testing.assert_array_equal(predict(network_of(loaded), IMAGES), predict(network, IMAGES))
    assert getattr(loaded, "optimizer", None) is None


def test_batches_give_what_one_batch_gives(network: keras.Model):
    np.testing.assert_allclose(predict(network, IMAGES, 3), predict(network, IMAGES, 7), atol=1e-5)
    assert predict(network, IMAGES[:0]).shape == (0, 10)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path):
    (tmp_path / "broken.keras").write_bytes(b"no zip archive")
    (tmp_path / "model.h5").write_bytes(b"")

    with pytest.raises(BadRequestError, match=r"broken\.keras cannot be loaded"):
        load(tmp_path / "broken.keras")
    for name in ("model.h5", "missing.keras"):
        with pytest.raises(BadRequestError, match=r"is no \.keras file; expected"):
            load(tmp_path / name)


def test_a_model_with_code_inside_is_refused(tmp_path: Path):
    inputs = keras.Input((32, 32, 3), dtype="uint8")
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x, output_shape=(32, 32, 3))(inputs))
    model.save(tmp_path / "model.keras")

    with pytest.raises(BadRequestError, match="cannot be loaded"):
        load(tmp_path / "model.keras")
