"""What a terminal shows of a training while it goes on."""

import io
import re
import time

import pytest
from rich.console import Console

from flows.terminal import Terminal
from tasks.progress import Progress

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
