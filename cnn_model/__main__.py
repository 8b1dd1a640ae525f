"""The command `python -m cnn_model VERB`: reads the command line, loads what the verb needs, hands over."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cnn_model import events
from cnn_model.class_names import CLASS_NAMES
from cnn_model.failures import BadRequestError, UsageError, kind_of
from cnn_model.recipe import Recipe
from cnn_model.recipes import catalogue

Emit = Callable[[events.Event], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        The exit code: 0 if it did its job, 1 with an error event if not, 2 where it was asked wrongly.
    """
    # Before a framework is loaded; whoever set it may have had a reason.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options = _parser().parse_args(arguments)
    emit = events.write_json if options.events else events.write_text
    if options.events:
        events.end_with_parent()
    try:
        return options.verb(options, emit) or 0
    except Exception as error:
        kind = kind_of(error)
        if kind is None:
            # A mistake in this program: the place in standard error, the cause in a line for who started it.
            traceback.print_exc()
            text = " ".join(str(error).split())
            emit({"event": "error", "kind": "unexpected", "message": f"{type(error).__name__}: {text}"})
            return 1
        emit({"event": "error", "kind": kind, "message": str(error) or type(error).__name__})
        return 2 if isinstance(error, UsageError) else 1


def _train(options: argparse.Namespace, emit: Emit) -> None:
    recipe = _recipe(options.recipe, options.epochs)
    from cnn_model import training

    options.output.mkdir(parents=True, exist_ok=True)
    result = training.run(
        options.splits,
        options.output,
        recipe,
        options.seed,
        options.device,
        emit,
        checkpoints_folder=options.checkpoints,
        start_file=options.start,
        num_devices=options.num_devices,
    )
    emit({"event": "result", **result.model_dump(mode="json")})


def _evaluate(options: argparse.Namespace, emit: Emit) -> None:
    from cnn_model import evaluation

    options.output.mkdir(parents=True, exist_ok=True)
    result = evaluation.run(
        options.model,
        options.images,
        options.labels,
        options.output,
        options.batch_size,
        options.device,
        options.class_names,
        dict(options.also),
    )
    emit({"event": "result", **result.model_dump(mode="json")})


def _score(options: argparse.Namespace, emit: Emit) -> None:
    from cnn_model import scoring

    options.output.mkdir(parents=True, exist_ok=True)
    names = scoring.Request.__dataclass_fields__.keys() - {"model_file"}
    request = scoring.Request(model_file=options.model, **{name: getattr(options, name) for name in names})
    result = scoring.run(request, options.device, emit)
    emit({"event": "result", **result.model_dump(mode="json")})


def _export(options: argparse.Namespace, emit: Emit) -> None:
    from cnn_model import exports

    options.output.mkdir(parents=True, exist_ok=True)
    emit({"event": "result", **exports.run(options.model, options.golden, options.output).model_dump(mode="json")})


def _verify(options: argparse.Namespace, emit: Emit) -> int:
    from cnn_model import bundle_commands

    return bundle_commands.verify(options.bundle, options.digest, options.device, as_json=options.json)


def _predict(options: argparse.Namespace, emit: Emit) -> int:
    from cnn_model import bundle_commands

    return bundle_commands.predict(options.bundle, options.images, options.digest, options.device, as_json=options.json)


def _robustness(options: argparse.Namespace, emit: Emit) -> None:
    from cnn_model import robustness

    options.output.mkdir(parents=True, exist_ok=True)
    result = robustness.run(
        options.model,
        options.images,
        options.labels,
        options.output,
        options.num_images,
        options.batch_size,
        options.device,
    )
    emit({"event": "result", **result.model_dump(mode="json")})


def _devices(options: argparse.Namespace, emit: Emit) -> None:
    from cnn_model import devices

    device = devices.select(options.device, options.num_devices)
    emit({"event": "result", "kind": device.kind, "device": device.name})


def _recipes(options: argparse.Namespace, emit: Emit) -> None:
    import numpy as np

    from cnn_model import architectures

    grey = np.zeros((1, 32, 32, 3), np.uint8)
    for name in catalogue.names():
        recipe = catalogue.find(name)
        network = architectures.build(recipe.architecture, grey)
        size = f"{network.count_params():9,} parameters, {architectures.flops(network) / 1e6:6.1f} MFLOP an image"
        epochs = f"{recipe.epochs:2} {'epoch: ' if recipe.epochs == 1 else 'epochs:'}"
        sys.stdout.write(f"{name:19} {size}, {epochs} {catalogue.claim(name)}\n")


