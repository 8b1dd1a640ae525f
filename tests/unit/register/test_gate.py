"""The gate as a function of arrays: what it decides, what it says, and how often it errs.

Simulated models are drawn image by image. "Equal" is equal in every respect: of two predictions for an image it is
drawn which model made which.
"""

import re

import numpy as np
import pytest

from cnn_model.class_names import CLASS_NAMES
from tasks.register.config import RegisterConfig
from tasks.register.evidence import Opponent, TestImages
from tasks.register.gate import decide
from tasks.values.decision import Decision

Probabilities = np.ndarray


def make_images(num_images: int, num_near_duplicates: int = 0) -> TestImages:
    labels = (np.arange(num_images) % 10).astype(np.uint8)
    return TestImages(labels, np.arange(num_images) >= num_near_duplicates, CLASS_NAMES)


def predict(right: np.ndarray, labels: np.ndarray, confidences: np.ndarray | float = 0.9) -> Probabilities:
    """Probabilities of a model that is right where it says so, and otherwise takes the next class."""
    confidences = np.broadcast_to(confidences, right.shape).astype(np.float32)
    probabilities = np.repeat((1 - confidences)[:, None] / 9, 10, axis=1)
    probabilities[np.arange(len(right)), np.where(right, labels, (labels + 1) % 10)] = confidences
    return probabilities


def right(num_images: int, *wrong: range) -> np.ndarray:
    """Right everywhere but there."""
    found = np.ones(num_images, np.bool_)
    for part in wrong:
        found[part] = False
    return found


def judge(challenger: np.ndarray, champion: np.ndarray, images: TestImages, **rule: object) -> Decision:
    """Decide between models that are right where these say so."""
    return decide(
        predict(challenger, images.labels),
        images,
        Opponent(3, predict(champion, images.labels)),
        None,
        RegisterConfig.model_validate(rule),
        num_resamples=200,
    )


def draw_models(rng: np.random.Generator, images: TestImages) -> list[Probabilities]:
    """Three models of about 88 % accuracy, calibrated, that differ in about 3 % of the images; the first two equal."""
    num_images = len(images.labels)
    confidences = rng.uniform(0.76, 1, (3, num_images))
    # Most of what a model gets wrong is wrong for all; the rest is its own luck.
    luck = np.where(rng.random((3, num_images)) < 0.17, rng.random((3, num_images)), rng.random(num_images))
    first, second, third = (
        predict(own < given, images.labels, given) for own, given in zip(luck, confidences, strict=True)
    )
    swap = rng.random((num_images, 1)) < 0.5
    return [np.where(swap, first, second), np.where(swap, second, first), third]


def in_points(decision: Decision) -> str:
    """The interval as the sentence has it."""
    difference = decision.comparisons[0].accuracy.difference
    return f"[{100 * difference.low:+.2f}, {100 * difference.high:+.2f}]"


# What it decides and says.


def test_the_first_model_is_promoted_when_it_reaches_the_floor() -> None:
    images = make_images(1000)
    challenger = predict(right(1000, range(200)), images.labels)
    first = decide(challenger, images, None, None, RegisterConfig(min_accuracy=0.8))
    assert (first.promote, first.basis, first.comparisons) == (True, "first", ())
    assert first.sentence.startswith("Promoted: the first model, accuracy 80.00 %, 95 % interval 77.")
    low = decide(challenger, images, None, None, RegisterConfig(min_accuracy=0.81))
    assert not low.promote
    assert low.sentence == "Not promoted: accuracy 80.00 % is below the floor of 81.00 %."


def test_improve_promotes_what_is_better_and_says_by_how_much() -> None:
    images = make_images(10_000)
    decision = judge(right(10_000, range(1000)), right(10_000, range(900, 2020)), images, policy="improve")
    assert decision.promote
    assert decision.sentence.startswith("Promoted: +1.20 points against the champion, version 3, 95 % interval [+0.")
    (comparison,) = decision.comparisons
    assert (comparison.num_wins, comparison.num_losses) == (1020, 900)
    assert comparison.mcnemar_p == pytest.approx(0.0066, abs=5e-4)


def test_improve_refuses_a_small_difference_and_says_which_it_would_have_found() -> None:
    images = make_images(10_000)
    challenger, champion = right(10_000, range(600)), right(10_000, range(300, 921))
    assert judge(challenger, champion, images).promote  # the default is refresh: it is not worse
    decision = judge(challenger, champion, images, policy="improve")
    assert not decision.promote
    assert decision.sentence == (
        f"Not promoted: +0.21 points against the champion, version 3, 95 % interval {in_points(decision)}; a "
        "difference of 0.70 points would have been found with 80 % probability."
    )
    low, high = (getattr(decision.comparisons[0].accuracy.difference, bound) for bound in ("low", "high"))
    assert (low, high) == pytest.approx((0.0021 - 0.0049, 0.0021 + 0.0049), abs=7e-4)
    assert decision.comparisons[0].detectable_difference == pytest.approx(0.00698, abs=5e-5)


