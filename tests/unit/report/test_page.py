import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser

import numpy as np
import pytest

from cnn_model.class_names import CLASS_NAMES
from tasks import store
from tasks.report import brief, page
from tasks.report.config import ReportConfig
from tasks.report.contents import ReportContents
from tasks.report.gallery import data_uri
from tasks.values.decision import Decision

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Every tag of a page with its attributes, and whether the tags close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def values(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.tags if (value := attributes.get(attribute))]


def render(contents: ReportContents, **config: int) -> str:
    return page.render(contents, ReportConfig(**config))


@pytest.fixture(
    params=[
        "promoted",
        "compared",
        "unchanged",
        "warm",
        "with_drops",
        "with_extra_test",
        "failed",
        "stopped_by_validation",
    ]
)
def html(request: pytest.FixtureRequest) -> str:
    contents = request.getfixturevalue(request.param)
    return render(contents if isinstance(contents, ReportContents) else contents())


def test_page_asks_for_nothing_from_outside_and_runs_no_script(html: str) -> None:
    parsed = Page(html)
    links = [*parsed.values("src"), *parsed.values("href")]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "http://" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in html
    assert "@import" not in html
    assert "<script" not in html
    assert not any(name.startswith("on") for _, attributes in parsed.tags for name in attributes)
    assert "default-src 'none'" in html


def test_identifiers_are_unique_and_every_reference_finds_its_own(html: str) -> None:
    parsed = Page(html)
    identifiers = parsed.values("id")
    assert [name for name, times in Counter(identifiers).items() if times > 1] == []
    wanted = [link[1:] for link in parsed.values("href") if link.startswith("#")]
    wanted += re.findall(r"url\(#([^)]*)\)", html)
    wanted += [name for names in parsed.values("aria-labelledby") for name in names.split()]
    assert set(wanted) <= set(identifiers)


def test_tags_close_in_order_and_tables_say_what_they_hold(html: str) -> None:
    parsed = Page(html)
    assert parsed.open == []
    tags = Counter(tag for tag, _ in parsed.tags)
    assert tags["h1"] == tags["main"] == tags["header"] == 1
    assert tags["caption"] == tags["table"] > 0
    assert all(attributes.get("scope") for tag, attributes in parsed.tags if tag == "th")
    assert all(attributes.get("alt") for tag, attributes in parsed.tags if tag == "img")


def test_page_opens_with_the_verdict_and_the_figures(promoted: ReportContents) -> None:
    top = render(promoted).split("<main")[0]
    assert "<h1>Version 3 was promoted: 90.0 % is above the champion&#39;s 82.9 %.</h1>" in top
    assert "90.0\u00a0%" in top
    assert "79.9 to 95.3\u00a0%" in top
    assert "this model, new" in top


def test_accuracy_stands_beside_that_without_near_duplicates(promoted: ReportContents) -> None:
    top = render(promoted).split("<main")[0]
    assert "<strong>89.5\u00a0%</strong>, 78.9 to 95.1\u00a0%, on the 57" in top
    assert promoted.evaluation is not None
    unseen = promoted.evaluation.without_near_duplicates
    assert unseen is not None
    for nothing_left_out in (None, unseen.model_copy(update={"num_images": 60})):
        evaluation = promoted.evaluation.model_copy(update={"without_near_duplicates": nothing_left_out})
        top = render(promoted.model_copy(update={"evaluation": evaluation})).split("<main")[0]
        assert "near-duplicate</a> in train" not in top


def test_page_shows_suspected_labels_in_their_order(promoted: ReportContents) -> None:
    html = render(promoted)
    assert "3 of 90 labels are suspected to be wrong" in html
    assert "On the 58 test images with a trusted label the accuracy is 93" in html
    alts = ["Test image 5: labelled dog", "Validation image 2: labelled bird", "Test image 4: labelled deer"]
    places = [html.index(f'alt="{alt}"') for alt in alts]
    assert places == sorted(places)


def test_page_shows_near_duplicates_side_by_side(promoted: ReportContents) -> None:
    html = render(promoted)
    section = html[html.index('<h2 id="near-duplicates">') :].split("</section>")[0]
    assert "3 of 60 test images have one in train" in section
    assert 'alt="test 7: horse"' in section
    assert 'alt="train 4: deer"' in section
    assert section.count('<span class="muted">') == 3


def test_damaged_images_leave_the_rest_of_the_page(promoted: ReportContents) -> None:
    assert promoted.dataset is not None
    (store.current().fetch(promoted.dataset.artifact) / "train_images.npy").write_bytes(b"")
    html = render(promoted)
    assert "The pairs cannot be shown." in html
    assert 'alt="Test image 5: dog' in html


def test_page_shows_curves_matrix_pictures_and_lineage(promoted: ReportContents) -> None:
    html = render(promoted)
    assert html.count('<svg class="chart" role="img"') == 6
    for title in ("Accuracy", "Loss", "Precision", "Recall"):
        assert f"<figcaption>{title}</figcaption>" in html
    assert "Confusion matrix" in html
    assert 'alt="Test image 5: dog, taken for frog with 85.0\u00a0%"' in html
    assert promoted.dataset is not None
    assert promoted.dataset.artifact.digest in html
    assert "e00b921f4c1a" in html
    assert "3.15.1" in html


