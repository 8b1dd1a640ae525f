"""What a drop must be like: one row of figures, a column a check, and the expectations of each.

Most checks have two bounds: above the first the figure is told, above the second the drop is bad.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import great_expectations.expectations as gxe
import pandas as pd

from tasks.validate.checkpoint import run_checks
from tasks.validate.suite import NamedExpectation
from tasks.values.drops import MAX_NAMED
from tasks.values.validation import Check, DropCheck, Severity


@dataclass(frozen=True)
class Finding:
    """What a check looks at in one drop.

    Attributes:
        name: Of the check; a drop has one finding of a name.
        observed: What was found, in words.
        expected: What was expected.
        advice: What to do if it fails.
        figure: What is judged.
        told_above: The figure passes up to here.
        bad_above: The drop is bad above; None where the check never makes it so.
        told_as: Severity in between.
        num_images: Images that break it; None where no number of images is behind the figure.
        images: Their places in the drop, the plainest first.
        files: Names of what is no image in the drop, where the check is about that.
    """

    name: str
    observed: str
    expected: str
    advice: str
    figure: float
    told_above: float = 0.0
    bad_above: float | None = None
    told_as: Severity = "warning"
    num_images: int | None = None
    images: tuple[int, ...] = ()
    files: tuple[str, ...] = ()


def run_drop_checks(findings: Sequence[Finding], names: Sequence[str]) -> tuple[DropCheck, ...]:
    """Check one drop.

    Args:
        findings: What was found; each name once.
        names: Where each image of the drop came from.

    Returns:
        One check a finding, in their order.
    """
    table = pd.DataFrame([{finding.name: finding.figure for finding in findings}])
    expectations = [(finding, expectation) for finding in findings for expectation in _expectations(finding)]
    checks = run_checks(table, "drop", [expectation for _, expectation in expectations])
    results: dict[str, Check] = {}
    for (finding, _), check in zip(expectations, checks, strict=True):
        # The graver bound comes last, and counts if it is broken; else what the other gave.
        if finding.name not in results or not check.passed:
            results[finding.name] = check
    return tuple(_drop_check(finding, results[finding.name], names) for finding in findings)


def _expectations(finding: Finding) -> list[NamedExpectation]:
    bounds: list[tuple[float, Severity]] = [(finding.told_above, finding.told_as)]
    if finding.bad_above is not None:
        bounds.append((finding.bad_above, "critical"))
    return [
        NamedExpectation(
            finding.name,
            finding.expected,
            gxe.ExpectColumnMaxToBeBetween(column=finding.name, max_value=bound, severity=severity),
            advice=finding.advice,
        )
        for bound, severity in bounds
    ]


def _drop_check(finding: Finding, check: Check, names: Sequence[str]) -> DropCheck:
    shown = finding.images[:MAX_NAMED] if not check.passed else ()
    fields = check.model_dump() | {
        "observed": finding.observed,
        "num_images": finding.num_images,
        "examples": shown,
        "files": finding.files or tuple(names[place] for place in shown),
    }
    return DropCheck.model_validate(fields)
