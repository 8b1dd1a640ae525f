import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tasks.report import brief, step
from tasks.report.config import ReportConfig
from tasks.report.contents import ReportContents


def test_report_is_written_whole_into_the_folder(promoted: ReportContents, tmp_path: Path) -> None:
    path = step.write_report(promoted, ReportConfig(), str(tmp_path / "runs" / "1"))
    assert path == str(tmp_path / "runs" / "1" / "report.html")
    assert Path(path).read_text("utf-8").endswith("</html>")
    assert sorted(file.name for file in Path(path).parent.iterdir()) == ["label_issues.csv", "report.html"]
    assert promoted.evaluation is not None
    assert (Path(path).parent / "label_issues.csv").read_text() == promoted.evaluation.label_issues.text()


def test_importing_the_step_loads_no_drawing_library() -> None:
    code = "import sys, tasks.report.step; print({'matplotlib', 'PIL', 'tasks.report.page'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_brief_gives_verdict_figures_and_place(promoted: ReportContents) -> None:
    text = brief.markdown(promoted, "runs/1/report.html")
    assert "Version 3 was promoted" in text
    assert "**90.0\u00a0%**, 95 % interval 79.9 to 95.3\u00a0%, on 60 test images" in text
    assert "Without near-duplicates of train: 89.5\u00a0%, 95 % interval 78.9 to 95.1\u00a0%, on 57" in text
    assert "cifar10-cnn, version 3" in text
    assert "runs/1/report.html" in text


def test_brief_says_what_changed_from_the_champion(compared: ReportContents, promoted: ReportContents) -> None:
    line = "- Against version 2: +3.33 points, 6 test images newly right, 4 newly wrong\n"
    assert line in brief.markdown(compared, "runs/1/report.html")
    assert "Against" not in brief.markdown(promoted, "runs/1/report.html")


def test_brief_of_a_failed_run_gives_the_cause(failed: Callable[..., ReportContents]) -> None:
    text = brief.markdown(failed("The archive is cut off."), "runs/1/report.html")
    assert "Cause: The archive is cut off." in text
    assert "Accuracy" not in text


def test_brief_says_which_start_goes_on(warm: ReportContents, promoted: ReportContents) -> None:
    assert "- Start: The cold start goes on.\n" in brief.markdown(warm, "runs/1/report.html")
    assert "Start" not in brief.markdown(promoted, "runs/1/report.html")


def test_class_table_has_a_row_for_each_class(promoted: ReportContents) -> None:
    assert promoted.evaluation is not None
    table = brief.class_table(promoted.evaluation.result)
    assert len(table) == 10
    assert table[3] == {
        "class": "cat",
        "images": 6,
        "precision": "90.0\u00a0%",
        "recall": "90.0\u00a0%",
        "F1": "90.0\u00a0%",
    }
