"""What a terminal shows of a training while it goes on, and at the end."""

import io
import re
import time

import pytest
from rich.console import Console

from flows.terminal import Terminal
from tasks.progress import Progress
from tasks.report.summary import DatasetSummary, ExtraTestSummary, Metric, Metrics, SourceSummary, Summary

NOTE = "loss 0.91, accuracy 0.68, 1743 images/s"


def progress_line(width: int) -> str:
    """The last progress line of a training that is watched for two seconds."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, highlight=False, soft_wrap=True, color_system=None)
    with Terminal(console) as terminal:
        terminal.step_started("train")
        terminal.step_progressed("train", Progress(done=0.4, total=8, unit="epochs", note=NOTE))
        time.sleep(1.5)
        terminal.step_progressed("train", Progress(done=2.4, total=8, unit="epochs", note=NOTE))
        time.sleep(0.5)
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue()))
    return [line.rstrip() for line in lines if "epoch" in line][-1]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (100, r"train +[━╸╺ ]+epoch 3 of 8 · 0:\d\d left · loss 0\.91, accuracy 0\.68, 1743 images/s$"),
        (60, r"train epoch 3 of 8 · 0:\d\d left · loss 0\.91, accuracy 0\.68"),
    ],
)
def test_a_training_has_one_line_that_fits(width: int, expected: str) -> None:
    line = progress_line(width)
    assert len(line) <= width
    assert re.search(expected, line)


def closing_lines(num_test_images_in_train: int, extra_test_images: int = 0) -> list[str]:
    """The closing lines of a run with an accuracy of 0.8, and of 0.75 on what has no near-duplicate in train."""
    figure = Metric(value=0.8, low=0.79, high=0.81)
    unseen = Metric(value=0.75, low=0.74, high=0.76)
    others = ("macro_precision", "macro_recall", "macro_f1", "loss", "expected_calibration_error")
    dataset = DatasetSummary(
        name="cifar10",
        digest="ab" * 32,
        num_train_images=50_000,
        num_corrected_labels=0,
        num_dropped_images=0,
        num_test_images=10_000,
        num_test_images_in_train=num_test_images_in_train,
    )
    summary = Summary(
        format=1,
        run_id="id",
        run_name="run",
        started="2026-11-21T07:01:22+00:00",
        outcome="refused",
        verdict="Not promoted.",
        practice=False,
        source=SourceSummary(asked="auto", resolved="the official archive"),
        dataset=dataset,
        test_digest=None,
        drops=(),
        extra_test=ExtraTestSummary(
            name="ours", digest="cd" * 32, num_images={"cat": extra_test_images, "dog": 5}, failed_checks=()
        ),
        recipe="fast",
        seed=1,
        code_version="abc",
        steps={},
        training=None,
        starts=(),
        metrics=Metrics(
            accuracy=figure,
            accuracy_without_near_duplicates=unseen,
            accuracy_without_label_issues=None,
            extra_test_accuracy=figure if extra_test_images else None,
            **dict.fromkeys(others, Metric(value=0.5, low=None, high=None)),
        ),
        label_issues=None,
        robustness=None,
        model_name=None,
        model_version=None,
        champion_version=None,
        decision=None,
        num_test_set_decisions=None,
        bundle=None,
        report=None,
    )
    file = io.StringIO()
    Terminal(Console(file=file, highlight=False, soft_wrap=True, color_system=None)).closing(summary)
    return file.getvalue().splitlines()


def test_accuracy_stands_above_that_without_near_duplicates() -> None:
    assert closing_lines(1_234)[:2] == [
        "Accuracy 80.00 %, 95 % interval 79.00 to 81.00 %",
        "         75.00 %, 95 % interval 74.00 to 76.00 % without the 1,234 near-duplicates of train",
    ]


def test_where_there_are_no_near_duplicates_there_is_one_figure() -> None:
    assert [line for line in closing_lines(0) if "interval" in line] == [
        "Accuracy 80.00 %, 95 % interval 79.00 to 81.00 %"
    ]


def test_accuracy_on_extra_test_images_has_a_line_of_its_own() -> None:
    assert closing_lines(0, extra_test_images=1_200)[:2] == [
        "Accuracy 80.00 %, 95 % interval 79.00 to 81.00 %",
        "         80.00 %, 95 % interval 79.00 to 81.00 % on the 1,205 extra test images",
    ]
