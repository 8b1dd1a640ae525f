"""Past runs and promotions: how they are read, and how the page has them."""

import json
from pathlib import Path

import pytest

from tasks.report.contents import ReportContents
from tasks.report.history import past_accuracy
from tasks.report.past_runs import NUM_RUNS, past_runs
from tasks.report.summary import build_summary, write_summary
from tasks.shared_folder import SharedFolder
from tests.unit.report.pages import render, sections, table


def write(folder: Path, contents: ReportContents, name: str, **changes: object) -> Path:
    """The summary of a run, as the run leaves it; with changes such as an older or a damaged one has."""
    path = Path(write_summary(build_summary(contents, None), str(folder / name)))
    path.write_text(json.dumps({**json.loads(path.read_text()), "run_id": name, **changes}))
    return path


def test_runs_of_a_model_are_read_in_their_order(promoted: ReportContents, tmp_path: Path) -> None:
    write(tmp_path, promoted, "b", started="2026-11-02T06:00:00+00:00")
    write(tmp_path, promoted, "a", started="2026-11-09T06:00:00+00:00", outcome="refused")
    write(tmp_path, promoted, "practice", model_name="practice-cnn")
    write(tmp_path, promoted, "failed", model_name=None, model_version=None, metrics=None)
    write(tmp_path, promoted, "this")
    runs, num_unreadable = past_runs(SharedFolder(tmp_path), "cifar10-cnn", without="this")
    assert [(run.run_id, run.outcome) for run in runs] == [("b", "promoted"), ("a", "refused")]
    assert promoted.evaluation is not None
    assert runs[0].accuracy == promoted.evaluation.result.accuracy
    assert (runs[0].version, runs[0].test_digest) == (3, "ab" * 32)
    assert num_unreadable == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run_id": 1}', '\udcff{"'])
def test_broken_summary_is_counted_and_the_others_are_read(
    promoted: ReportContents, tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, promoted, "whole")
    write(tmp_path, promoted, "broken").write_bytes(text.encode("utf-8", "surrogateescape"))
    runs, num_unreadable = past_runs(SharedFolder(tmp_path), "cifar10-cnn", without="")
    assert [run.run_id for run in runs] == ["whole"]
    assert num_unreadable == 1
    assert "broken" in caplog.text


def test_summary_of_an_older_or_newer_version_is_read(promoted: ReportContents, tmp_path: Path) -> None:
    path = write(tmp_path, promoted, "older", format=0, something_new={"x": 1})
    summary = json.loads(path.read_text())
    del summary["test_digest"]
    del summary["decision"]
    path.write_text(json.dumps(summary))
    ((run,), num_unreadable) = past_runs(SharedFolder(tmp_path), "cifar10-cnn", without="")
    assert (run.run_id, run.test_digest, num_unreadable) == ("older", None, 0)


def test_of_many_runs_the_last_ones_are_read(promoted: ReportContents, tmp_path: Path) -> None:
    for number in range(NUM_RUNS + 3):
        write(tmp_path, promoted, f"{number:03d}")
    runs, _ = past_runs(SharedFolder(tmp_path), "cifar10-cnn", without="")
    assert len(runs) == NUM_RUNS


def test_a_store_without_runs_has_no_history(tmp_path: Path) -> None:
    assert past_runs(SharedFolder(tmp_path / "nothing"), "cifar10-cnn", without="") == ((), 0)


def test_page_has_all_runs_and_this_one(compared: ReportContents) -> None:
    html = render(compared)
    rows = table(html, "runs")[1:]
    assert [row[1] for row in rows] == ["wise-heron (this run)", "weekly 2", "weekly 1"]
    assert rows[0][3:6] == ["3", "90.00 %", "79.90 to 95.30 %"]
    assert rows[1][3:5] == ["2", "86.67 %"]
    assert [row[-1] for row in rows] == ["the same", "the same", "not known"]
    section = html[html.index('<section aria-labelledby="history">') :].split("</section>")[0]
    assert "1 summary of a run could not be read" in section
    assert "on these test images between 86.67\u00a0% and 90.00\u00a0%" in section
    assert ">other test images<" in section


def test_runs_on_other_test_images_are_marked(compared: ReportContents) -> None:
    assert compared.splits is not None
    splits = compared.splits.model_copy(update={"test_digest": "cd" * 32})
    rows = table(render(compared.model_copy(update={"splits": splits})), "runs")[1:]
    assert [row[-1] for row in rows] == ["others", "others", "not known"]


def test_first_run_of_a_store_has_no_history(compared: ReportContents) -> None:
    assert compared.history is not None
    alone = compared.history.model_copy(update={"runs": (), "promotions": ()})
    found = sections(render(compared.model_copy(update={"history": alone})))
    assert "history" not in found
    assert "ledger" not in found


def test_page_has_the_last_promotions(compared: ReportContents) -> None:
    html = render(compared)
    assert table(html, "promotions")[1:] == [
        ["2", "14 Nov 2026", "2 for 1", "86.67 %", "improve <weekly>", "Promoted: +3.33 points."],
        ["1", "7 Nov 2026", "1", "83.33 %", "higher accuracy by hand", "The first one."],
    ]
    assert compared.history is not None
    assert "2 entries." in html
    more = compared.history.model_copy(update={"num_promotions": 30})
    assert "30 entries, the last 2 of them here." in render(compared.model_copy(update={"history": more}))


def test_damaged_ledger_is_said_in_place_of_the_table(compared: ReportContents) -> None:
    assert compared.history is not None
    damaged = compared.history.model_copy(
        update={"promotions": (), "num_promotions": 0, "problem": "The ledger's entry <2> cannot be read."}
    )
    html = render(compared.model_copy(update={"history": damaged}))
    assert "ledger" in sections(html)
    assert "The ledger&#39;s entry &lt;2&gt; cannot be read." in html
    assert 'id="promotions"' not in html


@pytest.mark.parametrize(("version", "refused"), [(1, False), (2, True)])
def test_a_champion_that_came_out_again_is_not_drawn_as_refused(
    compared: ReportContents, version: int, refused: bool
) -> None:
    assert compared.history is not None
    first = compared.history.runs[0].model_copy(update={"version": 1, "outcome": "promoted"})
    again = first.model_copy(update={"version": version, "outcome": "unchanged"})
    past = compared.history.model_copy(update={"runs": (first, again), "promotions": ()})
    digest = {"splits": None, "registration": None}
    found = past_accuracy(compared.model_copy(update={"history": past, **digest}))
    assert found is not None
    assert ("not promoted" in found.chart) == refused
