"""What validate gives."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.errors import PipelineError
from tasks.store import Reference
from tasks.values.near_duplicates import NearDuplicates

Severity = Literal["critical", "warning", "info"]


class Check(BaseModel):
    """One expectation and what became of it.

    Attributes:
        observed: What was found, in words or a figure.
        expected: What was expected, likewise.
        num_images: Images that broke it; None where it is about the whole table.
        examples: Rows of the checked table that break it, at most twenty; empty where no single image does.
        advice: What to do where it failed, in a sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    severity: Severity
    passed: bool
    observed: str
    expected: str
    num_images: int | None = Field(None, ge=0)
    examples: tuple[int, ...] = ()
    advice: str = ""


class DropCheck(Check):
    """A check on one drop.

    Attributes:
        examples: Places in the drop's artifact.
        files: Where the images that broke it came from, at most twenty.
    """

    files: tuple[str, ...] = ()


class DropVerdict(BaseModel):
    """What validate thinks of one drop, or of the extra test images.

    Attributes:
        digest: The drop's.
        num_images: By class, in the order of the labels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    num_images: tuple[int, ...]
    checks: tuple[DropCheck, ...]

    @property
    def good(self) -> bool:
        """Whether no critical check failed."""
        return all(check.passed or check.severity != "critical" for check in self.checks)

    @property
    def failed(self) -> tuple[DropCheck, ...]:
        """The checks that failed, the critical ones first."""
        failed = [check for check in self.checks if not check.passed]
        return tuple(sorted(failed, key=lambda check: check.severity != "critical"))


class Validation(BaseModel):
    """The verdict on a raw dataset that may be trained on: no critical check failed.

    The artifact holds `statistics.npz` (a column an array, one row an image) and `checks.json`.

    Attributes:
        drops: What is to be thought of each of the dataset's drops, in their order; a bad one stops nothing here.
        extra_test: What is to be thought of the extra test images, in which no critical check failed; None where there
            are none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact: Reference
    checks: tuple[Check, ...]
    near_duplicates: NearDuplicates
    drops: tuple[DropVerdict, ...] = ()
    extra_test: DropVerdict | None = None

    @property
    def warnings(self) -> tuple[Check, ...]:
        """The checks that failed without stopping the run."""
        return tuple(check for check in self.checks if not check.passed)


class DataValidationError(PipelineError):
    """Data that must not be trained on.

    Attributes:
        checks: All checks, the failed ones among them, for the report.
    """

    def __init__(self, message: str, checks: tuple[Check, ...] = ()) -> None:
        super().__init__(message)
        self.checks = checks
