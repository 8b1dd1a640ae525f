"""Which models a bundle may hold, and what they must give on this host."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from cnn_model import bundle
from cnn_model.failures import BundleError, MismatchError
from cnn_model.manifest import MODEL
from cnn_model.verification import load_verified
from tests.bundles import IMAGES, describe, make_bundle, tiny_model


@keras.saving.register_keras_serializable("tests")
class Doubling(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """A layer of one's own, which this process could load."""

    def call(self, inputs):
        return 2 * inputs


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("tiny") / "bundle", tiny_model())


@pytest.fixture
def changed(sealed: Path, tmp_path: Path) -> Callable[..., Path]:
    """The bundle, changed and sealed again: what somebody could send who wants it to look right."""

    def change(edit: Callable[[Path], object], **description: object) -> Path:
        folder = Path(shutil.copytree(sealed, tmp_path / "changed"))
        (folder / "manifest.json").unlink()
        edit(folder)
        bundle.seal(folder, describe(**description))
        return folder

    return change


def verify(folder: Path) -> float:
    with bundle.opened(folder) as opened:
        return load_verified(opened).largest_difference


def with_layer(layer: keras.layers.Layer) -> Callable[[Path], object]:
    """Write a model with the layer in place of the bundle's."""
    inputs = keras.Input((32, 32, 3), dtype="uint8", name="images")
    features = keras.layers.GlobalAveragePooling2D()(layer(keras.layers.Rescaling(1 / 255)(inputs)))
    outputs = keras.layers.Dense(10, activation="softmax")(features)
    return lambda folder: keras.Model(inputs, outputs).save(folder / MODEL)


def test_a_round_trip_gives_the_golden_probabilities(sealed: Path) -> None:
    assert verify(sealed) <= 1e-6


def test_from_an_archive_as_well(sealed: Path, tmp_path: Path) -> None:
    bundle.pack(sealed, tmp_path / "bundle.tar.gz")
    assert verify(tmp_path / "bundle.tar.gz") <= 1e-6


def test_a_model_with_code_inside_is_refused(changed: Callable[..., Path]) -> None:
    layer = keras.layers.Lambda(lambda x: x, output_shape=(32, 32, 3))
    with pytest.raises(BundleError, match=r"needs Lambda of keras\.layers; expected Keras's own layers alone"):
        verify(changed(with_layer(layer)))


def test_a_class_of_ones_own_is_refused_also_where_the_process_has_it(changed: Callable[..., Path]) -> None:
    with pytest.raises(BundleError, match="needs Doubling of"):
        verify(changed(with_layer(Doubling())))


def _hdf5(folder: Path) -> None:
    with h5py.File(folder / MODEL, "w") as file:
        file.attrs["model_config"] = "{}"


@pytest.mark.parametrize(
    "edit", [_hdf5, lambda folder: (folder / MODEL).write_bytes(b"\x80\x04N.")], ids=["hdf5", "pickle"]
)
def test_another_format_under_the_models_name_is_refused(
    changed: Callable[..., Path], edit: Callable[[Path], object]
) -> None:
    with pytest.raises(BundleError, match=r"model\.keras is no Keras archive"):
        verify(changed(edit))


def test_a_configuration_that_unpacks_to_any_size_is_not_read(changed: Callable[..., Path]) -> None:
    def edit(folder: Path) -> None:
        with zipfile.ZipFile(folder / MODEL, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("config.json", "{" + " " * 2**24 + "}")

    with pytest.raises(BundleError, match=r"config\.json has more than 16,777,216 bytes"):
        verify(changed(edit))


def test_other_golden_probabilities_are_a_mismatch(changed: Callable[..., Path]) -> None:
    def edit(folder: Path) -> None:
        file = folder / "golden" / "probabilities.npy"
        np.save(file, np.roll(np.load(file), 1, axis=1))

    with pytest.raises(MismatchError, match=r"practice-cnn version 3 gives probabilities .* its 32 golden images"):
        verify(changed(edit))


def test_another_models_weights_are_a_mismatch(changed: Callable[..., Path]) -> None:
    def edit(folder: Path) -> None:
        other = tiny_model()
        other.set_weights([1.5 * weights for weights in other.get_weights()])
        other.save(folder / MODEL)

    with pytest.raises(MismatchError, match="Do not serve it here"):
        verify(changed(edit))


def test_without_golden_images_nothing_is_verified(changed: Callable[..., Path]) -> None:
    def edit(folder: Path) -> None:
        for name in ("images", "probabilities"):
            file = folder / "golden" / f"{name}.npy"
            np.save(file, np.load(file)[:0])

    with pytest.raises(MismatchError, match="its 0 golden images"):
        verify(changed(edit))


def test_golden_arrays_are_never_unpickled(changed: Callable[..., Path]) -> None:
    def edit(folder: Path) -> None:
        np.save(folder / "golden" / "probabilities.npy", np.array([{}], object), allow_pickle=True)

    with pytest.raises(BundleError, match=r"golden/probabilities\.npy"):
        verify(changed(edit))


def test_a_model_of_another_signature_is_refused(changed: Callable[..., Path]) -> None:
    def edit(folder: Path) -> None:
        inputs = keras.Input((32, 32, 3), dtype="float32", name="images")
        outputs = keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(inputs))
        keras.Model(inputs, outputs).save(folder / MODEL)

    with pytest.raises(BundleError, match=r"takes and gives \('float32'.*its manifest says \('uint8'"):
        verify(changed(edit))


def test_the_tolerance_is_the_manifests(changed: Callable[..., Path]) -> None:
    def edit(folder: Path) -> None:
        file = folder / "golden" / "probabilities.npy"
        np.save(file, np.load(file) + np.float32(0.01))

    folder = changed(edit, tolerance=0.02)
    assert verify(folder) == pytest.approx(0.01, abs=1e-5)
    assert len(IMAGES) == 32
