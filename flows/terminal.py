"""What a person sees in the terminal: which step is at work, how far it is, and how the run ended.

On a terminal the line of the running step moves; in a pipe or a log file each thing stands on a line of its own.
"""

import sys
import time
from typing import Self, get_args

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Column

from tasks.progress import Progress as StepProgress
from tasks.report.summary import Metric, Summary
from tasks.values.execution import RunInfo, StepName, StepRecord

MARKS = {"ran": "[green]✓[/]", "cached": "[cyan]✓[/]", "failed": "[red]✗[/]", "not_run": "·"}
WIDE = 90
"""Characters of a line from which on there is a bar."""

NAME_WIDTH = max(map(len, get_args(StepName)))

LINE_INTERVAL_SECONDS = 10.0
"""How often progress is written where the output is no terminal."""


class Terminal:
    """An observer that shows a run.

    Args:
        console: Where to; standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True, file=sys.stdout)
        wide = self._console.width >= WIDE
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[step]:<11}" if wide else "{task.fields[step]}"),
            *([BarColumn(bar_width=12)] if wide else []),
            # It has what the others leave, and alone is cut where that is too little.
            TextColumn("{task.fields[text]}", table_column=Column(ratio=1, no_wrap=True)),
            console=self._console,
            transient=True,
            expand=True,
        )
        self._task = self._progress.add_task("", total=None, visible=False, step="", text="")
        self._step_start = 0.0
        self._first_share: tuple[float, float] | None = None
        self._last_line = 0.0

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing."""
        self._stop()

    def say(self, text: str, style: str = "") -> None:
        """Write one line."""
        self._console.print(escape(text), style=style)

    def run_started(self, info: RunInfo, warning: str | None) -> None:
        """Say what the run works on; what must not be overlooked in a box."""
        if warning is not None:
            rule = "!" * min(72, self._console.width)
            self._console.print(f"{rule}\n{escape(warning)}\n{rule}", style="bold yellow")
        self.say(f"Source   {info.resolved_source}")
        self.say(f"Recipe   {info.recipe}, seed {info.seed_in_words}")

    def step_started(self, step: StepName) -> None:
        """Show the step as the one at work."""
        self._step_start = self._last_line = time.monotonic()
        self._first_share = None
        self._progress.reset(self._task, total=None, visible=True, step=step, text="at work")
        if not self._console.is_terminal:
            self.say(f"  … {step}")

    def step_progressed(self, step: StepName, progress: StepProgress) -> None:
        """Show how far it is and how long it may take."""
        text = self._describe(progress)
        self._progress.update(self._task, completed=progress.done, total=progress.total or None, text=text)
        if not self._console.is_terminal and time.monotonic() - self._last_line >= LINE_INTERVAL_SECONDS:
            self._last_line = time.monotonic()
            self.say(f"    {step}: {text}")

    def step_ended(self, record: StepRecord) -> None:
        """Write the step's line."""
        self._progress.update(self._task, visible=False)
        memory = f"{record.peak_memory_bytes / 2**20:6,.0f} MiB" if record.peak_memory_bytes else ""
        outcome = record.outcome.replace("_", " ")
        self._console.print(
            f"  {MARKS[record.outcome]} {record.name:<{NAME_WIDTH}} {outcome:<7} {record.seconds:7.1f} s {memory}"
        )

    def closing(self, summary: Summary) -> None:
        """The closing lines; the report's path on the last one."""
        self._stop()
        if summary.metrics is not None:
            self.say(f"Accuracy {_with_interval(summary.metrics.accuracy)}", style="bold")
            unseen = summary.metrics.accuracy_without_near_duplicates
            # Where nothing is left out it would be the same figure again.
            if unseen is not None and summary.dataset is not None and summary.dataset.num_test_images_in_train:
                num_left_out = summary.dataset.num_test_images_in_train
                self.say(f"         {_with_interval(unseen)} without the {num_left_out:,} near-duplicates of train")
            extra, images = summary.metrics.extra_test_accuracy, summary.extra_test
            if extra is not None and images is not None:
                total = sum(images.num_images.values())
                self.say(f"         {_with_interval(extra)} on the {total:,} extra test images")
        if (robustness := summary.robustness) is not None:
            mean = _with_interval(robustness.corrupted_accuracy)
            self.say(f"         {mean} on {robustness.num_images:,} corrupted test images, one view of each")
        if summary.practice:
            self.say("Data     practice images: the figures say nothing about photographs", style="bold yellow")
        if summary.drops:
            self.say(f"Drops    {_drops(summary)}")
        if summary.model_name is not None:
            self.say(f"Model    {summary.model_name} version {summary.model_version}")
        for start in summary.starts:
            if start.chosen:
                self.say(f"Start    {start.start}")
        self.say(f"Verdict  {summary.verdict}", style="bold")
        if summary.training is not None:
            self.say(f"         {summary.training.sentence}")
        if summary.bundle is not None:
            self.say(f"Bundle   {summary.bundle.archive}")
        steps = " · ".join(f"{name} {step.seconds:.1f}" for name, step in summary.steps.items() if step.seconds)
        self.say(f"Seconds  {steps}")
        if summary.report is not None:
            self.say("Report")
            self.say(summary.report)

    def failed(self, cause: str, summary: Summary | None = None) -> None:
        """The cause in one line; where the run came far enough to have one, the report's path on the last line."""
        self._stop()
        self._console.print(escape(" ".join(cause.split())), style="bold red")
        if summary is not None and summary.report is not None:
            self.say("Report")
            self.say(summary.report)

    def _stop(self) -> None:
        # Elsewhere than on a terminal rich ends with an empty line, also when it never began.
        if self._console.is_terminal:
            self._progress.stop()

    def _describe(self, progress: StepProgress) -> str:
        share = progress.done / progress.total if progress.total else 0.0
        # What matters most first: a narrow terminal cuts the rest.
        parts = [_amount(progress), self._time_left(share), progress.note]
        return " · ".join(part for part in parts if part)

    def _time_left(self, share: float) -> str:
        """An estimate from the pace since the first report, so that start-up and resumed bytes do not count."""
        now = time.monotonic()
        if self._first_share is None:
            self._first_share = (now, share)
        since, first = self._first_share
        if share <= first or now - since < 1:
            return ""
        left = (now - since) / (share - first) * (1 - share)
        return f"{int(left) // 60}:{int(left) % 60:02d} left"


