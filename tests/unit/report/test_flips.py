"""Images that two models answer differently, and how their mistakes differ."""

import re

import numpy as np
import pytest

from cnn_model.class_names import CLASS_NAMES
from cnn_model.reliability import reliability
from tasks import store
from tasks.report import confusions
from tasks.report.contents import ReportContents
from tasks.report.flips import find_flips
from tasks.report.gallery import ScoredImages
from tests.unit.report.pages import render, table


@pytest.fixture
def both(compared: ReportContents) -> tuple[ScoredImages, ScoredImages]:
    """Wrong of images 0 to 5 and of 4 to 11."""
    assert compared.splits is not None
    assert compared.evaluation is not None
    assert compared.opponents is not None
    assert compared.opponents.champion is not None
    assert compared.opponents.champion.predictions is not None
    own, other = compared.evaluation.artifact, compared.opponents.champion.predictions.artifact
    return ScoredImages(compared.splits, own), ScoredImages(compared.splits, other)


def test_flips_are_the_images_that_one_model_alone_gets_right(both: tuple[ScoredImages, ScoredImages]) -> None:
    found = find_flips(*both, 10)
    # The true class's probability changes most where the challenger is surest: at 11 and 10, and alike at 0 to 3.
    assert [flip.challenger.index for flip in found.newly_right] == [11, 10, 9, 8, 7, 6]
    assert [flip.challenger.index for flip in found.newly_wrong] == [0, 1, 2, 3]
    assert (found.num_newly_right, found.num_newly_wrong, found.num_both_right, found.num_both_wrong) == (6, 4, 48, 2)
    assert [flip.challenger.index for flip in find_flips(*both, 2).newly_right] == [11, 10]


def test_flip_has_what_both_models_made_of_the_image(both: tuple[ScoredImages, ScoredImages]) -> None:
    flip = find_flips(*both, 1).newly_right[0]
    assert flip.challenger.source == flip.champion.source
    assert (flip.champion.predicted_class, flip.challenger.predicted_class) == ("bird", "automobile")
    assert (flip.champion.predicted_probability, flip.challenger.predicted_probability) == pytest.approx((0.7, 0.85))
    assert flip.champion.true_probability == pytest.approx(0.01)


def test_page_shows_flips_with_both_models_probabilities(compared: ReportContents) -> None:
    html = render(compared, flips=2)
    section = html[html.index('<section aria-labelledby="flips">') :].split("</section>")[0]
    assert (
        "6 test images are newly right and 4 newly wrong; 48 are right with both models, 2 wrong with both" in section
    )
    assert "2 of 4, those" in section
    assert "2 of 6, those" in section
    assert re.findall(r'alt="([^"]*)"', section) == [
        *("Test image 0: airplane", "Test image 1: automobile"),
        *("Test image 11: automobile", "Test image 10: airplane"),
    ]
    card = section[section.index("Test image 11") :].split("</li>")[0]
    said = " ".join(re.sub("<.*?>", " ", card).split())
    assert said.endswith("champion bird 70.0 % automobile 1.0 % this model automobile 85.0 %")


def test_difference_of_confusions_is_that_of_the_matrices(both: tuple[ScoredImages, ScoredImages]) -> None:
    cells = confusions.difference(*both)
    counts = np.array([[cell.count for cell in row] for row in cells])
    assert (counts.sum(axis=1) == 0).all()
    # Of the airplanes image 0 is newly wrong and image 10 newly right; of the birds image 2 is newly wrong.
    assert (counts[0, 0], counts[0, 1], counts[2, 2], counts[2, 3]) == (0, 0, -1, 1)
    # Of the frogs image 6 is newly right.
    assert (counts[6, 6], counts[6, 7]) == (1, -1)
    assert [cells[2][2].hit, cells[2][3].hit, cells[6][6].hit, cells[6][7].hit] == [False, False, True, True]
    changes = confusions.largest_changes(cells, CLASS_NAMES, 3)
    assert [(change.true_class, change.predicted_class, change.count) for change in changes] == [
        *(("bird", "cat", 1), ("cat", "deer", 1), ("frog", "horse", -1))
    ]


def test_page_has_the_difference_with_signs(compared: ReportContents) -> None:
    rows = table(render(compared), "matrix-change")[1:]
    assert [row[0] for row in rows] == list(CLASS_NAMES)
    assert rows[2][1:5] == ["0", "0", "\u22121", "+1"]
    assert rows[6][7:9] == ["+1", "\u22121"]


def test_table_of_bins_has_both_models_reliability(
    compared: ReportContents, both: tuple[ScoredImages, ScoredImages]
) -> None:
    own, other = (reliability(scored.probabilities, scored.labels) for scored in both)
    rows = table(render(compared), "bins")
    assert rows[0][1:] == ["champion, version 2", "this model"]
    for row, theirs, ours in zip(rows[2:], other, own, strict=True):
        assert row[1] == str(theirs.num_images)
        assert row[2:4] == [f"{100 * value:.2f} %" for value in (theirs.confidence, theirs.accuracy.value)]
        assert row[6:8] == [f"{100 * value:.2f} %" for value in (ours.confidence, ours.accuracy.value)]


def test_damaged_predictions_of_the_champion_leave_the_model_its_own_figures(compared: ReportContents) -> None:
    assert compared.opponents is not None
    assert compared.opponents.champion is not None
    assert compared.opponents.champion.predictions is not None
    folder = store.current().fetch(compared.opponents.champion.predictions.artifact)
    (folder / "probabilities.npy").write_bytes(b"damaged")
    html = render(compared)
    assert "The images cannot be shown. " in html
    assert "The champion's predictions cannot be shown." in html
    assert table(html, "bins")[0][1:] == ["this model"]
    assert 'alt="Test image 5: dog' in html


def test_predictions_of_other_test_images_are_not_compared(compared: ReportContents) -> None:
    assert compared.opponents is not None
    assert compared.opponents.champion is not None
    assert compared.opponents.champion.predictions is not None
    other = compared.opponents.champion.predictions.model_copy(update={"test_digest": "cd" * 32})
    champion = compared.opponents.champion.model_copy(update={"predictions": other})
    html = render(
        compared.model_copy(update={"opponents": compared.opponents.model_copy(update={"champion": champion})})
    )
    assert f"The champion was scored on the test images {'cd' * 6}, this model on {'ab' * 6}" in html
    assert 'id="matrix-change"' not in html


def test_models_that_never_differ(compared: ReportContents) -> None:
    assert compared.evaluation is not None
    assert compared.opponents is not None
    assert compared.opponents.champion is not None
    assert compared.opponents.champion.predictions is not None
    same = compared.opponents.champion.predictions.model_copy(update={"artifact": compared.evaluation.artifact})
    champion = compared.opponents.champion.model_copy(update={"predictions": same})
    html = render(
        compared.model_copy(update={"opponents": compared.opponents.model_copy(update={"champion": champion})})
    )
    assert "0 test images are newly right and 0 newly wrong" in html
    assert "None: both models make the same mistakes." in html
