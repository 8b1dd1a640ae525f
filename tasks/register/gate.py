"""The gate: whether a model becomes champion, decided on predictions of the same test images. Arrays in, decision out.

Knows nothing of the store, the ledger or MLflow.
"""

import numpy as np

from cnn_model.metrics import Probabilities, accuracy_interval
from cnn_model.results import Interval
from tasks.register.comparisons import compare
from tasks.register.config import RegisterConfig
from tasks.register.corruptions import CorruptedImages, CorruptionEvidence
from tasks.register.evidence import LEVEL, Evidence, Opponent, TestImages, points
from tasks.values.decision import Basis, ClassComparison, Comparison, Decision, Guard

NUM_RESAMPLES = 2000


def decide(
    challenger: Probabilities,
    images: TestImages,
    champion: Opponent | None,
    anchor: Opponent | None,
    rule: RegisterConfig,
    num_resamples: int = NUM_RESAMPLES,
    corrupted: CorruptedImages | None = None,
) -> Decision:
    """Decide whether a model becomes champion.

    Args:
        challenger: Its probabilities, ndarray of shape (num_images, num_classes).
        images: The test images.
        champion: Whom it is to replace; None before the first promotion.
        anchor: The last champion that was not chosen by a refresh; None where that is the champion.
        rule: The policy and its bounds.
        num_resamples: For intervals and power; the decision does not hang on it.
        corrupted: The new model and the champion on corrupted images; None where no image was corrupted.

    Raises:
        ValueError: if the arrays are not of the same images and classes.
    """
    champion, anchor = _usable(champion, images), _usable(anchor, images)
    if _problem(challenger, images) or images.distinct.shape != images.labels.shape:
        raise ValueError(
            f"got a mask of shape {images.distinct.shape}, labels of shape {images.labels.shape} and probabilities: "
            f"{_problem(challenger, images) or 'as expected'}; expected finite probabilities, a label and a mark for "
            "each image; evaluate the model on these test images"
        )
    num_correct = int((challenger.argmax(axis=1) == images.labels).sum())
    accuracy = accuracy_interval(num_correct, len(images.labels))
    floor = _floor(accuracy, rule)
    if champion is None:
        return _conclude(rule, "first", (floor,), f"the first model, accuracy {_percent(accuracy)}.")
    unscored = [
        Guard(
            name="champion",
            passed=False,
            decides=True,
            sentence=f"version {opponent.version}, which it must be compared with, cannot be scored "
            f"({opponent.problem.rstrip('.')})",
        )
        for opponent in (champion, anchor if rule.policy == "refresh" else None)
        if opponent is not None and opponent.probabilities is None
    ]
    if champion.probabilities is None:
        return _conclude(rule, rule.policy, (floor, *unscored), f"accuracy {_percent(accuracy)}.")
    scored_anchor = anchor if anchor is not None and anchor.probabilities is not None else None
    corruptions = _under_corruption(corrupted, rule)
    uncompared = [] if corruptions is not None else _uncompared(corrupted, rule)
    evidence = Evidence(challenger, images, champion, scored_anchor, corruptions, rule)
    guards = (floor, *unscored, *evidence.guards(), *uncompared)
    comparisons = tuple(compare(challenger, images, champion, scored_anchor, rule.margin, num_resamples))
    unscored += [guard for guard in uncompared if guard.decides]
    compared = rule.policy in ("refresh", "improve") and not unscored
    power = evidence.power_for_equal(num_resamples) if compared else None
    decision = _conclude(
        rule, rule.policy, guards, _evidence(comparisons[0]), comparisons, evidence.class_comparisons(), power
    )
    robustness = corruptions.comparison(num_resamples) if corruptions is not None else None
    return decision.model_copy(update={"robustness": robustness})


def _under_corruption(corrupted: CorruptedImages | None, rule: RegisterConfig) -> CorruptionEvidence | None:
    """What both models make of the same corrupted images, where they were asked."""
    if corrupted is None or corrupted.both is None:
        return None
    return CorruptionEvidence(*corrupted.both, max_drop=rule.max_drop or 0.0)