def _with_interval(accuracy: Metric) -> str:
    low, high = (f"{100 * (bound or 0):.2f}" for bound in (accuracy.low, accuracy.high))
    return f"{100 * accuracy.value:.2f} %, 95 % interval {low} to {high} %"


def _drops(summary: Summary) -> str:
    """How many of each, such as "2 accepted (1,200 images), 1 quarantined: monday"."""
    names: dict[str, list[str]] = {}
    for drop in summary.drops:
        names.setdefault(drop.state, []).append(drop.name)
    return "; ".join(f"{len(found)} {state}{_detail(summary, state, found)}" for state, found in names.items())


def _detail(summary: Summary, state: str, names: list[str]) -> str:
    if state == "accepted" and summary.dataset is not None:
        return f" ({summary.dataset.num_dropped_images:,} images)"
    return ": " + ", ".join(names[:3]) + (" and more" if len(names) > 3 else "")


def _amount(progress: StepProgress) -> str:
    if progress.unit == "bytes":
        return f"{progress.done / 1e6:.1f} of {progress.total / 1e6:.1f} MB"
    if progress.unit == "epochs":
        # The one at work, counted from 1.
        return f"epoch {min(int(progress.done) + 1, int(progress.total))} of {int(progress.total)}"
    if not progress.total:
        return f"{int(progress.done):,} {progress.unit}"
    return f"{int(progress.done):,} of {int(progress.total):,} {progress.unit}"
