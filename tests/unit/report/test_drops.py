"""Labelled drops in the report and in the summary."""

from pathlib import Path

from tasks.report import brief, page
from tasks.report.config import ReportConfig
from tasks.report.contents import ReportContents
from tasks.report.summary import build_summary, write_summary
from tasks.values.drops import DropOutcomes


def test_page_says_what_became_of_each_drop(with_drops: ReportContents) -> None:
    html = page.render(with_drops, ReportConfig())
    assert "1 accepted (1,245 images), 1 quarantined, 1 waiting" in html
    assert "It has no _SUCCESS." in html
    assert "cat/&lt;1&gt;.png, dog/2.png" in html
    assert html.count('<td class="right">129</td>') == 2
    assert '<a href="#drops">' in html


def test_page_shows_the_near_duplicates_of_drops(with_drops: ReportContents) -> None:
    html = page.render(with_drops, ReportConfig())
    section = html[html.index('<h2 id="near-duplicates">') :].split("</section>")[0]
    assert "5 of 60 test images have one in train or in a drop" in section
    assert 'alt="berlin/cat/0015.png: dog"' in section
    assert "2 pairs within train and drops have different labels" in section


def test_page_without_drops_has_no_section_for_them(promoted: ReportContents) -> None:
    empty = promoted.model_copy(update={"drops": DropOutcomes(folder="/d", drops=())})
    for contents in (promoted, empty):
        assert "drops" not in page.render(contents, ReportConfig()).lower()


def test_summary_lists_the_drops_and_counts_their_images(with_drops: ReportContents, tmp_path: Path) -> None:
    summary = build_summary(with_drops, None)
    write_summary(summary, str(tmp_path))
    assert [(drop.name, drop.state) for drop in summary.drops] == [
        ("berlin", "accepted"),
        ("bern", "quarantined"),
        ("basel", "waiting"),
    ]
    assert summary.drops[1].failed_checks == ("blank images",)
    assert summary.drops[0].num_images["truck"] == 129
    assert summary.dataset is not None
    assert summary.dataset.num_dropped_images == 1245
    assert with_drops.dataset is not None
    assert summary.dataset.digest != with_drops.dataset.artifact.digest


def test_dashboard_says_how_many(with_drops: ReportContents) -> None:
    assert "- Drops: 1 accepted (1,245 images), 1 quarantined, 1 waiting" in brief.markdown(with_drops, "report.html")