def _uncompared(corrupted: CorruptedImages | None, rule: RegisterConfig) -> list[Guard]:
    """That the models are not compared on corrupted images; nothing, where nobody asked for that."""
    if corrupted is None and rule.max_drop is None:
        return []
    why = corrupted.obstacle if corrupted is not None else "evaluate.corruption_images is 0"
    sentence = f"without a comparison on corrupted images ({why}) register.max_drop cannot be held"
    if rule.max_drop is None:
        sentence = f"it is not compared with the champion on corrupted images ({why})"
    return [Guard(name="corruptions", passed=False, decides=rule.max_drop is not None, sentence=sentence)]


def _usable(opponent: Opponent | None, images: TestImages) -> Opponent | None:
    """The opponent, without probabilities that cannot be compared."""
    if opponent is None or opponent.probabilities is None:
        return opponent
    problem = _problem(opponent.probabilities, images)
    return Opponent(opponent.version, None, problem) if problem else opponent


def _problem(probabilities: Probabilities, images: TestImages) -> str:
    """What is wrong with predictions; empty where nothing is."""
    wanted = (len(images.labels), len(images.class_names))
    if probabilities.shape != wanted or not len(images.labels):
        return f"its probabilities have the shape {probabilities.shape}, where {wanted} is expected"
    return "" if np.isfinite(probabilities).all() else "some of its probabilities are no numbers"


def _conclude(
    rule: RegisterConfig,
    basis: Basis,
    guards: tuple[Guard, ...],
    found: str,
    comparisons: tuple[Comparison, ...] = (),
    classes: tuple[ClassComparison, ...] = (),
    power: float | None = None,
) -> Decision:
    """Weigh the guards by the policy, and say so."""
    if rule.policy in ("never", "force"):
        basis = rule.policy
    against = [guard for guard in guards if guard.decides and not guard.passed]
    forced = rule.policy == "force"
    promote = forced or (rule.policy != "never" and not against)
    objections = "; ".join(guard.sentence for guard in against)
    parts = [found]
    if forced:
        parts = [f"by force, by {rule.actor}: {(rule.reason or '').rstrip('.')}. {_upper(found)}"]
        parts += [f"Against the gate: {objections}."] if objections else []
    elif rule.policy == "never":
        parts = [f"the policy is never. {_upper(found)}"]
    elif basis == "first":
        parts = [found] if promote else [f"{objections}."]
    elif promote:
        parts += [_power(rule, power)]
    elif [guard.name for guard in against] == ["accuracy"] and basis == "improve" and not _is_better(comparisons[0]):
        parts = [
            f"{found[:-1]}; a difference of {points(comparisons[0].detectable_difference)} would have been "
            "found with 80 % probability."
        ]
    else:
        parts = [f"{objections}.", _upper(found), _power(rule, power)]
        if any(guard.name == "champion" for guard in against):
            parts += ["Bring that model back, or promote with the policy force."]
    return Decision(
        promote=promote,
        sentence=f"{'Promoted' if promote else 'Not promoted'}: {' '.join(part for part in parts if part)}",
        policy=rule.policy,
        basis=basis,
        margin=rule.margin,
        comparisons=comparisons,
        classes=classes,
        guards=guards,
        power_for_equal=power,
        actor=rule.actor if forced else None,
        reason=rule.reason if forced else None,
    )


def _floor(accuracy: Interval, rule: RegisterConfig) -> Guard:
    below = f"accuracy {100 * accuracy.value:.2f} % is below the floor of {100 * rule.min_accuracy:.2f} %"
    passed = accuracy.value >= rule.min_accuracy
    return Guard(name="floor", passed=passed, decides=True, sentence="" if passed else below)


def _is_better(comparison: Comparison) -> bool:
    """Whether it is, on these test images."""
    return comparison.mcnemar_p <= LEVEL and comparison.num_wins > comparison.num_losses


def _evidence(comparison: Comparison) -> str:
    """The difference in accuracy, such as "+0.21 points against the champion, version 3, 95 % interval ..."."""
    difference = comparison.accuracy.difference
    return (
        f"{points(difference.value, signed=True)} against the champion, version {comparison.version}, "
        f"95 % interval [{100 * difference.low:+.2f}, {100 * difference.high:+.2f}]."
    )


def _power(rule: RegisterConfig, power: float | None) -> str:
    if power is None or rule.policy != "refresh":
        return ""
    return f"An equal model is promoted with {100 * power:.0f} % probability."


def _percent(accuracy: Interval) -> str:
    return f"{100 * accuracy.value:.2f} %, 95 % interval {100 * accuracy.low:.2f} to {100 * accuracy.high:.2f} %"


def _upper(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
