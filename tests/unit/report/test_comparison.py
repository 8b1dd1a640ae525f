"""Challenger beside champion: the opening, the forest plot, its table, and when there is none."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import get_args

import pytest

from tasks.report import brief, comparison, words
from tasks.report.contents import ReportContents
from tasks.values.decision import Decision, Guard, GuardName
from tasks.values.execution import StepRecord
from tests.unit.report.pages import render, sections, table


def decision_of(contents: ReportContents) -> Decision:
    assert contents.registration is not None
    assert contents.registration.decision is not None
    return contents.registration.decision


def having(contents: ReportContents, decision: Decision | None) -> ReportContents:
    assert contents.registration is not None
    return contents.model_copy(update={"registration": contents.registration.model_copy(update={"decision": decision})})


def test_opening_says_difference_flips_and_conditions(compared: ReportContents) -> None:
    top = render(compared).split("<main")[0]
    difference = decision_of(compared).comparisons[0].accuracy.difference
    assert "Against the champion, version 2</dt><dd>+3.33<span" in top
    assert f"95 % interval {words.points(difference.low)} to {words.points(difference.high)}" in top
    assert ">6 newly right, 4 newly wrong</a>" in top
    for name in ("Floor", "Accuracy", "Anchor", "Classes", "Probabilities"):
        assert f"<strong>{name}:</strong>" in top


def test_what_speaks_against_comes_first_and_what_only_reports_is_called_so(compared: ReportContents) -> None:
    decision = decision_of(compared)
    guards = (
        Guard(name="floor", passed=True, decides=True, sentence=""),
        Guard(name="calibration", passed=False, decides=False, sentence="its probabilities are worse"),
        Guard(name="classes", passed=False, decides=True, sentence="significantly worse at cat"),
        Guard(name="accuracy", passed=True, decides=True, sentence=""),
    )
    found = comparison.conditions(decision.model_copy(update={"guards": guards, "policy": "improve"}))
    assert [(condition.name, condition.state, condition.sentence) for condition in found] == [
        ("Classes", "speaks against", "significantly worse at cat"),
        ("Probabilities", "only reported", "its probabilities are worse"),
        ("Floor", "passed", "the accuracy is not below it"),
        ("Accuracy", "passed", "better than the champion's"),
    ]


def test_every_condition_of_the_gate_has_its_words(compared: ReportContents) -> None:
    guards = tuple(Guard(name=name, passed=True, decides=True, sentence="") for name in get_args(GuardName))
    found = comparison.conditions(decision_of(compared).model_copy(update={"guards": guards}))
    assert len({condition.name for condition in found}) == len(guards)


def test_forest_has_every_comparison_and_class_with_its_interval(compared: ReportContents) -> None:
    decision = decision_of(compared)
    rows = [row for row in table(render(compared), "accuracy-differences")[1:] if row[-1]]
    assert [row[0].split(" version")[0] for row in rows[:4]] == [
        *("Champion, all images", "Champion, without near-duplicates"),
        *("Anchor, all images", "Anchor, without near-duplicates"),
    ]
    assert rows[0][0].endswith("version 2: 86.7 % → 90.0 %")
    for row, found in zip(rows, decision.comparisons, strict=False):
        assert words.points(found.accuracy.difference.value) in row[-1]
        assert f"{words.points(found.accuracy.difference.low)} to" in row[-1]
    for row, one in zip(rows[4:], decision.classes, strict=True):
        assert row[0] == one.class_name
        assert row[-1] == f"{words.points(one.difference)} {words.points(one.low)} to {words.points(one.high)}"


def test_marks_of_the_forest_stand_where_the_figures_say(compared: ReportContents) -> None:
    decision = decision_of(compared)
    axis = comparison.accuracy_forest(decision).axis
    assert axis.margin == -0.3
    assert axis.low < -0.3
    assert 0 < axis.place(-0.3) < axis.place(0) < 100
    assert axis.place(0) - axis.place(-0.3) == pytest.approx(30 / (axis.high - axis.low), abs=0.02)
    html = render(compared)
    assert f"--zero:{axis.place(0)}%;--margin:{axis.place(-0.3)}%" in html
    first = decision.comparisons[0].accuracy.difference
    assert f'class="line" style="left:{axis.place(first.low)}%;' in html
    assert "0" in {tick.text for tick in axis.ticks if not tick.minor}
    improve = comparison.accuracy_forest(decision.model_copy(update={"policy": "improve"}))
    assert improve.axis.margin is None


def test_a_class_is_called_worse_only_by_the_corrected_test(compared: ReportContents) -> None:
    decision = decision_of(compared)
    first, *others = decision.classes
    shown = first.model_copy(update={"difference": -0.5, "low": -0.6, "high": -0.4})
    for worse in (False, True):
        classes = (shown.model_copy(update={"worse": worse, "worse_p": 0.2 if not worse else 0.001}), *others)
        html = render(having(compared, decision.model_copy(update={"classes": classes})))
        (row,) = [row for row in table(html, "accuracy-differences") if row[0] == "airplane"]
        assert row[-1].startswith("worse \u221250.00" if worse else "\u221250.00")
        (row,) = [row for row in table(html, "class-evidence") if row[0] == "airplane"]
        assert row[-1] == ("significantly worse" if worse else "not worse")


def test_table_behind_the_forest_has_counts_and_tests(compared: ReportContents) -> None:
    decision = decision_of(compared)
    html = render(compared)
    rows = table(html, "evidence")[1:]
    assert rows[0][:5] == ["champion, version 2, all images", "60", "6", "4", "+3.33"]
    assert [row[1:4] for row in rows] == [
        [str(found.num_images), str(found.num_wins), str(found.num_losses)] for found in decision.comparisons
    ]
    assert rows[0][5] == words.probability(decision.comparisons[0].mcnemar_p)
    classes = table(html, "class-evidence")[1:]
    assert [row[1:4] for row in classes] == [
        [str(found.num_images), str(found.num_wins), str(found.num_losses)] for found in decision.classes
    ]


def test_probabilities_are_compared_on_a_scale_of_their_own(compared: ReportContents) -> None:
    rows = [row for row in table(render(compared), "calibration-differences")[1:] if row[-1]]
    first = decision_of(compared).comparisons[0]
    for row, figure in zip(rows, (first.log_loss, first.brier_score, first.calibration_error), strict=True):
        assert f"{figure.champion.value:.4f} → {figure.challenger.value:.4f}" in row[0]
        assert words.signed(figure.difference.value) in row[-1]
    assert "the margin of 0.01" in render(compared)
    without = compared.model_copy(update={"run": compared.run.model_copy(update={"configuration": {}})})
    assert "the margin of" not in render(without)


def test_less_is_better_of_probabilities_and_worse_of_accuracy(compared: ReportContents) -> None:
    decision = decision_of(compared)
    first = decision.comparisons[0]
    lower = first.log_loss.difference.model_copy(update={"value": -0.2, "low": -0.3, "high": -0.1})
    figure = first.log_loss.model_copy(update={"difference": lower})
    changed = first.model_copy(update={"log_loss": figure, "accuracy": figure})
    (row, *_) = comparison.calibration_forest(changed, None).groups["Probabilities"]
    assert row.verdict == "better"
    (row, *_) = comparison.accuracy_forest(decision.model_copy(update={"comparisons": (changed,)})).groups["Accuracy"]
    assert row.verdict == "worse"


ALWAYS = ["classes", "calibration", "training", "images", "labels", "near-duplicates", "checks", "time", "lineage"]


def test_sections_are_those_that_the_run_came_to(
    compared: ReportContents,
    promoted: ReportContents,
    failed: Callable[..., ReportContents],
    stopped_by_validation: ReportContents,
) -> None:
    assert sections(render(compared)) == [
        *("comparison", "flips", "classes", "calibration", "robustness", "training", "images", "labels"),
        *("near-duplicates", "checks", "history", "ledger", "time", "lineage"),
    ]
    assert sections(render(promoted)) == ALWAYS
    assert sections(render(failed())) == ["time", "lineage"]
    assert sections(render(stopped_by_validation)) == ["checks", "time", "lineage"]


def test_unchanged_run_leaves_out_what_was_not_decided(compared: ReportContents) -> None:
    """Whether its model is the champion, or one that was refused before and is beside the champion again."""
    html = render(having(compared, None))
    assert sections(html)[:3] == ["flips", "classes", "calibration"]
    assert "Against the champion, version 2</dt>" not in html
    assert 'id="conditions"' not in html
    assert 'id="calibration-differences"' not in html
    assert compared.opponents is not None
    alone = having(compared, None).model_copy(
        update={"opponents": compared.opponents.model_copy(update={"champion": None})}
    )
    html = render(alone)
    assert sections(html)[:2] == ["classes", "calibration"]
    assert 'id="matrix-change"' not in html


def test_a_first_model_has_its_floor_and_nothing_to_be_compared_with(compared: ReportContents) -> None:
    decision = decision_of(compared)
    first = decision.model_copy(
        update={"basis": "first", "comparisons": (), "classes": (), "guards": decision.guards[:1], "robustness": None}
    )
    assert compared.opponents is not None
    html = render(
        having(compared, first).model_copy(
            update={"opponents": compared.opponents.model_copy(update={"champion": None})}
        )
    )
    assert sections(html)[:3] == ["classes", "calibration", "robustness"]
    assert "<strong>Floor:</strong>" in html
    assert "this model, new" in html or "as before" in html


def test_a_champion_that_cannot_be_scored_is_a_condition_and_no_section(compared: ReportContents) -> None:
    decision = decision_of(compared)
    guard = Guard(name="champion", passed=False, decides=True, sentence="version 2 cannot be scored (it <is> gone)")
    refused = decision.model_copy(update={"comparisons": (), "classes": (), "guards": (guard,)})
    assert compared.opponents is not None
    assert compared.opponents.champion is not None
    champion = compared.opponents.champion.model_copy(update={"predictions": None, "problem": "it is gone"})
    html = render(
        having(compared, refused).model_copy(
            update={"opponents": compared.opponents.model_copy(update={"champion": champion})}
        )
    )
    assert "version 2 cannot be scored (it &lt;is&gt; gone)" in html
    assert sections(html)[0] == "classes"


def test_headings_go_down_one_step_at_a_time(compared: ReportContents) -> None:
    levels = [int(level) for level in re.findall(r"<h([1-6])", render(compared))]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_a_handoff_that_failed_is_said_beside_the_verdict_that_stands(compared: ReportContents) -> None:
    failed = StepRecord(name="export", outcome="failed", error="the disk is full")
    contents = compared.model_copy(update={"steps": (*compared.steps, failed)})
    top = render(contents).split("<main")[0]
    assert "Failed in export: there is no bundle" in top
    assert "the disk is full" in top
    assert "there is no bundle" not in render(compared)
    assert "- No bundle: export failed: the disk is full" in brief.markdown(contents, "report.html")
