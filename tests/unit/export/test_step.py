"""The cached export, on a model that works."""

from pathlib import Path

import numpy as np

from tasks import machine, store
from tasks.export.step import export
from tasks.machine import Machine
from tests.bundles import IMAGES, tiny_model


def test_an_export_runs_on_tensorflow_also_where_jax_trains(tmp_path: Path) -> None:
    with machine.use(Machine(store=tmp_path / "store", backend="jax")):
        opened = store.current()
        with opened.staging() as folder:
            tiny_model().save(folder / "model.keras")
            model = opened.publish(folder)
        with opened.staging() as folder:
            np.save(folder / "images.npy", IMAGES)
            golden = opened.publish(folder)
        exported = export.fn(model, golden)
        artifact = opened.fetch(exported.artifact)
        assert np.load(artifact / "probabilities.npy").shape == (32, 10)
        assert (artifact / "model.onnx").is_file()
        assert (artifact / "saved_model" / "saved_model.pb").is_file()
        assert exported.golden == golden
        assert exported.result.versions["tensorflow"].startswith("2.")
