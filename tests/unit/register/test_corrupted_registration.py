"""Corrupted images in the registry: figures, what a drop decides, and when a model is judged anew."""

import numpy as np
import pytest

from cnn_model.results import Interval
from tasks import store
from tasks.errors import RegistryError
from tasks.register.config import RegisterConfig
from tasks.registry import Registry
from tasks.store import Store
from tasks.values.robustness import Robustness, RobustnessPair
from tests.unit.register.test_registration import register

STRICT = RegisterConfig(policy="improve", max_drop=0.01)


def scored(accuracy: float, test_digest: str = "t") -> Robustness:
    """A model that recognises the first of 200 images in all their forms."""
    correct = np.broadcast_to(np.arange(200) < round(200 * accuracy), (10, 3, 200))
    with store.current().staging() as folder:
        np.save(folder / "correct.npy", correct)
        np.save(folder / "positions.npy", np.arange(0, 1000, 5))
        artifact = store.current().publish(folder)
    return Robustness(
        artifact=artifact,
        test_digest=test_digest,
        num_images=200,
        clean_accuracy=0.9,
        mean_accuracy=Interval(value=accuracy, low=accuracy - 0.05, high=accuracy + 0.05),
        scores=(),
    )


def test_the_mean_accuracy_is_recorded_and_decides_nothing_by_itself(opened_store: Store) -> None:
    register(0.5, "a", robustness=RobustnessPair(challenger=scored(0.6), champion=None))
    second = register(0.9, "b", robustness=RobustnessPair(challenger=scored(0.4), champion=scored(0.6)))
    third = register(0.8, "c")
    assert (second.verdict, third.verdict) == ("promoted", "refused")
    assert second.decision is not None
    assert second.decision.robustness is not None
    assert second.decision.robustness.mean_accuracy.difference.value == pytest.approx(-0.2)
    found = [Registry()._client.get_run(run.run_id).data.metrics for run in (second, third)]
    names = ("corrupted_accuracy", "corrupted_accuracy_low", "corrupted_accuracy_high")
    assert [found[0][name] for name in names] == pytest.approx([0.4, 0.35, 0.45])
    assert not [name for name in found[1] if name.startswith("corrupted")]


def test_with_a_drop_set_what_is_worse_is_refused_and_what_is_not_is_promoted(opened_store: Store) -> None:
    register(0.5, "a")
    worse = register(0.9, "b", rule=STRICT, robustness=RobustnessPair(challenger=scored(0.4), champion=scored(0.6)))
    assert worse.verdict == "refused"
    assert "its accuracy on corrupted images is significantly worse by more than 1.00 points (-20.00 points)" in (
        worse.sentence
    )
    same = register(0.9, "c", rule=STRICT, robustness=RobustnessPair(challenger=scored(0.6), champion=scored(0.6)))
    assert same.verdict == "promoted"


def test_once_the_champion_can_be_scored_the_model_is_judged_anew(opened_store: Store) -> None:
    register(0.5, "a")
    lost = RobustnessPair(challenger=scored(0.6), champion=None, problem="Timed out.")
    for pair, why in ((lost, "Timed out"), (None, "evaluate.corruption_images is 0")):
        refused = register(0.9, "b", rule=STRICT, robustness=pair)
        assert refused.verdict == "refused"
        assert f"without a comparison on corrupted images ({why}) register.max_drop cannot be held" in refused.sentence
    both = RobustnessPair(challenger=scored(0.6), champion=scored(0.6))
    assert register(0.9, "b", rule=STRICT, robustness=both).verdict == "promoted"


def test_without_a_drop_corrupted_images_judge_no_model_anew(opened_store: Store) -> None:
    register(0.5, "a")
    assert register(0.4, "b").verdict == "refused"
    pair = RobustnessPair(challenger=scored(0.6), champion=scored(0.4))
    assert register(0.4, "b", robustness=pair).verdict == "unchanged"


def test_samples_of_other_test_images_are_never_compared(opened_store: Store) -> None:
    register(0.5, "a")
    with pytest.raises(RegistryError, match=r"scored on the test images t, u; expected t"):
        register(0.9, "b", robustness=RobustnessPair(challenger=scored(0.6), champion=scored(0.6, "u")))
