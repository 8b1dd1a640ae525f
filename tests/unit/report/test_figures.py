import math
import re
from dataclasses import astuple
from xml.etree import ElementTree

import pytest

from cnn_model.curves import METRICS, Metric
from cnn_model.results import TrainingResult
from tasks.report import figures
from tasks.report.contents import ReportContents


@pytest.fixture
def training(promoted: ReportContents) -> TrainingResult:
    assert promoted.model is not None
    return promoted.model.result


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]


def without_validation(training: TrainingResult) -> TrainingResult:
    history = tuple(epoch.model_copy(update={"validation": None}) for epoch in training.history)
    return training.model_copy(update={"history": history})


@pytest.mark.parametrize("metric", METRICS)
def test_curves_name_their_lines_and_the_epoch_kept(training: TrainingResult, metric: Metric) -> None:
    svg = figures.curves(training.model_copy(update={"best_epoch": 2}), metric)
    assert {"train", "validation", "epoch", "kept: epoch 2"} <= set(texts(svg))


def test_curves_are_described_in_words(training: TrainingResult) -> None:
    svg = figures.curves(training, "loss")
    assert 'role="img" aria-labelledby="loss-title loss-desc"' in svg
    assert "train from 1.500 to 0.500, validation from 1.600 to 0.533" in svg
    assert "The model has the weights of epoch 3. Validation is best in epoch 3. The curves do not meet." in svg


def test_words_and_figure_name_the_epoch_in_which_curves_meet(training: TrainingResult) -> None:
    first, second, third = training.history
    worse = first.model_copy(update={"train": first.train.model_copy(update={"loss": 2.0})})
    svg = figures.curves(training.model_copy(update={"history": (worse, second, third)}), "loss")
    assert "The curves meet in epoch 2." in svg
    assert "curves meet: epoch 2" in texts(svg)


@pytest.mark.parametrize("metric", METRICS)
def test_colours_and_fonts_are_the_pages(training: TrainingResult, metric: Metric) -> None:
    svg = figures.curves(training, metric)
    used = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", svg))
    assert {"var(--first)", "var(--second)"} <= used <= {*astuple(figures.VARIABLES), "none"}
    assert "DejaVu" not in svg
    assert "<style" not in svg


def test_every_identifier_bears_the_figures_name(training: TrainingResult) -> None:
    svg = figures.curves(training, "loss")
    names = re.findall(r'(?:\bid="|href="#|url\(#)([^")]+)', svg)
    assert names
    assert all(name.startswith("loss-") for name in names)


def test_curves_do_not_depend_on_the_clock(training: TrainingResult) -> None:
    assert figures.curves(training, "loss") == figures.curves(training, "loss")
    assert "<metadata" not in figures.curves(training, "loss")


def test_recipe_without_validation_has_one_line(training: TrainingResult) -> None:
    svg = figures.curves(without_validation(training), "accuracy")
    assert "train" in texts(svg)
    assert "validation" not in svg.lower()


def test_one_epoch_is_drawn(training: TrainingResult) -> None:
    single = training.model_copy(update={"history": training.history[:1], "best_epoch": 1})
    assert "best and kept: epoch 1" in texts(figures.curves(single, "loss"))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_training_that_diverged_is_drawn(training: TrainingResult, value: float) -> None:
    lost = training.history[0].train.model_copy(update={"loss": value})
    history = tuple(epoch.model_copy(update={"train": lost, "validation": lost}) for epoch in training.history)
    svg = figures.curves(training.model_copy(update={"history": history}), "loss")
    assert {"train", "validation", "kept: epoch 3"} <= set(texts(svg))
