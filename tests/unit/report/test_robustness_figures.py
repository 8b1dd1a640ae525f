"""Corrupted test images in the summary and on the dashboard."""

from pathlib import Path

import pytest

from cnn_model import corruptions
from cnn_model.results import CorruptionScore, Interval
from tasks import store
from tasks.report import brief
from tasks.report.contents import ReportContents
from tasks.values.decision import Decision, PairedFigure, RobustnessComparison
from tasks.values.robustness import Robustness
from tests.unit.report.test_summary import written


@pytest.fixture
def robustness(promoted: ReportContents) -> Robustness:
    with store.current().staging() as folder:
        (folder / "correct.npy").write_text("an array")
        artifact = store.current().publish(folder)
    return Robustness(
        artifact=artifact,
        test_digest="ab" * 32,
        num_images=2000,
        clean_accuracy=0.868,
        mean_accuracy=Interval(value=0.615, low=0.602, high=0.628),
        scores=tuple(
            CorruptionScore(corruption=name, severity=severity, accuracy=0.9 - 0.2 * severity)
            for name in corruptions.NAMES
            for severity in corruptions.SEVERITIES
        ),
    )


def test_summary_has_the_mean_and_each_corruption(
    promoted: ReportContents, robustness: Robustness, tmp_path: Path
) -> None:
    summary = written(promoted.model_copy(update={"robustness": robustness}), tmp_path / "with")["robustness"]
    assert (summary["num_images"], summary["clean_accuracy"]) == (2000, 0.868)
    assert summary["corrupted_accuracy"] == {"value": 0.615, "low": 0.602, "high": 0.628}
    assert list(summary["accuracies"]) == list(corruptions.NAMES)
    assert summary["accuracies"]["Contrast"] == pytest.approx([0.7, 0.5, 0.3])
    assert written(promoted, tmp_path / "without")["robustness"] is None


def test_dashboard_has_the_mean_in_a_line_and_the_champion_beside_it(
    promoted: ReportContents, robustness: Robustness
) -> None:
    contents = promoted.model_copy(update={"robustness": robustness})
    line = (
        "- On corrupted images: 61.5\u00a0%, 95 % interval 60.2 to 62.8\u00a0%; 86.8\u00a0% on the same 2,000 as they "
        "are, one view of each"
    )
    assert line in brief.markdown(contents, "report.html").splitlines()
    assert "corrupted" not in brief.markdown(promoted, "report.html")

    difference = Interval(value=-0.012, low=-0.021, high=0.003)
    figure = PairedFigure(challenger=robustness.mean_accuracy, champion=robustness.mean_accuracy, difference=difference)
    decision = Decision(
        promote=True,
        sentence="Promoted.",
        policy="refresh",
        basis="refresh",
        margin=0.01,
        robustness=RobustnessComparison(challenger=robustness, champion=robustness, mean_accuracy=figure),
    )
    assert contents.registration is not None
    compared = contents.model_copy(
        update={"registration": contents.registration.model_copy(update={"decision": decision})}
    )
    assert f"{line}; against the champion -1.2 points, 95 % interval [-2.1, +0.3]" in (
        brief.markdown(compared, "report.html").splitlines()
    )
