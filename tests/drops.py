"""Makes drops as people leave them, and as ingest does."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cnn_model.class_names import CLASS_NAMES
from tasks.ingest import synthetic
from tasks.ingest.drop_place import MARKER
from tasks.ingest.records import encode
from tasks.store import Store
from tasks.values.drops import Drop
from tasks.values.validation import DropCheck, DropVerdict

Arrays = tuple[np.ndarray, np.ndarray]


def noise(num_images: int = 20, seed: int = 100) -> Arrays:
    """Images of noise with the ten classes in turn."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (num_images, 32, 32, 3), dtype=np.uint8)
    return images, (np.arange(num_images) % 10).astype(np.uint8)


def pictures(num_images: int, seed: int) -> Arrays:
    """Practice images that are darker than light and more red than blue, as photographs are in their own way."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(num_images) % 10).astype(np.uint8)
    images = synthetic.draw(labels, rng) * np.array([0.8, 0.6, 0.4])
    return images.astype(np.uint8), labels


def complete(folder: Path) -> Path:
    (folder / MARKER).touch()
    return folder


def drop_records(folder: Path, arrays: Arrays) -> Path:
    folder.mkdir(parents=True)
    (folder / "batch.bin").write_bytes(encode(*arrays))
    return complete(folder)


def drop_pictures(folder: Path, arrays: Arrays, class_names: Sequence[str] = CLASS_NAMES, suffix: str = ".png") -> Path:
    for number, (image, label) in enumerate(zip(*arrays, strict=True)):
        place = folder / class_names[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:04d}{suffix}")
    return complete(folder)


def drop_table(folder: Path, arrays: Arrays, class_names: Sequence[str] = CLASS_NAMES) -> Path:
    (folder / "images").mkdir(parents=True)
    rows = ["path,label"]
    for number, (image, label) in enumerate(zip(*arrays, strict=True)):
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
        rows.append(f"images/{number}.png,{class_names[label]}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return complete(folder)


def verdicts_on(drops: Sequence[Drop], bad: Sequence[str]) -> list[DropVerdict]:
    """As validate would give them, were those drops blank in part and the others good."""
    return [
        DropVerdict(
            digest=drop.digest,
            num_images=(2,) * 10,
            checks=(
                DropCheck(
                    name="blank images",
                    severity="critical",
                    passed=drop.name not in bad,
                    observed="2 of 20 images",
                    expected="contrast",
                    num_images=2,
                    files=("cat/1.png",),
                ),
            ),
        )
        for drop in drops
    ]


def publish_drop(target: Store, arrays: Arrays, name: str = "a", **more: Any) -> Drop:
    """A drop in the store, as ingest puts it there."""
    images, labels = arrays
    with target.staging() as folder:
        np.save(folder / "images.npy", images)
        np.save(folder / "labels.npy", labels)
        (folder / "names.json").write_text(json.dumps([f"{name}/{number}.png" for number in range(len(labels))]))
        artifact = target.publish(folder)
    return Drop(name=name, digest=artifact.digest, artifact=artifact, num_images=len(labels), **more)
