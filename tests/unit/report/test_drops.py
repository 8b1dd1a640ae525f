"""Labelled drops in the report and in the summary."""

from pathlib import Path

from tasks import store
from tasks.report import brief, page
from tasks.report.config import ReportConfig
from tasks.report.contents import ReportContents
from tasks.report.gallery import data_uri
from tasks.report.summary import build_summary, write_summary
from tasks.values.drops import DropOutcomes
from tests.drops import noise


def test_page_says_what_became_of_each_drop(with_drops: ReportContents) -> None:
    html = page.render(with_drops, ReportConfig())
    assert "1 accepted (1,245 images), 1 quarantined, 1 waiting" in html
    assert "It has no _SUCCESS." in html
    assert "cat/&lt;1&gt;.png, dog/2.png" in html
    assert html.count('<td class="right">129</td>') == 2
    assert '<a href="#drops">' in html


def test_page_shows_the_images_behind_a_failed_check_and_says_what_to_do(with_drops: ReportContents) -> None:
    html = page.render(with_drops, ReportConfig())
    assert "Look at the program that wrote them." in html
    images = noise(20)[0]
    for place, name, label in ((3, "cat/&lt;1&gt;.png", "cat"), (14, "dog/2.png", "deer")):
        assert f'<img src="{data_uri(images[place])}" width="32" height="32" alt="bern, {name}"><p>{label}</p>' in html
    assert data_uri(images[3]) not in page.render(with_drops, ReportConfig(check_examples=0))


def test_page_without_the_images_of_a_drop_says_the_rest(with_drops: ReportContents) -> None:
    assert with_drops.drops is not None
    artifact = with_drops.drops.drops[1].artifact
    assert artifact is not None
    (store.current().fetch(artifact) / "images.npy").write_bytes(b"damaged")
    assert "Look at the program that wrote them." in page.render(with_drops, ReportConfig())


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
