"""Images as people leave them for scoring, and a small champion."""

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tasks.ledger import Ledger, LedgerEntry
from tasks.store import Reference, Store

MODEL = "practice-cnn"


def noise(num_images: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num_images, 32, 32, 3), dtype=np.uint8)


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def pngs(images: np.ndarray) -> dict[str, bytes]:
    """In two folders; the names are in the order of the images."""
    return {f"{'ab'[number % 2]}/{number:04d}.png": png(image) for number, image in enumerate(images)}


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def write_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_parquet(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)
    return path


def publish_model(opened: Store, model_file: Path) -> Reference:
    with opened.staging() as folder:
        (folder / "model.keras").write_bytes(model_file.read_bytes())
        return opened.publish(folder)


def promote(opened: Store, model_file: Path, version: int = 1, **changes: Any) -> LedgerEntry:
    """Make a file the champion, as the next promotion."""
    ledger = Ledger(opened.folder("ledger", MODEL))
    champion = ledger.champion()
    entry = LedgerEntry(
        promoted_at=datetime(2026, 1, 1, tzinfo=UTC),
        run_id="run",
        model_name=MODEL,
        replaces_version=champion.version if champion else None,
        version=version,
        model_digest=publish_model(opened, model_file).digest,
        model_sha256=hashlib.sha256(model_file.read_bytes()).hexdigest(),
        accuracy=0.8,
        test_digest="c" * 64,
        actor="a test",
        reason="because",
    )
    return ledger.promote(entry.model_copy(update=changes))


def save_model(path: Path, seed: int) -> Path:
    """A small network that nobody trained, as a final model."""
    import keras

    from cnn_model import architectures, inference
    from cnn_model.recipe import Recipe
    from tests.unit.train.tiny import make_recipe

    recipe: Recipe = make_recipe(1)
    keras.utils.set_random_seed(seed)
    inference.assemble(architectures.build(recipe.architecture, noise(10)), recipe, 0.2).save(path)
    return path


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """All rows of all parts, in their order."""
    return [row for part in sorted(folder.glob("part-*.parquet")) for row in pq.read_table(part).to_pylist()]
