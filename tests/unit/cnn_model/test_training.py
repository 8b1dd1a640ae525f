import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from cnn_model import architectures, backends, training
from cnn_model.calibration import negative_log_likelihood
from cnn_model.data import Split, Splits
from cnn_model.devices import Device
from cnn_model.epochs import Event
from cnn_model.failures import BadRequestError, DivergedError
from cnn_model.inference import assemble, load, network_of, predict
from cnn_model.optimizers import LOOKAHEAD_BASE
from cnn_model.recipe import Architecture, Recipe
from cnn_model.results import TrainingResult

CPU = Device("cpu", "CPU", has_bfloat16=False)
TUTORIAL = Architecture(name="tutorial", widths=(4,), dense_units=32)
ADAM = {"optimizer": "adam", "learning_rate": 1e-2}
EVERY_LAYER = TUTORIAL.model_copy(update={"dropout": 0.2, "l2": 1e-3, "batch_normalization": True})


def _train(splits: Splits, recipe: Recipe, seed: int = 1, device: Device = CPU) -> training.Trained:
    return training.train(splits, recipe, seed, device)


def _first(split: Split, num_images: int) -> Split:
    return Split(split.images[:num_images], split.labels[:num_images])


def test_a_run_writes_the_model_and_its_figures_and_tells_of_each_epoch(splits_folder, make_recipe, tmp_path: Path):
    events: list[Event] = []

    result = training.run(splits_folder, tmp_path, make_recipe(), 1, "cpu", events.append)

    assert TrainingResult.model_validate_json((tmp_path / "training.json").read_bytes()) == result
    epochs = [event for event in events if event["event"] == "epoch"]
    assert [(event["epoch"], event["epochs"]) for event in epochs] == [(1, 2), (2, 2)]
    assert result.history[1].train.loss < result.history[0].train.loss
    assert result.history[1].learning_rate < result.history[0].learning_rate
    assert (result.best_epoch, result.num_train_images, result.device) == (2, 200, "CPU")
    assert (result.backend, result.resumed_after_epoch) == (keras.backend.backend(), None)
    assert result.peak_memory_bytes > 2**27
    assert load(tmp_path / "model.keras").count_params() == result.num_parameters


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": 0.3, "architecture": Architecture(name="whitened", widths=(8, 16), whitening_stride=2)},
        {"learning_rate": 0.01, "architecture": TUTORIAL, "optimizer": "adam", "schedule": "constant"},
    ],
)
def test_32_images_can_be_overfitted(splits: Splits, make_recipe, changes: dict[str, object]):
    few = _first(splits.train, 32)
    recipe = make_recipe(**changes, batch_size=32, epochs=60, label_smoothing=0, flip="none", shift_pixels=0)

    trained = _train(Splits(few, _first(few, 0), _first(few, 0)), recipe)

    assert np.array_equal(predict(trained.model, few.images).argmax(axis=1), few.labels)
    assert trained.temperature == 1.0