def test_refresh_refuses_what_may_be_worse_by_the_margin() -> None:
    images = make_images(10_000)
    champion = right(10_000, range(600))
    assert judge(right(10_000, range(20, 640)), champion, images).promote
    worse = judge(right(10_000, range(20, 720)), champion, images, calibration="report")
    assert not worse.promote
    assert worse.sentence.startswith(
        "Not promoted: it is not excluded that it is worse than the champion by 1.00 points. -1.00 points against "
    )
    assert "An equal model is promoted with " in worse.sentence
    assert judge(right(10_000, range(20, 720)), champion, images, margin=0.02, calibration="report").promote


def test_the_verdict_must_hold_without_near_duplicates_too() -> None:
    """All that the challenger gained are test images that it may have seen."""
    images = make_images(10_000, num_near_duplicates=400)
    champion = right(10_000, range(300), range(5000, 5300))
    challenger = right(10_000, range(5000, 5300), range(6000, 6100))
    assert judge(challenger, champion, make_images(10_000), policy="improve", classes="report").promote
    decision = judge(challenger, champion, images, policy="improve", classes="report")
    assert not decision.promote
    assert decision.sentence.startswith(
        "Not promoted: it is not shown to be better than the champion on the 9,600 test images without near-duplicate "
        "in train. +2.00 points against the champion, version 3, 95 % interval [+1."
    )
    assert [comparison.num_images for comparison in decision.comparisons] == [10_000, 9_600]
    assert [comparison.accuracy.difference.value > 0 for comparison in decision.comparisons] == [True, False]


def test_a_class_that_got_worse_is_named_and_stands_in_the_way() -> None:
    images = make_images(10_000)
    cats = images.labels == 3
    champion, challenger = right(10_000, range(600)), right(10_000, range(600))
    challenger[np.flatnonzero(cats)[100:130]] = False
    challenger[~cats & (np.arange(10_000) < 60)] = True
    decision = judge(challenger, champion, images)
    assert not decision.promote
    assert "significantly worse at cat (-3.00 points)" in decision.sentence
    assert [found.class_name for found in decision.classes if found.worse] == ["cat"]
    assert judge(challenger, champion, images, classes="report").promote
    few = judge(challenger, champion, images, min_class_images=1001)
    assert few.promote
    assert {found.worse_p for found in few.classes} == {None}


def test_probabilities_that_got_worse_stand_in_the_way() -> None:
    images = make_images(10_000)
    rng = np.random.default_rng(1)
    confidences = rng.uniform(0.8, 1, 10_000)
    model = rng.random(10_000) < confidences
    sound, sure = (predict(model, images.labels, given) for given in (confidences, 1 - (1 - confidences) / 10))
    decision = decide(sure, images, Opponent(3, sound), None, RegisterConfig(), 50)
    assert not decision.promote
    assert "its probabilities are significantly worse (calibration error +0.0" in decision.sentence
    assert decision.comparisons[0].calibration_error.difference.value == pytest.approx(0.09, abs=0.01)
    assert decide(sound, images, Opponent(3, sure), None, RegisterConfig(), 50).promote
    report = decide(sure, images, Opponent(3, sound), None, RegisterConfig(calibration="report"), 50)
    assert report.promote
    assert [guard.name for guard in report.guards if not guard.passed] == ["calibration"]


def test_refreshes_are_held_to_the_anchor() -> None:
    images = make_images(10_000)
    anchor, champion, challenger = (right(10_000, range(wrong)) for wrong in (600, 680, 690))
    now, earlier = (Opponent(version, predict(model, images.labels)) for version, model in ((2, champion), (1, anchor)))
    given = predict(challenger, images.labels)
    assert decide(given, images, now, None, RegisterConfig(classes="report"), 50).promote
    decision = decide(given, images, now, earlier, RegisterConfig(classes="report"), 50)
    assert not decision.promote
    assert "the last champion that no refresh chose, version 1 (-0.90 points)" in decision.sentence
    assert [comparison.opponent for comparison in decision.comparisons] == ["champion", "anchor"]


