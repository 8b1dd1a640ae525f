import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from cnn_model import architectures, corruptions, robustness
from cnn_model.failures import BadDataError, BadRequestError
from cnn_model.inference import assemble, predict
from cnn_model.recipe import Architecture
from cnn_model.results import RobustnessResult
from tests.unit.cnn_model.conftest import tinted

ROOT = Path(__file__).parents[3]

FILES = {"model": "model.keras", "images": "images.npy", "labels": "labels.npy"}

WHITENED = Architecture(name="whitened", widths=(4, 8), whitening_stride=2)
SOFTMAX = Architecture(name="tutorial", widths=(4,), dense_units=8, output="probabilities")


def write(folder: Path, architecture: Architecture, make_recipe) -> keras.Model:
    """Images, labels and a final model in `folder`; the network."""
    split = tinted(60, seed=4)
    np.save(folder / "images.npy", split.images)
    np.save(folder / "labels.npy", split.labels)
    keras.utils.set_random_seed(0)
    network = architectures.build(architecture, split.images)
    recipe = make_recipe(architecture=architecture, views="mirrored-and-shifted")
    assemble(network, recipe, temperature=2.0).save(folder / "model.keras")
    return network


def run(folder: Path, num_images: int) -> RobustnessResult:
    (folder / "output").mkdir(exist_ok=True)
    model, images, labels = (folder / name for name in FILES.values())
    return robustness.run(model, images, labels, folder / "output", num_images, batch_size=7, wanted="cpu")


@pytest.mark.parametrize("architecture", [WHITENED, SOFTMAX], ids=["logits", "softmax"])
def test_the_network_is_asked_with_one_view_of_each_image(architecture: Architecture, make_recipe, tmp_path: Path):
    network = write(tmp_path, architecture, make_recipe)
    result = run(tmp_path, 20)

    positions, correct = (np.load(tmp_path / "output" / f"{name}.npy") for name in ("positions", "correct"))
    assert (positions.dtype, positions.shape, correct.dtype, correct.shape) == (np.int64, (20,), np.bool_, (10, 3, 20))
    images, labels = np.load(tmp_path / "images.npy")[positions], np.load(tmp_path / "labels.npy")[positions]
    for row, name in zip(correct, corruptions.NAMES, strict=True):
        for given, severity in zip(row, corruptions.SEVERITIES, strict=True):
            shown = corruptions.corrupt(images, name, severity, robustness.SEED)
            np.testing.assert_array_equal(given, predict(network, shown).argmax(axis=1) == labels)
    assert result.clean_accuracy == (predict(network, images).argmax(axis=1) == labels).mean()
    written = (tmp_path / "output" / "robustness.json").read_text()
    assert RobustnessResult.model_validate_json(written) == result


def test_both_backends_recognise_the_same(make_recipe, tmp_path: Path):
    write(tmp_path, WHITENED, make_recipe)
    given = {}
    for backend in ("tensorflow", "jax"):
        files = [f"--{name}={tmp_path / file}" for name, file in FILES.items()]
        command = [sys.executable, "-m", "cnn_model", "robustness", *files, f"--output={tmp_path / backend}"]
        done = subprocess.run(
            [*command, "--num-images=40", "--device=cpu"],
            cwd=ROOT,
            env={**os.environ, "KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "num_images: 40" in done.stdout
        given[backend] = np.load(tmp_path / backend / "correct.npy")
    # Sums are rounded differently, and of two classes that are nearly as likely either may win.
    assert (given["tensorflow"] == given["jax"]).mean() > 0.995


def test_the_sample_has_as_many_of_each_class_and_is_the_same_each_time():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 50)).astype(np.uint8)
    chosen = robustness.sample(labels, 105, seed=1)
    assert (np.diff(chosen) > 0).all()
    assert sorted(np.bincount(labels[chosen])) == [10] * 5 + [11] * 5
    np.testing.assert_array_equal(chosen, robustness.sample(labels, 105, seed=1))
    assert not np.array_equal(chosen, robustness.sample(labels, 105, seed=2))


def test_a_class_with_few_images_gives_them_all_and_too_few_images_are_all_taken():
    labels = np.repeat(np.arange(3), [2, 40, 40]).astype(np.uint8)
    assert np.bincount(labels[robustness.sample(labels, 22, seed=1)]).tolist() == [2, 10, 10]
    np.testing.assert_array_equal(robustness.sample(labels, 2000, seed=1), np.arange(82))


def test_figures_are_means_over_corruptions_and_images():
    """By hand: half of the images always recognised, the others under the first corruption alone."""
    correct = np.zeros((10, 3, 8), np.bool_)
    correct[:, :, :4] = True
    correct[0] = True
    found = robustness.figures(np.array([True] * 6 + [False] * 2), correct)
    assert found.clean_accuracy == 0.75
    assert [(score.corruption, score.severity) for score in found.scores[:4]] == [
        ("Gaussian noise", 1),
        ("Gaussian noise", 2),
        ("Gaussian noise", 3),
        ("Impulse noise", 1),
    ]
    assert [score.accuracy for score in found.scores] == [1.0] * 3 + [0.5] * 27
    assert found.mean_accuracy.value == pytest.approx((4 + 4 * 0.1) / 8)
    # Eight images, deviation 0.45: the normal interval is the mean plus and minus 0.31.
    assert found.mean_accuracy.high - found.mean_accuracy.low == pytest.approx(2 * 1.96 * 0.45 / 8**0.5, rel=0.1)


def test_what_cannot_be_scored_is_refused(make_recipe, tmp_path: Path):
    write(tmp_path, WHITENED, make_recipe)
    inputs = keras.Input((32, 32, 3), dtype="uint8")
    keras.Model(inputs, keras.layers.Flatten()(inputs)).save(tmp_path / "model.keras")
    with pytest.raises(BadRequestError, match="expected one that is called 'network'"):
        run(tmp_path, 20)
    np.save(tmp_path / "images.npy", np.zeros((0, 32, 32, 3), np.uint8))
    np.save(tmp_path / "labels.npy", np.zeros(0, np.uint8))
    with pytest.raises(BadDataError, match="has no image"):
        run(tmp_path, 20)
