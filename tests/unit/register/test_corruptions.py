"""Corrupted images before the gate: what it counts, decides and says, and how often it errs.

"Equal" is equal in every respect: of two models' predictions for an image, clean and corrupted, it is drawn which made
which.
"""

from collections.abc import Iterator

import numpy as np
import pytest
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from cnn_model import corruptions
from cnn_model.class_names import CLASS_NAMES
from cnn_model.results import CorruptionScore, Interval
from tasks.register.config import RegisterConfig
from tasks.register.corruptions import CorruptedImages, CorruptionEvidence, Recognised
from tasks.register.evidence import Opponent, TestImages
from tasks.register.gate import decide
from tasks.store import Reference
from tasks.values.decision import Decision
from tasks.values.robustness import Robustness


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Thousands of small matrix products; threads would wait for one another, the more so beside other tests."""
    with threadpool_limits(1, user_api="blas"):
        yield


def recognised(correct: np.ndarray, positions: np.ndarray | None = None) -> Recognised:
    """One model, by what it recognises: ndarray of shape (10, 3, num_images)."""
    num_images = correct.shape[-1]
    mean = float(correct.mean())
    figures = Robustness(
        artifact=Reference(digest="0" * 64, size_bytes=1),
        test_digest="t",
        num_images=num_images,
        clean_accuracy=0.9,
        mean_accuracy=Interval(value=mean, low=mean, high=mean),
        scores=tuple(
            CorruptionScore(corruption=name, severity=severity, accuracy=float(accuracy))
            for name, row in zip(corruptions.NAMES, correct.mean(axis=-1), strict=True)
            for severity, accuracy in zip(corruptions.SEVERITIES, row, strict=True)
        ),
    )
    return Recognised(figures, np.arange(num_images) if positions is None else positions, correct)


def shared(num_images: int, *counts: int) -> np.ndarray:
    """Of each image as many corrupted forms are recognised as the counts say, in turn."""
    wanted = np.resize(counts, num_images)
    return (np.arange(30)[:, None] < wanted).reshape(10, 3, num_images)


def judge(corrupted: CorruptedImages | None, num_images: int = 1000, **rule: object) -> Decision:
    """Two models that are the same on clean images."""
    labels = (np.arange(num_images) % 10).astype(np.uint8)
    probabilities = np.full((num_images, 10), 0.01, np.float32)
    probabilities[np.arange(num_images), np.where(np.arange(num_images) < 100, (labels + 1) % 10, labels)] = 0.91
    images = TestImages(labels, np.ones(num_images, np.bool_), CLASS_NAMES)
    champion = Opponent(3, probabilities)
    chosen = RegisterConfig.model_validate({"margin": 0.05, **rule})
    return decide(probabilities, images, champion, None, chosen, 200, corrupted)


def guard_of(decision: Decision) -> tuple[bool, bool]:
    """Whether the guard holds, and whether it decides."""
    (found,) = [guard for guard in decision.guards if guard.name == "corruptions"]
    return found.passed, found.decides


# What it counts.


def test_the_test_by_hand() -> None:
    """Four images: 12, 15, 9 and 15 of 30 forms against 15 each time."""
    evidence = CorruptionEvidence(recognised(shared(4, 12, 15, 9, 15)), recognised(shared(4, 15)), max_drop=0.01)
    differences = np.array([-0.1, 0, -0.2, 0])
    assert evidence.difference == pytest.approx(-0.075)
    sums = evidence.sums(np.ones((1, 4), np.float32))
    assert sums == pytest.approx([-0.3])
    error = np.sqrt(differences.var() / 4)
    assert evidence.worse_p(sums) == pytest.approx([norm.sf((0.075 - 0.01) / error)], rel=1e-4)


def test_swapping_an_image_swaps_all_its_forms_and_leaves_others_alone() -> None:
    positions = np.array([1, 4])
    evidence = CorruptionEvidence(
        recognised(shared(2, 12, 9), positions), recognised(shared(2, 15), positions), max_drop=0
    )
    signs = np.ones((3, 6), np.float32)
    signs[1, 1] = signs[2, 0] = -1
    assert evidence.sums(signs) == pytest.approx([-0.3, -0.1, -0.3])


def test_the_decision_has_both_models_and_their_difference() -> None:
    better, worse = recognised(shared(500, 20, 10)), recognised(shared(500, 17, 10))
    decision = judge(CorruptedImages(better, worse))
    assert decision.robustness is not None
    assert (decision.robustness.challenger, decision.robustness.champion) == (better.figures, worse.figures)
    figure = decision.robustness.mean_accuracy
    assert (figure.challenger.value, figure.champion.value) == pytest.approx((0.5, 0.45))
    assert figure.difference.value == pytest.approx(0.05)
    # The paired difference is 0 or 0.1, so its deviation is 0.05, where that of either model is thrice as large.
    half = 1.96 * 0.05 / 500**0.5
    assert (figure.difference.low, figure.difference.high) == pytest.approx((0.05 - half, 0.05 + half), abs=1e-3)
    assert guard_of(decision) == (True, False)
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


# What it decides and says.


def test_a_model_that_is_worse_is_only_told_of_unless_a_drop_is_set() -> None:
    corrupted = CorruptedImages(recognised(shared(1000, 15, 12)), recognised(shared(1000, 15, 15)))
    told = judge(corrupted)
    assert told.promote
    assert guard_of(told) == (False, False)
    assert told.guards[-1].sentence == "its accuracy on corrupted images is significantly worse (-5.00 points)"
    refused = judge(corrupted, max_drop=0.02)
    assert not refused.promote
    assert guard_of(refused) == (False, True)
    assert refused.sentence.startswith(
        "Not promoted: its accuracy on corrupted images is significantly worse by more than 2.00 points "
        "(-5.00 points). +0.00 points against the champion, version 3"
    )
    assert judge(corrupted, max_drop=0.05).promote
    forced = judge(corrupted, max_drop=0.02, policy="force", actor="Jane Doe", reason="The new cameras")
    assert forced.promote
    assert "Against the gate: its accuracy on corrupted images is significantly worse" in forced.sentence


def test_no_drop_at_all_may_be_asked_for_and_equal_models_pass() -> None:
    same = recognised(shared(1000, 15, 12))
    decision = judge(CorruptedImages(same, same), max_drop=0)
    assert decision.promote
    assert guard_of(decision) == (True, True)


@pytest.mark.parametrize(
    ("corrupted", "why"),
    [
        (CorruptedImages(recognised(shared(9, 5)), None, "Timed out."), "Timed out"),
        (CorruptedImages(None, None, "Timed out."), "Timed out"),
        (
            CorruptedImages(recognised(shared(9, 5)), recognised(shared(9, 5), np.arange(1, 10))),
            "the two models were scored on different corrupted images",
        ),
        (
            CorruptedImages(recognised(shared(9, 5)), recognised(shared(8, 5))),
            "the two models were scored on different corrupted images",
        ),
        (None, "evaluate.corruption_images is 0"),
    ],
)
def test_without_a_comparison_a_drop_cannot_be_held_and_nothing_else_stops(
    corrupted: CorruptedImages | None, why: str
) -> None:
    told = judge(corrupted)
    assert told.promote
    assert told.robustness is None
    assert told.power_for_equal is not None
    if corrupted is None:
        assert "corruptions" not in {guard.name for guard in told.guards}
    else:
        assert guard_of(told) == (False, False)
        assert told.guards[-1].sentence == f"it is not compared with the champion on corrupted images ({why})"
    refused = judge(corrupted, max_drop=0.02)
    assert not refused.promote
    assert refused.power_for_equal is None
    assert refused.sentence.startswith(
        f"Not promoted: without a comparison on corrupted images ({why}) register.max_drop cannot be held. +0.00 "
    )
    assert judge(corrupted, max_drop=0.02, policy="force", actor="Jane Doe", reason="It is lost").promote


def test_the_first_model_has_nothing_to_drop_from() -> None:
    labels = (np.arange(100) % 10).astype(np.uint8)
    probabilities = np.eye(10, dtype=np.float32)[labels]
    images = TestImages(labels, np.ones(100, np.bool_), CLASS_NAMES)
    alone = CorruptedImages(recognised(shared(100, 3)), None)
    decision = decide(probabilities, images, None, None, RegisterConfig(max_drop=0.01), 50, alone)
    assert (decision.promote, decision.basis, decision.robustness) == (True, "first", None)


# How often it errs.

NUM_IMAGES, NUM_SAMPLED = 2000, 1000
LABELS = (np.arange(NUM_IMAGES) % 10).astype(np.uint8)
IMAGES = TestImages(LABELS, np.ones(NUM_IMAGES, np.bool_), CLASS_NAMES)


def draw(rng: np.random.Generator, drop: float) -> tuple[list[np.ndarray], list[Recognised]]:
    """Two models that are equal on clean images, of which the first loses `drop` under corruption.

    They are unlike in the same images, clean and corrupted, as two trainings are.
    """
    hard = rng.beta(2, 2, NUM_IMAGES)
    odd = rng.normal(0, 0.12, (2, NUM_IMAGES))
    right = [rng.random(NUM_IMAGES) < np.clip(1 - 0.25 * hard + part, 0.02, 1) for part in odd]
    swap = rng.random(NUM_IMAGES) < 0.5
    right = [np.where(swap, *pair) for pair in (right, right[::-1])]
    probabilities = []
    for found in right:
        given = np.full((NUM_IMAGES, 10), 0.02, np.float32)
        given[np.arange(NUM_IMAGES), np.where(found, LABELS, (LABELS + 1) % 10)] = 0.82
        probabilities.append(given)
    positions = np.sort(rng.choice(NUM_IMAGES, NUM_SAMPLED, replace=False))
    shares = np.clip(1 - hard + odd, 0.05, 0.95)
    shares = np.where(swap, shares, shares[::-1])[:, positions]
    shares[0] -= drop
    correct = [rng.random((10, 3, NUM_SAMPLED)) < np.clip(share, 0, 1) for share in shares]
    return probabilities, [recognised(given, positions) for given in correct]


def simulated(drop: float, num_trials: int, **rule: object) -> list[Decision]:
    rng = np.random.default_rng(20261121)
    chosen = RegisterConfig.model_validate({"margin": 0.05, "classes": "report", "calibration": "report", **rule})
    found = []
    for _ in range(num_trials):
        (first, second), (one, other) = draw(rng, drop)
        found.append(decide(first, IMAGES, Opponent(2, second), None, chosen, 20, CorruptedImages(one, other)))
    return found


def share_promoted(decisions: list[Decision]) -> float:
    return sum(decision.promote for decision in decisions) / len(decisions)


def mean_power(decisions: list[Decision]) -> float:
    return float(np.mean([decision.power_for_equal or 0 for decision in decisions]))


def test_an_equal_model_is_promoted_as_often_as_is_printed() -> None:
    decisions = simulated(0.0, 500, max_drop=0)
    printed = mean_power(decisions)
    held = np.mean([guard_of(decision)[0] for decision in decisions])
    assert held == pytest.approx(0.95, abs=0.03)
    assert share_promoted(decisions) == pytest.approx(printed, abs=0.03)
    # The guard shows in the power.
    assert printed < mean_power(simulated(0.0, 100)) - 0.02


def test_a_model_that_is_worse_by_just_the_drop_is_let_through_and_one_far_below_is_not() -> None:
    at_the_bound = simulated(0.03, 300, max_drop=0.03)
    assert np.mean([not guard_of(decision)[0] for decision in at_the_bound]) <= 0.05 + 0.03
    assert share_promoted(simulated(0.06, 100, max_drop=0.03)) < 0.05