def test_one_epoch_lowers_the_loss(splits: Splits, make_recipe):
    recipe = make_recipe(epochs=1)
    keras.utils.set_random_seed(1)
    untrained = assemble(architectures.build(recipe.architecture, splits.train.images), recipe, 1.0)

    trained = _train(splits, recipe)

    before, after = (
        negative_log_likelihood(np.log(predict(model, splits.validation.images)), splits.validation.labels)
        for model in (untrained, trained.model)
    )
    assert after < before


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": TUTORIAL, **ADAM, "schedule": "constant"},
        {"architecture": TUTORIAL.model_copy(update={"output": "probabilities"}), **ADAM, "views": "one"},
        {"architecture": EVERY_LAYER, **ADAM},
        {"lookahead_steps": 3, "bias_rate": 8, "flip": "alternating", "views": "mirrored-and-shifted"},
    ],
)
def test_every_kind_of_recipe_learns(splits: Splits, make_recipe, changes: dict[str, object]):
    trained = _train(splits, make_recipe(epochs=8, **changes))

    first, last = trained.history[0], trained.history[-1]
    assert last.train.loss < first.train.loss
    scored = predict(trained.model, splits.validation.images)
    np.testing.assert_allclose(scored.sum(axis=1), 1, atol=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(splits: Splits, make_recipe):
    first, again, other = (_train(splits, make_recipe(epochs=1), seed).model.get_weights() for seed in (1, 1, 2))

    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


FUSED = """
import sys
from pathlib import Path
import numpy as np
from cnn_model import training
from cnn_model.data import load_splits
from cnn_model.devices import Device
from cnn_model.recipe import Recipe
recipe = Recipe.model_validate_json(sys.argv[2])
for kind in ("cpu", "gpu"):
    trained = training.train(load_splits(Path(sys.argv[1])), recipe, 1, Device(kind, "CPU", has_bfloat16=False))
    np.savez(Path(sys.argv[3]) / kind, *trained.model.get_weights())
"""


def test_an_epoch_as_one_compiled_call_gives_the_same(splits_folder: Path, make_recipe, tmp_path: Path):
    """What a GPU runs, on the CPU; in a process that has not asked for determinism, which XLA does not have here."""
    recipe = make_recipe(lookahead_steps=4, bias_rate=4)

    subprocess.run(
        [sys.executable, "-c", FUSED, str(splits_folder), recipe.model_dump_json(), str(tmp_path)], check=True
    )

    stepwise, fused = (np.load(tmp_path / f"{kind}.npz") for kind in ("cpu", "gpu"))
    for name in stepwise:
        np.testing.assert_allclose(stepwise[name], fused[name], atol=2e-3)


def test_looking_ahead_gives_the_slow_average(splits: Splits, make_recipe):
    """With a meeting at the last step alone, the model is the start, drawn to the weights of plain training."""
    recipe = make_recipe(epochs=1, views="one")
    keras.utils.set_random_seed(1)
    start = architectures.build(recipe.architecture, splits.train.images).get_weights()

    plain, slow = (
        network_of(_train(splits, recipe.model_copy(update={"lookahead_steps": every})).model).get_weights()
        for every in (None, 10)
    )

    kept = LOOKAHEAD_BASE**10
    for first, fast, average in zip(start, plain, slow, strict=True):
        np.testing.assert_allclose(average, kept * first + (1 - kept) * fast, atol=1e-5)


def test_a_trained_bias_of_the_whitening_is_in_the_model(splits: Splits, make_recipe):
    tiny = make_recipe().architecture.model_copy(update={"whitening_bias": True})

    trained = _train(splits, make_recipe(architecture=tiny, lookahead_steps=3))

    kernel, bias = network_of(trained.model).get_layer("whiten").get_weights()
    start = architectures.build(tiny, splits.train.images).get_layer("whiten").get_weights()[0]
    np.testing.assert_array_equal(kernel, start)
    assert np.abs(bias).min() > 0


def test_bfloat16_trains_and_the_model_computes_in_float32(splits: Splits, make_recipe):
    recipe = make_recipe(precision="bfloat16", epochs=4)

    trained = _train(splits, recipe, device=Device("cpu", "CPU", has_bfloat16=True))

    assert trained.precision == "bfloat16"
    assert {layer.compute_dtype for layer in network_of(trained.model).layers} == {"float32"}
    assert trained.history[-1].train.loss < trained.history[0].train.loss
    assert _train(splits, recipe.model_copy(update={"epochs": 1})).precision == "float32"  # no hardware for it


def test_figures_are_those_of_the_trained_network(splits: Splits, make_recipe):
    trained = _train(splits, make_recipe(views="one"))

    scored = trained.history[-1].validation
    assert scored is not None
    labels = splits.validation.labels
    probabilities = predict(
        assemble(network_of(trained.model), make_recipe(views="one"), 1.0), splits.validation.images
    )
    predicted = probabilities.max(axis=1) > 0.5
    right = probabilities.argmax(axis=1) == labels
    assert scored.accuracy == pytest.approx(right.mean())
    assert scored.recall == pytest.approx((right & predicted).mean())
    assert scored.precision == pytest.approx((right & predicted).sum() / max(predicted.sum(), 1))
    assert scored.loss == pytest.approx(negative_log_likelihood(np.log(probabilities), labels), rel=1e-4)


def test_early_stopping_gives_back_the_best_epoch(splits: Splits, make_recipe):
    wrong = Split(splits.validation.images, ((splits.validation.labels + 1) % 10).astype(np.uint8))
    misled = Splits(splits.train, wrong, splits.calibration)  # the better the training, the worse the validation
    recipe = make_recipe(epochs=20, early_stopping_epochs=2, views="one")

    trained = _train(misled, recipe)

    losses = [metrics.validation.loss for metrics in trained.history if metrics.validation is not None]
    assert len(losses) == trained.best_epoch + 2 < 20
    assert losses[trained.best_epoch - 1] == min(losses)
    probabilities = predict(assemble(network_of(trained.model), recipe, 1.0), wrong.images)
    score = negative_log_likelihood(np.log(probabilities), wrong.labels)
    assert score == pytest.approx(losses[trained.best_epoch - 1], rel=1e-4)


def test_training_on_all_has_no_validation_and_no_temperature(splits: Splits, make_recipe):
    trained = _train(splits, make_recipe(train_on_all=True, epochs=1, early_stopping_epochs=1))

    assert trained.num_train_images == 280
    assert trained.temperature == 1.0
    assert trained.history[0].validation is None


def test_fewer_images_than_a_batch_train(splits: Splits, make_recipe):
    tiny = Splits(_first(splits.train, 54), _first(splits.validation, 3), _first(splits.calibration, 3))

    trained = _train(tiny, make_recipe(batch_size=500, epochs=1))

    assert trained.num_train_images == 54


def test_a_loss_that_is_no_number_stops_with_epoch_and_step(splits: Splits, make_recipe):
    wild = make_recipe(learning_rate=1e30, label_smoothing=0.0)

    with pytest.raises(DivergedError, match=r"in epoch 1 at step \d+ of 10; .* lower the recipe's learning rate"):
        _train(splits, wild)


def test_a_warm_start_goes_on_from_the_weights_of_a_model(splits: Splits, make_recipe):
    recipe = make_recipe(epochs=6)
    cold = _train(splits, recipe)

    warm = training.train(splits, make_recipe(epochs=1), 2, CPU, start=cold.model)

    assert warm.history[0].train.loss < cold.history[0].train.loss


def test_a_warm_start_from_another_network_is_refused(splits: Splits, make_recipe):
    other = _train(splits, make_recipe(architecture=TUTORIAL, epochs=1))

    with pytest.raises(BadRequestError, match=r"a network of \d+ parameters; expected the recipe's architecture, of"):
        training.train(splits, make_recipe(), 1, CPU, start=other.model)


def test_keras_on_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")

    with pytest.raises(BadRequestError, match="Keras runs on torch; expected one of tensorflow, jax"):
        backends.current()