def _recipe(name_or_file: str, epochs: int | None) -> Recipe:
    """The recipe of a JSON file, or of the catalogue, with another number of epochs if asked for.

    Raises:
        BadRequestError: if there is no such recipe, or its values cannot be right.
    """
    try:
        if name_or_file.endswith(".json"):
            recipe = Recipe.model_validate_json(Path(name_or_file).read_bytes())
        else:
            recipe = catalogue.find(name_or_file)
        return recipe if epochs is None else Recipe.model_validate({**recipe.model_dump(), "epochs": epochs})
    except (ValidationError, OSError) as error:
        raise BadRequestError(
            f"the recipe {name_or_file!r} cannot be used ({error}); expected a name of `python -m cnn_model recipes` "
            "or a JSON file with a recipe's values"
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cnn_model", description="Trains and scores the image classifier.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    train = _verb(verbs, "train", _train, "train a recipe on splits")
    train.add_argument("--splits", type=Path, required=True, help="folder with the .npy files of the splits")
    train.add_argument("--output", type=Path, required=True, help="folder for model.keras and training.json")
    train.add_argument("--recipe", default="fast", help="name of a recipe, or a JSON file with its values")
    train.add_argument("--seed", type=_seed, default=1, help="of weights, order and augmentation")
    train.add_argument("--epochs", type=int, help="passes over the images; left out, the recipe's own")
    train.add_argument(
        "--checkpoints", type=Path, help="folder that keeps the state after each epoch, and is gone on from"
    )
    train.add_argument(
        "--start", type=Path, help="model.keras whose weights are the start; left out, fresh ones of the seed"
    )
    evaluate = _verb(verbs, "evaluate", _evaluate, "score a model on images")
    evaluate.add_argument(
        "--also", type=_named, action="append", default=[], help="NAME=FILE, for NAME_probabilities.npy; repeatable"
    )
    evaluate.add_argument("--class-names", type=_names, default=CLASS_NAMES, help="ten names, with commas between")
    score = _verb(verbs, "score", _score, "score any number of images into Parquet files")
    score.add_argument("--model", type=Path, required=True, help="model.keras as train wrote it")
    score.add_argument("--images", type=Path, required=True, help="folder, archive or Parquet of PNG or JPEG images")
    score.add_argument("--output", type=Path, required=True, help="folder for part-NNNNN.parquet")
    score.add_argument("--images-per-part", type=_positive, default=5_000, help="rows of each part but the last")
    score.add_argument("--batch-size", type=_positive, default=500, help="images scored at once")
    score.add_argument("--class-names", type=_names, default=CLASS_NAMES, help="ten names, with commas between")
    score.add_argument("--num-done-parts", type=int, default=0, help="parts of these images that are there and stay")
    score.add_argument("--model-sha256", help="what the model must have; left out, any")
    score.add_argument("--model-version", type=int, default=0, help="stands in each row")
    score.add_argument("--key", default="", help="stands in each part's metadata: which scoring it belongs to")
    score.add_argument("--sample", type=Path, help="folder that exists, for images kept for comparisons")
    score.add_argument("--sample-size", type=int, default=0, help="how many of them")
    export = _verb(verbs, "export", _export, "write a model as SavedModel and ONNX, each checked")
    export.add_argument("--model", type=Path, required=True, help="model.keras as train wrote it")
    export.add_argument(
        "--golden", type=Path, required=True, help=".npy of the uint8 images that exports are checked on"
    )
    export.add_argument("--output", type=Path, required=True, help="folder for saved_model, model.onnx, probabilities")
    verify = _bundle_verb(verbs, "verify", _verify, "see that a bundle is whole and its model works on this host")
    predict = _bundle_verb(verbs, "predict", _predict, "predict image files with a bundle")
    predict.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="PNG or JPEG file, or a folder of them")
    for verb in (verify, predict):
        verb.add_argument("--digest", help="what the bundle's digest must be, from whoever made it")
        verb.add_argument("--json", action="store_true", help="one JSON object instead of lines")
        # Where golden probabilities were computed; a GPU may multiply in fewer digits.
        verb.add_argument("--device", choices=("auto", "cpu", "gpu"), default="cpu", help="where to compute")
    robustness = _verb(
        verbs, "robustness", _robustness, "score a model's network on corrupted images, one view of each"
    )
    robustness.add_argument("--num-images", type=_positive, default=2000, help="size of the class-balanced sample")
    for verb, files in (
        (evaluate, "probabilities and evaluation.json"),
        (robustness, "correct.npy and figures"),
    ):
        verb.add_argument("--model", type=Path, required=True, help="model.keras as train wrote it")
        verb.add_argument("--images", type=Path, required=True, help=".npy of uint8 images")
        verb.add_argument("--labels", type=Path, required=True, help=".npy of their labels")
        verb.add_argument("--output", type=Path, required=True, help=f"folder for {files}")
        verb.add_argument("--batch-size", type=_positive, default=500, help="images scored at once")
    devices = _verb(verbs, "devices", _devices, "say which device would be used")
    for verb in (train, evaluate, robustness, score, devices):
        verb.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute")
    for verb in (train, devices):
        verb.add_argument("--num-devices", type=_positive, default=1, help="devices that share a batch; 1 but with JAX")
    _verb(verbs, "recipes", _recipes, "list the recipes")
    return parser


def _verb(verbs: Any, name: str, function: Callable[[argparse.Namespace, Emit], None], text: str) -> Any:
    verb = verbs.add_parser(name, help=text, description=text)
    verb.add_argument("--events", action="store_true", help="write JSON lines; end when standard input closes")
    verb.set_defaults(verb=function)
    return verb


def _bundle_verb(verbs: Any, name: str, function: Callable[[argparse.Namespace, Emit], int], text: str) -> Any:
    verb = verbs.add_parser(name, help=text, description=text)
    verb.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of the bundle, or its .tar.gz")
    verb.set_defaults(verb=function, events=False)
    return verb


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1; expected 1 or more")
    return number


def _named(text: str) -> tuple[str, Path]:
    name, _, file = text.partition("=")
    if not name or not file:
        raise argparse.ArgumentTypeError(f"{text!r} came; expected NAME=FILE")
    return name, Path(file)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if len(names) != len(CLASS_NAMES):
        raise argparse.ArgumentTypeError(f"{len(names)} names came; expected {len(CLASS_NAMES)}")
    return names


def _seed(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"{number} is no seed; expected 0 to {2**32 - 1}")
    return number


if __name__ == "__main__":
    sys.exit(main())
