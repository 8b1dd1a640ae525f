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
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    severity: Severity
    passed: bool
    observed: str
    expected: str
    num_images: int | None = Field(None, ge=0)


class Validation(BaseModel):
    """The verdict on a raw dataset that may be trained on: no critical check failed.

    The artifact holds `statistics.npz` (a column an array, one row an image) and `checks.json`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact: Reference
    checks: tuple[Check, ...]
    near_duplicates: NearDuplicates

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
