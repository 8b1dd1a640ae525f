"""Accuracy on corrupted test images in the report."""

import pytest

from tasks.report.contents import ReportContents
from tasks.report.robustness import robustness_table
from tests.unit.report.pages import render, sections, table
from tests.unit.report.parts import publish_robustness


def test_table_has_every_corruption_and_severity_and_the_champions_below(compared: ReportContents) -> None:
    rows = table(render(compared), "corruptions")
    assert rows[0] == ["Corruption", "Severity 1", "2", "3", "Change"]
    assert rows[1] == ["shot noise", *(f"{own} % {other} %" for own, other in PAIRS), "+10.0"]
    assert [row[0] for row in rows[1:]] == ["shot noise", "blur", "Mean"]
    assert rows[3][1] == "70.0 % 60.0 %"


PAIRS = [("75.0", "65.0"), ("70.0", "60.0"), ("65.0", "55.0")]


def test_section_says_that_the_figures_are_of_a_sample(compared: ReportContents) -> None:
    html = render(compared)
    section = html[html.index('<section aria-labelledby="robustness">') :].split("</section>")[0]
    assert "on a sample of 20 test images" in section
    assert "clean images of the sample the accuracy is 80.0\u00a0%, the champion's 70.0\u00a0%" in section
    assert "+10.00 points, 95 % interval +5.00 to +15.00" in section
    assert "20 % on" not in section


def test_model_without_champion_stands_alone(compared: ReportContents) -> None:
    html = render(compared.model_copy(update={"registration": None}))
    assert table(html, "corruptions")[1] == ["shot noise", "75.0 %", "70.0 %", "65.0 %"]
    assert "robustness" not in sections(render(compared.model_copy(update={"robustness": None})))


def test_figures_of_another_sample_are_not_set_beside_them(compared: ReportContents) -> None:
    assert compared.robustness is not None
    other = compared.robustness.model_copy(update={"num_images": 19})
    html = render(compared.model_copy(update={"robustness": other}))
    assert "The figures cannot be shown." in html
    assert "expected the same" in html


def test_a_missing_severity_is_named() -> None:
    robustness = publish_robustness(0.8)
    cut = robustness.model_copy(update={"scores": robustness.scores[:-1]})
    with pytest.raises(ValueError, match="no accuracy under blur 3; expected one for each"):
        robustness_table(cut, None)
