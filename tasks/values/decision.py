"""What the gate decided about a model, and on what evidence: for programs, as JSON."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cnn_model.results import Interval
from tasks.values.robustness import Robustness

Policy = Literal["refresh", "improve", "never", "force"]
Basis = Literal["first", "refresh", "improve", "never", "force", "rollback"]
"""What decided: the policy, or the rule for the first model; a rollback is a person's, and never the gate's."""

Mode = Literal["gate", "report"]

GuardName = Literal["floor", "accuracy", "anchor", "classes", "calibration", "corruptions", "champion", "approval"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PairedFigure(_Value):
    """A figure of two models on the same images; paired bootstrap intervals at 95 %.

    Attributes:
        champion: Of the other model, the champion or the anchor.
        difference: Challenger minus champion.
    """

    challenger: Interval
    champion: Interval
    difference: Interval


class Comparison(_Value):
    """The challenger beside a champion, on the same test images.

    Attributes:
        opponent: "anchor" is the last champion that no refresh chose, where that is not the champion itself.
        version: The opponent's.
        images: All test images, or those without near-duplicate in train.
        num_wins: Images that the challenger alone gets right.
        num_losses: Images that the opponent alone gets right.
        log_loss: In nats.
        brier_score: 0 to 2.
        calibration_error: Expected, over 15 equal-mass bins of confidence, 0 to 1.
        mcnemar_p: McNemar's exact test, two-sided.
        not_worse_p: One-sided test that the challenger is not worse by the margin; small says that it is not.
        detectable_difference: In accuracy, found with 80 % probability by a two-sided test at 5 %.
    """

    opponent: Literal["champion", "anchor"]
    version: int = Field(ge=1)
    images: Literal["all", "without near-duplicates"]
    num_images: int = Field(ge=1)
    num_wins: int = Field(ge=0)
    num_losses: int = Field(ge=0)
    accuracy: PairedFigure
    log_loss: PairedFigure
    brier_score: PairedFigure
    calibration_error: PairedFigure
    mcnemar_p: float = Field(ge=0, le=1)
    not_worse_p: float = Field(ge=0, le=1)
    detectable_difference: float = Field(ge=0)


class ClassComparison(_Value):
    """One class of the test images, challenger beside champion.

    Attributes:
        difference: In recall, challenger minus champion.
        low: Lower bound of its 95 % interval, Tango's score interval for pairs, not corrected for the number of
            classes; -1 where the class has no image.
        high: Upper bound; 1 where the class has no image.
        worse_p: McNemar's exact test, one-sided, with Holm's correction over the tested classes; None where the class
            has too few images to be tested.
        worse: Whether the challenger is significantly worse.
    """

    class_name: str
    num_images: int = Field(ge=0)
    num_wins: int = Field(ge=0)
    num_losses: int = Field(ge=0)
    difference: float
    low: float
    high: float
    worse_p: float | None = Field(ge=0, le=1)
    worse: bool


class RobustnessComparison(_Value):
    """How challenger and champion do on the same corrupted test images.

    Attributes:
        mean_accuracy: Over all corruptions and severities.
    """

    challenger: Robustness
    champion: Robustness
    mean_accuracy: PairedFigure


class Guard(_Value):
    """One condition of a promotion.

    Attributes:
        passed: Whether it holds.
        decides: Whether it stands in the way where it does not hold; else it is only reported.
        sentence: What speaks against a promotion, to be read after "Not promoted: "; empty where it holds.
    """

    name: GuardName
    passed: bool
    decides: bool
    sentence: str


class Approval(_Value):
    """What a person said of a promotion that waited for their word, or that nobody said anything in time.

    Attributes:
        promote: Their decision; False where nobody decided in time.
        actor: Who decided; None where nobody did in time.
        reason: Why, in their words; where nobody decided in time, who did too late, or empty.
        hours: How long a person had.
    """

    promote: bool
    actor: str | None
    reason: str
    hours: float = Field(gt=0)

    @property
    def in_words(self) -> str:
        """Whether it is approved."""
        return "approved" if self.promote else "not approved"

    @property
    def refusal(self) -> str:
        """What speaks against the promotion, to be read after "Not promoted: "; empty where it is approved."""
        if self.promote:
            return ""
        if self.actor is not None:
            return f"{self.actor} refused it: {self.reason.rstrip('.')}"
        return f"nobody approved it within {self.hours:g} hours{f'; {self.reason}' if self.reason else ''}"


class Decision(_Value):
    """Whether to promote, why, and on what evidence. All shares and differences are 0 to 1, not in points.

    Attributes:
        promote: The decision.
        sentence: The decision in one sentence that a manager understands.
        basis: What decided.
        margin: By how much accuracy may be worse under `refresh`.
        comparisons: The first one is with the champion on all test images; none where there is no champion, or one
            that could not be scored.
        guards: The conditions that were looked at.
        robustness: On corrupted test images; None where they were not looked at, or not with both models.
        power_for_equal: The probability that an equal model is promoted by this rule, all guards on; None without
            comparison, and where nothing is compared for the decision.
        actor: Who forced it; None where nobody did.
        reason: Why they did.
        approval: What a person said to it; None where nobody was asked, or they have not answered yet.
    """

    promote: bool
    sentence: str
    policy: Policy
    basis: Basis
    margin: float
    comparisons: tuple[Comparison, ...] = ()
    classes: tuple[ClassComparison, ...] = ()
    guards: tuple[Guard, ...] = ()
    robustness: RobustnessComparison | None = None
    power_for_equal: float | None = Field(None, ge=0, le=1)
    actor: str | None = None
    reason: str | None = None
    approval: Approval | None = None