def test_table_of_epochs_has_all_figures_of_train_and_validation(promoted: ReportContents) -> None:
    html = render(promoted)
    table = html[html.index('<caption id="epochs">') :]
    row = table[table.index('<th scope="row">2</th>') :].split("</tr>")[0]
    cells = [text.strip() for text in re.findall(r'<td class="right">(.*?)</td>', row, re.DOTALL)]
    assert cells == [
        *("70.00\u00a0%", "67.50\u00a0%", "0.7500", "0.8000"),
        *("80.00\u00a0%", "70.00\u00a0%", "65.00\u00a0%", "62.50\u00a0%"),
        *("0.01", "2.5\u00a0s"),
    ]


def test_single_predictions_mark_the_true_and_the_predicted_class(promoted: ReportContents) -> None:
    html = render(promoted, predictions=1)
    card = html[html.index('<ul class="predictions">') :].split("</ul>")[0]
    assert "<strong>airplane</strong>, taken for automobile" in card
    bars = re.findall(r'<li( class="\w+")?><span>(\w+)</span>.*?width:([\d.]+)%.*?<span>([^<]*)</span></li>', card)
    assert [name for _, name, _, _ in bars] == list(CLASS_NAMES)
    assert bars[:3] == [
        (' class="good"', "airplane", "1.0", "1.0\u00a0%"),
        (' class="bad"', "automobile", "60.0", "60.0\u00a0%"),
        ("", "bird", "1.0", "1.0\u00a0%"),
    ]


def test_lineage_says_on_what_and_in_what_the_model_was_trained(promoted: ReportContents) -> None:
    html = render(promoted)
    for name, value in (("Trained on", "CPU"), ("Backend", "tensorflow"), ("Computed in", "bfloat16")):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in html
    assert "esumed" not in html


def test_page_says_after_which_epoch_training_was_resumed(promoted: ReportContents) -> None:
    assert promoted.model is not None
    result = promoted.model.result.model_copy(update={"resumed_after_epoch": 2})
    html = render(promoted.model_copy(update={"model": promoted.model.model_copy(update={"result": result})}))
    assert "<dt>Resumed</dt><dd>after epoch 2</dd>" in html
    assert "on CPU, resumed after epoch 2." in html


