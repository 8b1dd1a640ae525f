import pytest

from tasks.report import words


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.04, "0.0 s"), (9.96, "10 s"), (59.7, "1 min 00 s"), (187, "3 min 07 s"), (7500, "2 h 05 min")],
)
def test_duration(seconds: float, expected: str) -> None:
    assert words.duration(seconds).replace("\u00a0", " ") == expected


@pytest.mark.parametrize(
    ("size_bytes", "expected"), [(None, "\u2013"), (851 * 2**20, "851 MiB"), (3 * 2**29, "1.5 GiB")]
)
def test_size(size_bytes: int | None, expected: str) -> None:
    assert words.size(size_bytes).replace("\u00a0", " ") == expected


@pytest.mark.parametrize(("probability", "expected"), [(0.0, "<0.1 %"), (0.5, "50.0 %"), (0.99999, ">99.9 %")])
def test_surety_is_never_certainty(probability: float, expected: str) -> None:
    assert words.surety(probability).replace("\u00a0", " ") == expected


def test_moment_is_readable_and_leaves_the_unreadable_alone() -> None:
    assert words.moment("2026-11-21T07:01:22+00:00") == "21 November 2026, 07:01 UTC"
    assert words.moment("yesterday") == "yesterday"


def test_option_has_no_python_in_it() -> None:
    assert words.option(None) == "not set"
    assert words.option((True, 3, "x")) == "yes, 3, x"
