"""Runs to report on: small ones, of real artifacts in a store of their own."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_model.class_names import CLASS_NAMES
from cnn_model.results import Interval
from tasks import machine, store
from tasks.machine import Machine
from tasks.register.config import RegisterConfig
from tasks.register.evidence import Opponent, TestImages
from tasks.register.gate import decide
from tasks.report.contents import ReportContents
from tasks.values.decision import PairedFigure, RobustnessComparison
from tasks.values.drops import Drop, DropOutcome, DropOutcomes
from tasks.values.evaluation import ExtraTestEvaluation
from tasks.values.execution import RunInfo, StepRecord
from tasks.values.model import TrainedModel
from tasks.values.opponents import Opponents, Predictions, ScoredChampion
from tasks.values.registration import Registration
from tasks.values.start import Start, StartChoice
from tasks.values.training import Training
from tasks.values.validation import DropVerdict, Validation
from tests.drops import noise, publish_drop
from tests.near_duplicates import publish_near_duplicates
from tests.unit.report.parts import (
    BLANK,
    CHECKS,
    HISTORY,
    NOT_RUN,
    NUM_IMAGES,
    NUM_TRAIN_IMAGES,
    PAIRS,
    RUN,
    TRAINED_AT,
    VERSIONS,
    make_evaluation,
    make_labels,
    publish_dataset,
    publish_drop_of,
    publish_probabilities,
    publish_robustness,
    publish_splits,
    step_records,
    take_for_next_class,
    training_result,
)


@pytest.fixture(autouse=True)
def opened(tmp_path: Path) -> Iterator[Machine]:
    with machine.use(Machine(store=tmp_path / "store")) as settings:
        yield settings


@pytest.fixture
def promoted() -> ReportContents:
    """A run that went through and promoted its model."""
    splits, evaluation = publish_splits(), make_evaluation()
    return ReportContents(
        run=RunInfo.model_validate(RUN),
        steps=step_records("ran", "ran", "cached", "ran", "ran", "ran", "not_run"),
        dataset=publish_dataset(),
        validation=Validation(
            artifact=splits.artifact,
            checks=CHECKS[:2],
            near_duplicates=publish_near_duplicates(store.current(), NUM_TRAIN_IMAGES, NUM_IMAGES, PAIRS),
        ),
        splits=splits,
        model=TrainedModel(artifact=evaluation.artifact, result=training_result(), trained_at=TRAINED_AT),
        evaluation=evaluation,
        registration=Registration(
            model_name="cifar10-cnn",
            version=3,
            verdict="promoted",
            sentence="Version 3 was promoted: 90.0 % is above the champion's 82.9 %.",
            champion_version=3,
            ledger_entry=17,
            run_id="0b1d2c3e",
        ),
        versions=VERSIONS,
    )


@pytest.fixture
def compared(promoted: ReportContents) -> ReportContents:
    """The same run, as the gate decides it beside version 2, which is wrong of eight images, and an anchor.

    Four images are newly wrong, six newly right, two wrong with both. There is a past, and a sample was corrupted.
    """
    assert promoted.evaluation is not None
    assert promoted.registration is not None
    probabilities = np.load(store.current().fetch(promoted.evaluation.artifact) / "probabilities.npy")
    champion = take_for_next_class(range(4, 12), 0.7)
    rule = RegisterConfig(margin=0.3, min_class_images=6)
    images = TestImages(make_labels(), np.arange(NUM_IMAGES) > 2, CLASS_NAMES)
    anchor = Opponent(1, take_for_next_class(range(10, 20), 0.7))
    decision = decide(probabilities, images, Opponent(2, champion), anchor, rule, 50)
    robustness, other = publish_robustness(0.8), publish_robustness(0.7)
    figures = {"challenger": robustness.mean_accuracy, "champion": other.mean_accuracy}
    difference = PairedFigure(**figures, difference=Interval(value=0.1, low=0.05, high=0.15))
    decision = decision.model_copy(
        update={
            "robustness": RobustnessComparison(challenger=robustness, champion=other, mean_accuracy=difference),
        }
    )
    predictions = Predictions(artifact=publish_probabilities(champion), test_digest="ab" * 32)
    run = promoted.run.model_copy(update={"configuration": {"register": rule.model_dump(mode="json")}})
    return promoted.model_copy(
        update={
            "run": run,
            "opponents": Opponents(champion=ScoredChampion(entry=2, version=2, predictions=predictions)),
            "robustness": robustness,
            "registration": promoted.registration.model_copy(
                update={
                    "decision": decision,
                    "sentence": decision.sentence,
                    "verdict": "promoted" if decision.promote else "refused",
                }
            ),
            "history": HISTORY,
        }
    )


@pytest.fixture
def warm(promoted: ReportContents) -> ReportContents:
    """The same run with a warm start, which was the worse one."""
    assert promoted.model is not None
    beaten = promoted.model.model_copy(
        update={"result": training_result(num_epochs=2), "start": promoted.model.artifact}
    )
    cold, other = Start(model=promoted.model), Start(model=beaten, champion_version=2)
    choice = StartChoice(starts=(cold, other), chosen=cold, sentence="The cold start goes on.")
    records = (*promoted.steps, StepRecord(name="warm start", outcome="ran", seconds=5))
    return promoted.model_copy(update={"start_choice": choice, "steps": records})


@pytest.fixture
def unchanged(promoted: ReportContents) -> ReportContents:
    """A run that took the model of an earlier one, three days before."""
    assert promoted.registration is not None
    training = Training(
        seed=20261118,
        seed_is_fixed=False,
        trained_at=TRAINED_AT,
        run_at=TRAINED_AT + timedelta(days=3),
        in_this_run=False,
        reason="",
        forced=False,
        max_model_age_days=30,
    )
    verdict = {"verdict": "unchanged", "sentence": "Unchanged: this model is version 3.", "ledger_entry": None}
    return promoted.model_copy(
        update={"training": training, "registration": promoted.registration.model_copy(update=verdict)}
    )


@pytest.fixture
def with_drops(promoted: ReportContents) -> ReportContents:
    """Two drops that were accepted, one that was not, one that waits."""
    assert promoted.dataset is not None
    counts = {name: 120 + label for label, name in enumerate(CLASS_NAMES)}
    drops = (
        DropOutcome(
            name="berlin", state="accepted", reason="", folder="/d/berlin", digest="ab" * 32, num_images=counts
        ),
        DropOutcome(
            name="bern",
            state="quarantined",
            reason="blank images: 40 of 1,240 images.",
            folder="/d/_quarantine/bern",
            digest="cd" * 32,
            num_images=counts,
            checks=(BLANK,),
            artifact=publish_drop(store.current(), noise(20)).artifact,
        ),
        DropOutcome(name="basel", state="waiting", reason="It has no _SUCCESS.", folder="/d/basel"),
    )
    assert promoted.validation is not None
    read = Drop(name="berlin", digest="ab" * 32, artifact=publish_drop_of(1245), num_images=1245)
    base = NUM_TRAIN_IMAGES + NUM_IMAGES
    pairs = [*PAIRS, (5, base + 15), (302, base + 1), (base + 2, base + 8), (305, base + 5)]
    found = publish_near_duplicates(store.current(), NUM_TRAIN_IMAGES, NUM_IMAGES, pairs, {read.digest: 1245})
    return promoted.model_copy(
        update={
            "drops": DropOutcomes(folder="/d", drops=drops),
            "dataset": promoted.dataset.model_copy(update={"drops": (read,)}),
            "validation": promoted.validation.model_copy(update={"near_duplicates": found}),
        }
    )


@pytest.fixture
def with_extra_test(promoted: ReportContents) -> ReportContents:
    """The same run with 60 images for testing only, no truck among them, and something to say of them."""
    assert promoted.dataset is not None
    assert promoted.validation is not None
    assert promoted.evaluation is not None
    counts = (12, *(6,) * 8, 0)
    result = promoted.evaluation.result
    per_class = tuple(
        metrics.model_copy(update={"num_images": count, "recall": 0.75 if count else 0.0})
        for metrics, count in zip(result.per_class, counts, strict=True)
    )
    accuracy = Interval(value=0.7167, low=0.592, high=0.8149)
    extra = Drop(name="cameras <1>", digest="ef" * 32, artifact=promoted.dataset.artifact, num_images=60)
    told = BLANK.model_copy(update={"severity": "warning", "observed": "2 of 60 images", "num_images": 2})
    verdict = DropVerdict(digest=extra.digest, num_images=counts, checks=(told,))
    scored = result.model_copy(update={"accuracy": accuracy, "per_class": per_class})
    return promoted.model_copy(
        update={
            "dataset": promoted.dataset.model_copy(update={"extra_test": extra}),
            "validation": promoted.validation.model_copy(update={"extra_test": verdict}),
            "evaluation": promoted.evaluation.model_copy(
                update={"extra_test": ExtraTestEvaluation(digest=extra.digest, result=scored)}
            ),
        }
    )


@pytest.fixture
def failed() -> Callable[..., ReportContents]:
    """Makes a run that ended in its first step, with a cause of one's choice."""

    def make(cause: str = "The archive is cut off.", **more: Any) -> ReportContents:
        steps = step_records("failed", *NOT_RUN, error=cause)
        return ReportContents(**{"run": RunInfo.model_validate(RUN), "steps": steps, "versions": VERSIONS, **more})

    return make


@pytest.fixture
def stopped_by_validation(promoted: ReportContents) -> ReportContents:
    steps = step_records("ran", "failed", *NOT_RUN[1:], error="1 critical check failed.")
    return ReportContents(
        run=promoted.run, steps=steps, dataset=promoted.dataset, failed_checks=CHECKS[1:], versions=VERSIONS
    )