def test_page_has_cold_and_warm_start_side_by_side(warm: ReportContents) -> None:
    html = render(warm)
    (table,) = re.findall(r'<caption id="starts">.*?</table>', html, re.DOTALL)
    rows = [
        [re.sub("<.*?>", "", cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
        for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)
    ]
    assert rows == [
        ["Start", "Chosen", "Validation accuracy", "Validation loss", "Epochs", "Time"],
        ["cold", "chosen", "78.33\u00a0%", "0.5333", "3", "7.5\u00a0s"],
        ["champion version 2", "\u2013", "67.50\u00a0%", "0.8000", "2", "7.5\u00a0s"],
    ]
    assert "The cold start goes on." in html
    assert "trained on other splits" in html
    assert html.index('<th scope="row">train</th>') < html.index('<th scope="row">warm start</th>')


def test_page_without_a_warm_start_says_nothing_of_starts(promoted: ReportContents) -> None:
    assert "warm start" not in render(promoted)


def test_a_failed_warm_start_is_not_what_stopped_a_run(warm: ReportContents) -> None:
    steps = tuple(
        record.model_copy(update={"outcome": "failed", "error": f"{record.name} is broken."})
        if record.name in ("warm start", "evaluate")
        else record
        for record in warm.steps
    )
    html = render(warm.model_copy(update={"registration": None, "steps": steps}))
    assert "<h1>The run failed in evaluate; no model was promoted.</h1>" in html
    assert "evaluate is broken." in html


def test_page_is_the_same_for_the_same_run(promoted: ReportContents) -> None:
    assert render(promoted) == render(promoted)


def test_page_with_all_its_pictures_is_small(promoted: ReportContents) -> None:
    assert len(render(promoted, sample_images=60, predictions=60, worst_mistakes=60)) < 1_000_000


def test_page_with_the_largest_galleries_stays_below_its_bound(
    compared: ReportContents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the test's sixty images of noise no gallery has enough to come near the real bound; so a lower one."""
    largest = ReportConfig(
        sample_images=200, predictions=100, flips=200, near_duplicates=100, label_issues=200, worst_mistakes=200
    )
    whole = page.render(compared, largest)
    assert len(whole.encode()) < page.MAX_BYTES
    assert "Galleries are shorter" not in whole
    monkeypatch.setattr(page, "MAX_BYTES", 500_000)
    cut = page.render(compared, largest)
    assert 250_000 < len(cut.encode()) < 500_000
    assert "Galleries are shorter than configured" in cut


def test_failed_checks_come_first_and_the_gravest_of_them(stopped_by_validation: ReportContents) -> None:
    html = render(stopped_by_validation)
    assert html.index("Failed checks") < html.index("Overlap</th>") < html.index("Sharpness</th>")


def test_failed_checks_show_their_images_and_what_to_do(stopped_by_validation: ReportContents) -> None:
    assert stopped_by_validation.dataset is not None
    folder = store.current().fetch(stopped_by_validation.dataset.artifact)
    train, test = (np.load(folder / f"{split}_images.npy") for split in ("train", "test"))
    check = stopped_by_validation.failed_checks[0].model_copy(
        update={"examples": (5, len(train) + 2), "advice": "Look at them."}
    )
    html = render(stopped_by_validation.model_copy(update={"failed_checks": (check,)}))
    assert f"<strong>{check.name}</strong> Look at them." in html
    for image, name in ((train[5], "train image 5"), (test[2], "test image 2")):
        assert f'<img src="{data_uri(image)}" width="32" height="32" alt="cifar10, {name}">' in html


def test_passed_checks_are_folded(promoted: ReportContents) -> None:
    html = render(promoted)
    assert html.index("1 passed check</summary>") < html.index("Test images</th>")


def test_failed_run_names_step_cause_and_what_to_do(failed: Callable[..., ReportContents]) -> None:
    html = render(failed("The archive is cut off."))
    assert "<h1>The run failed in ingest; no model was promoted.</h1>" in html
    assert "The archive is cut off." in html
    assert "What to do." in html
    assert "Confusion matrix" not in html


def test_error_message_is_text_and_not_markup(failed: Callable[..., ReportContents]) -> None:
    html = render(failed('<script>alert("x")</script> & more'))
    assert "<script" not in html
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; &amp; more" in html


def test_run_that_ended_without_a_failed_step_says_where(failed: Callable[..., ReportContents]) -> None:
    html = render(failed(steps=()))
    assert "The run ended before ingest; no model was promoted." in html
    assert "No cause was recorded" in html


def test_run_that_failed_in_register_keeps_its_figures(promoted: ReportContents) -> None:
    record = promoted.all_steps[5].model_copy(update={"outcome": "failed", "error": "The ledger is locked."})
    steps = tuple(record if step.name == "register" else step for step in promoted.steps)
    html = render(promoted.model_copy(update={"registration": None, "steps": steps}))
    assert "the ledger says whether the model was promoted" in html
    assert "90.0\u00a0%" in html
    assert "The ledger is locked." in html


def test_practice_images_are_said_loudly(promoted: ReportContents) -> None:
    run = promoted.run.model_copy(update={"practice": True})
    html = render(promoted.model_copy(update={"run": run}))
    assert html.index("Practice images, not CIFAR-10") < html.index("<h1>")
    assert "Practice images" not in render(promoted)


def test_unofficial_images_are_said_loudly(promoted: ReportContents) -> None:
    assert promoted.dataset is not None
    dataset = promoted.dataset.model_copy(update={"name": "unofficial-drawings"})
    html = render(promoted.model_copy(update={"dataset": dataset}))
    assert html.index("Unofficial images: unofficial-drawings") < html.index("<h1>")


def test_page_without_pictures_says_why(promoted: ReportContents, caplog: pytest.LogCaptureFixture) -> None:
    assert promoted.splits is not None
    (store.current().fetch(promoted.splits.artifact) / "test_images.npy").write_bytes(b"damaged")
    html = render(promoted)
    assert "The images cannot be shown." in html
    assert "test_images.npy has SHA-256" in html
    assert "no predictions" in caplog.text


def test_page_without_any_picture_wanted(promoted: ReportContents) -> None:
    assert "<img" not in render(
        promoted, sample_images=0, predictions=0, flips=0, near_duplicates=0, label_issues=0, worst_mistakes=0
    )


def test_page_and_dashboard_say_when_the_model_was_trained(unchanged: ReportContents) -> None:
    sentence = "Trained 3 days ago with seed 20261118 on the same data, by the same recipe and code; "
    html = render(unchanged)
    assert sentence in html
    assert "18 November 2026, 06:00 UTC" in html
    assert sentence in brief.markdown(unchanged, "runs/1/report.html")


def test_lineage_says_how_the_model_was_chosen(promoted: ReportContents) -> None:
    assert promoted.registration is not None
    decision = Decision(
        promote=True,
        sentence="Promoted: by force.",
        policy="force",
        basis="force",
        margin=0.01,
        power_for_equal=0.97,
        actor="Jane <Doe>",
        reason="the old one leaks",
    )
    decided = promoted.registration.model_copy(update={"decision": decision, "num_decisions": 1234})
    html = render(promoted.model_copy(update={"registration": decided}))
    for words in ("is promoted with 97\u00a0% probability", "Jane &lt;Doe&gt;: the old one leaks", "1,234"):
        assert words in html
    assert "Forced by" not in render(promoted)
