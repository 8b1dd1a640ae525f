"""Decides whether a model becomes champion. First form: higher accuracy on the same test images."""

from dataclasses import dataclass

from tasks.ledger import LedgerEntry
from tasks.values.evaluation import Evaluation


@dataclass(frozen=True)
class Decision:
    """Whether to promote, and why in one sentence."""

    promote: bool
    sentence: str


def decide(evaluation: Evaluation, champion: LedgerEntry | None, min_accuracy: float) -> Decision:
    """Compare a model with the champion.

    Args:
        evaluation: The model's figures.
        champion: The ledger's last entry, or None before the first promotion.
        min_accuracy: No model below this is promoted, 0 to 1.
    """
    accuracy = evaluation.result.accuracy
    percent = f"{100 * accuracy.value:.2f} %"
    if accuracy.value < min_accuracy:
        return Decision(False, f"Not promoted: accuracy {percent} is below the floor of {100 * min_accuracy:.2f} %.")
    if champion is None:
        interval = f"95 % interval {100 * accuracy.low:.2f} to {100 * accuracy.high:.2f} %"
        return Decision(True, f"Promoted: the first model, accuracy {percent}, {interval}.")
    if champion.test_digest != evaluation.test_digest:
        return Decision(
            False, f"Not promoted: the champion, version {champion.version}, was scored on other test images."
        )
    difference = 100 * (accuracy.value - champion.accuracy)
    against = (
        f"{difference:+.2f} points against the champion, version {champion.version} "
        f"({percent} after {100 * champion.accuracy:.2f} %)"
    )
    return Decision(difference > 0, f"{'Promoted' if difference > 0 else 'Not promoted'}: {against}.")
