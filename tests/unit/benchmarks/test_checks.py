"""The table of planted faults."""

from typing import Any

from benchmarks import checks
from benchmarks.checks import SHARES


def row(share: float, found: int, bad: int) -> dict[str, Any]:
    return {"fault": "inverted", "images": 1_000, "share": share, "repeats": 5, "found": found, "bad": bad}


def test_a_cell_says_what_became_of_most_drops() -> None:
    counts = ((0, 0), (1, 0), (4, 0), (5, 0), (5, 4), (5, 5))
    planted = [row(share, found, bad) for share, (found, bad) in zip(SHARES, counts, strict=True)]
    clean = {"images": 1_000, "drops": 200, "warned": 3, "bad": 0, "checks": {"drift of red": 3}}
    table = checks.report({"images": 1_000, "clean": clean, "planted": planted}).splitlines()
    assert table[0] == "200 good drops of 1,000 images: 3 warned of, 0 refused."
    assert table[2] == "| fault, in a drop of 1,000 images | 0.5% | 1.0% | 2.0% | 5.0% | 10.0% | 20.0% |"
    assert table[4] == "| inverted | no | warned 1/5 | warned 4/5 | warned | refused 4/5 | refused |"
