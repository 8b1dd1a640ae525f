"""The commands `verify` and `predict`: what a person, or with `--json` a program, is told of a bundle.

Their exit codes: 0 for all well; 1 for a bundle that is not what it says, or an image that cannot be read; 2 for a
command line that cannot be right.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cnn_model.bundle import Bundle, opened
from cnn_model.prediction import Prediction, find_images, predictions

if TYPE_CHECKING:
    from cnn_model.devices import Wanted
    from cnn_model.verification import VerifiedModel

MAX_NAME = 48
"""Characters of a path in the table; of a longer one the end is shown."""


def verify(place: Path, digest: str | None, wanted: "Wanted", *, as_json: bool) -> int:
    """Check the files of a bundle, load its model and compare its golden probabilities.

    Args:
        place: The bundle, a folder or a `.tar.gz`.
        digest: What its digest must be; None where that is not known from elsewhere.
        wanted: The device that the model computes on.
        as_json: Whether the answer is one JSON object.

    Returns:
        The exit code.

    Raises:
        BundleError: if the bundle is not what its manifest says, or the model not one of built-in layers.
        MismatchError: if the model gives something else on this host.
        UsageError: if there is no bundle.
    """
    with opened(place, digest) as bundle:
        verified, device = _load(bundle, wanted)
        import keras

        manifest = bundle.manifest
        size = sum(entry.size_bytes for entry in manifest.files.values())
        told = {
            "model_name": manifest.model_name,
            "model_version": manifest.model_version,
            "digest": bundle.digest,
            "practice": manifest.practice,
            "num_files": len(manifest.files),
            "size_bytes": size,
            "num_golden_images": verified.num_golden_images,
            "largest_difference": verified.largest_difference,
            "tolerance": manifest.tolerance,
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "device": device,
        }
    if as_json:
        sys.stdout.write(json.dumps({"verified": True, **told}, indent=2) + "\n")
        return 0
    lines = [
        f"Bundle   {manifest.title}{', trained on practice images' if manifest.practice else ''}",
        f"Digest   {told['digest']}",
        f"Files    {told['num_files']}, {size / 1e6:.1f} MB, each with the SHA-256 that the manifest says",
        f"Model    built-in layers alone, loaded in safe mode by Keras {told['keras']} on {told['backend']}, "
        f"{told['device']}",
        f"Golden   {verified.num_golden_images} images, largest difference {verified.largest_difference:.1g}, "
        f"tolerance {manifest.tolerance:g}",
        "Verified",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def predict(place: Path, images: Sequence[Path], digest: str | None, wanted: "Wanted", *, as_json: bool) -> int:
    """Predict image files with a bundle that is verified first.

    Args:
        place: The bundle, a folder or a `.tar.gz`.
        images: PNG or JPEG files, or folders of them.
        digest: What the bundle's digest must be; None where that is not known from elsewhere.
        wanted: The device that the model computes on.
        as_json: Whether the answer is one JSON object.

    Returns:
        The exit code: 1 if a file cannot be read as an image.

    Raises:
        BundleError: if the bundle is not what its manifest says, or the model not one of built-in layers.
        MismatchError: if the model gives something else on this host.
        UsageError: if there is no bundle, or no image.
    """
    files = find_images(images)
    with opened(place, digest) as bundle:
        verified, _ = _load(bundle, wanted)
        made = predictions(files, bundle, verified)
        if as_json:
            found = list(made)
            model = {"model_name": bundle.manifest.model_name, "model_version": bundle.manifest.model_version}
            told = [_as_json(prediction) for prediction in found]
            sys.stdout.write(json.dumps({**model, "digest": bundle.digest, "images": told}, indent=2) + "\n")
            return int(any(prediction.problem for prediction in found))
        return _show(made, files)


def _load(bundle: Bundle, wanted: "Wanted") -> "tuple[VerifiedModel, str]":
    """The model and what its device is called. Keras is imported here, and not before each byte was hashed."""
    with _quiet_start():
        from cnn_model.devices import select
        from cnn_model.verification import load_verified

        device = select(wanted)
    return load_verified(bundle), device.name


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Keep what frameworks write to standard error while they are imported, unless that fails.

    TensorFlow tells of its processor and of CUDA's absence there, whatever its log level.
    """
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(before, kept.read())
            raise
        finally:
            os.dup2(before, 2)
            os.close(before)


def _show(made: Iterator[Prediction], files: Sequence[Path]) -> int:
    """Write the table line by line, problems among them; the exit code."""
    width = max(len("image"), *(len(_name(str(file))) for file in files))
    sys.stdout.write(f"{'image':<{width}}  {'class':<10}  probability  {'next':<18}  note\n")
    num_problems = 0
    for prediction in made:
        name = _name(prediction.path)
        if prediction.problem:
            num_problems += 1
            sys.stdout.write(f"{name:<{width}}  no image: {prediction.problem}\n")
            continue
        (first, share), (second, next_share), *_ = prediction.probabilities.items()
        runner_up = f"{second} {100 * next_share:.1f} %"
        note = "" if prediction.resized_from is None else "resized from {} x {}".format(*prediction.resized_from)
        line = f"{name:<{width}}  {first:<10}  {100 * share:9.1f} %  {runner_up:<18}  {note}"
        sys.stdout.write(line.rstrip() + "\n")
    if num_problems:
        sys.stderr.write(f"{num_problems} of {len(files)} files cannot be read as an image\n")
    return int(num_problems > 0)


def _name(path: str) -> str:
    """A path for the terminal: of a long one the end, and nothing that a terminal would obey."""
    shown = "".join(character if character.isprintable() else "?" for character in path)
    return shown if len(shown) <= MAX_NAME else "…" + shown[1 - MAX_NAME :]


def _as_json(prediction: Prediction) -> dict[str, object]:
    best = next(iter(prediction.probabilities), None)
    return {
        "path": prediction.path,
        "class": best,
        "probability": prediction.probabilities[best] if best is not None else None,
        "probabilities": prediction.probabilities or None,
        "resized_from": prediction.resized_from,
        "problem": prediction.problem or None,
    }
