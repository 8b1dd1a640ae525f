"""Images that are kept for testing only, in the report, in the summary and on the dashboard."""

from pathlib import Path

from tasks.report import brief, page
from tasks.report.config import ReportConfig
from tasks.report.contents import ReportContents
from tests.unit.report.test_summary import written


def section(contents: ReportContents) -> str:
    html = page.render(contents, ReportConfig())
    return html[html.index('<h2 id="extra-test">') :].split("</section>")[0]


def test_page_opens_with_their_accuracy_beside_the_published_one(with_extra_test: ReportContents) -> None:
    top = page.render(with_extra_test, ReportConfig()).split("<main")[0]
    assert "90.0\u00a0%" in top
    assert (
        '<strong>71.7\u00a0%</strong>, 59.2 to 81.5\u00a0%, on the 60 <a href="#extra-test">extra test images</a>'
        in top
    )


def test_page_has_name_digest_classes_and_what_is_to_say(with_extra_test: ReportContents) -> None:
    text = section(with_extra_test)
    assert "cameras &lt;1&gt;, 60 images for testing only" in text
    assert "71.7\u00a0%, 95 % interval 59.2 to 81.5\u00a0%, against 90.0\u00a0% on the published" in text
    lineage = page.render(with_extra_test, ReportConfig()).split('<h2 id="lineage">')[1]
    assert f'cameras &lt;1&gt;: 60<br><span class="mono">{"ef" * 32}</span>' in lineage
    airplane, truck = (text[text.index(f">{name}</th>") :].split("</tr>")[0] for name in ("airplane", "truck"))
    assert '<td class="right">12</td>' in airplane
    assert "75.0\u00a0%" in airplane
    assert '<td class="right">0</td>' in truck
    assert "<span>\u2013</span>" in truck  # a class that is not there has no recall
    assert "cat/&lt;1&gt;.png, dog/2.png" in text


def test_page_names_them_also_where_the_run_came_no_further(with_extra_test: ReportContents) -> None:
    ended = with_extra_test.model_copy(update={"validation": None, "evaluation": None, "registration": None})
    text = section(ended)
    assert "cameras &lt;1&gt;" in text
    assert "<table" not in text
    counted = with_extra_test.model_copy(update={"evaluation": None, "registration": None})
    assert "Recall" not in section(counted)
    assert '<td class="right">12</td>' in section(counted)


def test_page_without_them_has_no_section_for_them(promoted: ReportContents) -> None:
    assert "extra test" not in page.render(promoted, ReportConfig()).lower()


def test_summary_has_the_figure_apart_and_the_counts(
    with_extra_test: ReportContents, promoted: ReportContents, tmp_path: Path
) -> None:
    summary, without = written(with_extra_test, tmp_path / "with"), written(promoted, tmp_path / "without")
    assert summary["metrics"]["extra_test_accuracy"] == {"value": 0.7167, "low": 0.592, "high": 0.8149}
    assert without["metrics"]["extra_test_accuracy"] is without["extra_test"] is None
    assert summary["metrics"]["accuracy"] == without["metrics"]["accuracy"]
    assert summary["dataset"] == without["dataset"]
    assert summary["extra_test"]["name"] == "cameras <1>"
    assert summary["extra_test"]["digest"] == "ef" * 32
    assert summary["extra_test"]["num_images"] == {"airplane": 12} | {
        name: 0 if name == "truck" else 6 for name in list(summary["extra_test"]["num_images"])[1:]
    }
    assert summary["extra_test"]["failed_checks"] == ["blank images"]


def test_dashboard_has_their_accuracy(with_extra_test: ReportContents, promoted: ReportContents) -> None:
    line = "- Extra test images: 71.7\u00a0%, 95 % interval 59.2 to 81.5\u00a0%, on 60"
    assert line in brief.markdown(with_extra_test, "report.html").splitlines()
    assert "Extra" not in brief.markdown(promoted, "report.html")