def test_never_promotes_nothing_and_force_everything_with_its_trace() -> None:
    images = make_images(1000)
    worse, champion = right(1000, range(500)), right(1000)
    assert not judge(champion, worse, images, policy="never").promote
    assert not decide(predict(champion, images.labels), images, None, None, RegisterConfig(policy="never")).promote
    forced = judge(worse, champion, images, policy="force", actor="Jane Doe", reason="The new cameras.")
    assert (forced.promote, forced.basis, forced.actor, forced.reason) == (
        True,
        "force",
        "Jane Doe",
        "The new cameras.",
    )
    assert forced.sentence.startswith("Promoted: by force, by Jane Doe: The new cameras. -50.00 points against ")
    assert "Against the gate: it is not excluded" in forced.sentence
    for missing in ({"actor": "Jane Doe"}, {"reason": "because"}):
        with pytest.raises(ValueError, match="needs a reason and an actor"):
            RegisterConfig(policy="force", **missing)


@pytest.mark.parametrize("policy", ["refresh", "improve"])
def test_without_a_comparison_nothing_is_promoted_but_by_force(policy: str) -> None:
    images = make_images(1000)
    given, lost = predict(right(1000), images.labels), Opponent(3, None, "The artifact 0123 is missing.")
    decision = decide(given, images, lost, None, RegisterConfig.model_validate({"policy": policy}))
    assert (decision.promote, decision.power_for_equal) == (False, None)
    assert "version 3, which it must be compared with, cannot be scored (The artifact 0123 is missing)" in (
        decision.sentence
    )
    forced = RegisterConfig(policy="force", actor="Jane Doe", reason="It is lost")
    assert decide(given, images, lost, None, forced).promote


def test_an_anchor_that_cannot_be_scored_stands_in_the_way_of_a_refresh_alone() -> None:
    images = make_images(10_000)
    model = predict(right(10_000, range(600)), images.labels)
    lost = Opponent(1, None, "gone")
    refused = decide(model, images, Opponent(3, model), lost, RegisterConfig(), 50)
    assert not refused.promote
    assert "version 1, which it must be compared with, cannot be scored (gone)" in refused.sentence
    assert refused.power_for_equal is None
    better = predict(right(10_000, range(300)), images.labels)
    assert decide(better, images, Opponent(3, model), lost, RegisterConfig(policy="improve"), 50).promote


def test_champions_whose_predictions_cannot_be_compared_count_as_not_scored() -> None:
    images = make_images(1000)
    model = predict(right(1000), images.labels)
    for wrong, why in ((model[:, :9], r"the shape \(1000, 9\)"), (np.full_like(model, np.nan), "no numbers")):
        decision = decide(model, images, Opponent(3, wrong), None, RegisterConfig())
        assert not decision.promote
        assert re.search(why, decision.sentence)
        with pytest.raises(ValueError, match=why):
            decide(wrong, images, Opponent(3, model), None, RegisterConfig())


def test_a_decision_is_the_same_for_any_number_of_resamples_and_survives_json() -> None:
    images = make_images(2000, 80)
    first, second, _ = draw_models(np.random.default_rng(5), images)
    few, many = (decide(first, images, Opponent(3, second), None, RegisterConfig(), number) for number in (10, 2000))
    assert few.promote == many.promote
    assert few.guards == many.guards
    assert Decision.model_validate_json(many.model_dump_json()) == many


# How often it errs.

NUM_TRIALS = 2000
TRIAL_IMAGES = make_images(2000, 80)


def simulated(policy: str, num_trials: int, num_resamples: int, *, anchor: bool = False) -> list[Decision]:
    """Decisions about pairs of equal models, where wanted beside an anchor that is as good."""
    rng = np.random.default_rng(20261121)
    # 2,000 images see 2.2 points as 10,000 see one.
    rule = RegisterConfig.model_validate({"policy": policy, "margin": 0.022})
    found = []
    for _ in range(num_trials):
        challenger, champion, third = draw_models(rng, TRIAL_IMAGES)
        other = Opponent(1, third) if anchor else None
        found.append(decide(challenger, TRIAL_IMAGES, Opponent(2, champion), other, rule, num_resamples))
    return found


def share_promoted(decisions: list[Decision]) -> float:
    return sum(decision.promote for decision in decisions) / len(decisions)


def test_improve_promotes_an_equal_model_in_at_most_a_twentieth_of_the_trials() -> None:
    share = share_promoted(simulated("improve", NUM_TRIALS, num_resamples=2))
    assert 0 < share <= 0.05 + 2 * (0.05 * 0.95 / NUM_TRIALS) ** 0.5


@pytest.mark.parametrize("anchor", [False, True])
def test_refresh_promotes_an_equal_model_as_often_as_it_prints(anchor: bool) -> None:
    decisions = simulated("refresh", 600, num_resamples=20, anchor=anchor)
    printed = np.mean([decision.power_for_equal for decision in decisions])
    assert share_promoted(decisions) == pytest.approx(printed, abs=0.03)
    assert 0.5 < printed < 0.99
