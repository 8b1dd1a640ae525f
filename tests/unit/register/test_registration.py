"""Registration against MLflow's SQLite in the store and, marked `service`, against a server on PostgreSQL."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_model.class_names import CLASS_NAMES
from cnn_model.results import EpochMetrics, EvaluationResult, Interval, Scores
from tasks import machine, store
from tasks.errors import RegistryError, RegistryUnreachableError
from tasks.ledger import Ledger, LedgerEntry, model_name
from tasks.machine import Machine, use
from tasks.register.candidate import Candidate
from tasks.register.config import RegisterConfig
from tasks.register.decisions import KeptDecision
from tasks.register.registration import register_model
from tasks.registry import HEAD_TAG, MODEL_TAG, RULE_TAG, VERDICT_TAG, Registry
from tasks.store import Reference, Store
from tasks.succession import anchor, previous
from tasks.values.dataset import RawDataset
from tasks.values.evaluation import Evaluation, ExtraTestEvaluation, SubsetAccuracy
from tasks.values.execution import RunInfo
from tasks.values.label_issues import LabelIssues
from tasks.values.model import TrainedModel
from tasks.values.opponents import Opponents, Predictions, ScoredChampion
from tasks.values.registration import Registration
from tasks.values.robustness import RobustnessPair
from tasks.values.splits import Splits
from tests.near_duplicates import publish_near_duplicates
from tests.results import make_training_result


@pytest.fixture(params=["SQLite", pytest.param("server", marks=pytest.mark.service)])
def opened_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store that is the current one, and an empty registry."""
    chosen = Machine(store=tmp_path / "store")
    if request.param == "server":
        chosen = chosen.model_copy(update={"tracking_uri": request.getfixturevalue("empty_server").uri})
    with use(chosen):
        if chosen.tracking_uri is None:
            shutil.copy(request.getfixturevalue("empty_database"), store.current().folder())
        yield store.current()


def artifact(text: str) -> Reference:
    with store.current().staging() as folder:
        (folder / "content").write_text(text)
        return store.current().publish(folder)


def epochs(*, validated: bool = True) -> tuple[EpochMetrics, ...]:
    """Two epochs, in which every figure is another."""
    return tuple(
        EpochMetrics(
            epoch=epoch,
            train=Scores(loss=1 / epoch, accuracy=0.1 * epoch, precision=0.2 * epoch, recall=0.3 * epoch),
            validation=Scores(loss=2 / epoch, accuracy=0.15 * epoch, precision=0.25 * epoch, recall=0.35 * epoch)
            if validated
            else None,
            learning_rate=0.1,
            seconds=1,
            images_per_second=80,
        )
        for epoch in (1, 2)
    )


NUM_IMAGES = 1000
LABELS = (np.arange(NUM_IMAGES) % 10).astype(np.uint8)


def predictions(accuracy: float) -> Reference:
    """Of a model that gets the first images right, so of two models the better one gets right what the other does."""
    right = np.arange(NUM_IMAGES) < round(accuracy * NUM_IMAGES)
    probabilities = np.full((NUM_IMAGES, 10), 0.01, np.float32)
    probabilities[np.arange(NUM_IMAGES), np.where(right, LABELS, (LABELS + 1) % 10)] = 0.91
    with store.current().staging() as folder:
        np.save(folder / "probabilities.npy", probabilities)
        return store.current().publish(folder)


def labels() -> Reference:
    with store.current().staging() as folder:
        np.save(folder / "test_labels.npy", LABELS)
        return store.current().publish(folder)


def scored(entry: LedgerEntry, test_digest: str = "t") -> ScoredChampion:
    found = Predictions(artifact=predictions(entry.accuracy), test_digest=test_digest)
    return ScoredChampion(entry=entry.number, version=entry.version, predictions=found)


def found_opponents(name: str, test_digest: str) -> Opponents:
    """The ledger's champion and anchor, as the flow scores them."""
    entries = Ledger(store.current().folder("ledger", name)).entries()
    other = anchor(entries)
    return Opponents(
        champion=scored(entries[-1], test_digest) if entries else None,
        anchor=scored(other, test_digest) if other is not None and other != entries[-1] else None,
    )


def raw_dataset(name: str) -> RawDataset:
    return RawDataset(
        name=name, artifact=artifact("images"), class_names=CLASS_NAMES, num_train_images=90, num_test_images=10
    )


def register(
    accuracy: float, model: str, *, floor: float = 0.0, rule: RegisterConfig | None = None, **made: Any
) -> Registration:
    """Register a candidate that is made of the rest; see `make_candidate`."""
    return register_model(
        make_candidate(accuracy, model, **made), rule or RegisterConfig(policy="improve", min_accuracy=floor)
    )


def make_candidate(
    accuracy: float,
    model: str,
    *,
    test_digest: str = "t",
    dataset: str = "synthetic",
    opponents: Opponents | None = None,
    run_id: str = "id",
    history: tuple[EpochMetrics, ...] = epochs(),
    start: Reference | None = None,
    extra_test_accuracy: float | None = None,
    robustness: RobustnessPair | None = None,
) -> Candidate:
    splits = Splits(
        artifact=labels(),
        dataset_name=dataset,
        class_names=CLASS_NAMES,
        num_images={"train": 80, "validation": 5, "calibration": 5, "test": NUM_IMAGES},
        test_digest=test_digest,
        channel_mean=(0.5, 0.5, 0.5),
        channel_std=(0.2, 0.2, 0.2),
    )
    trained = TrainedModel(
        artifact=artifact(model),
        trained_at=datetime(2026, 1, 1, tzinfo=UTC),
        start=start,
        result=make_training_result(
            history, model_sha256=(model * 64)[:64], best_epoch=2, temperature=1.1, versions={"keras": "3"}
        ),
    )
    result = EvaluationResult(
        num_images=NUM_IMAGES,
        accuracy=Interval(value=accuracy, low=accuracy - 0.1, high=accuracy + 0.1),
        loss=1.0,
        macro_precision=0.5,
        macro_recall=0.5,
        macro_f1=0.5,
        expected_calibration_error=0.1,
        per_class=(),
        confusion_matrix=(),
        worst_confusions=(),
    )
    evaluation = Evaluation(
        artifact=predictions(accuracy),
        test_digest=test_digest,
        result=result,
        without_near_duplicates=SubsetAccuracy(num_images=8, accuracy=Interval(value=0.4, low=0.3, high=0.6)),
        label_issues=LabelIssues(artifact=artifact("suspects"), num_images=10, num_suspects=0),
        without_label_issues=None,
        extra_test=ExtraTestEvaluation(
            digest="ef" * 32,
            result=result.model_copy(update={"accuracy": Interval(value=extra_test_accuracy, low=0.2, high=0.9)}),
        )
        if extra_test_accuracy is not None
        else None,
    )
    run = RunInfo(
        run_id=run_id,
        run_name="run",
        started="2026-01-01T00:00:00+00:00",
        source="synthetic",
        resolved_source="synthetic",
        practice=True,
        recipe="fast",
        seed=1,
        code_version="abc",
        configuration={},
    )
    return Candidate(
        raw_dataset(dataset),
        splits,
        trained,
        evaluation,
        publish_near_duplicates(store.current(), 20, NUM_IMAGES, [(0, 20), (1, 25)]),
        found_opponents(model_name(dataset), test_digest) if opponents is None else opponents,
        robustness,
        run,
    )


def aliases(name: str = "practice-cnn") -> dict[str, int]:
    found = Registry()._client.get_registered_model(name).aliases
    return {alias: int(version) for alias, version in found.items()}


def test_the_first_model_becomes_champion(opened_store: Store) -> None:
    first = register(0.5, "a")
    assert (first.verdict, first.version, first.champion_version, first.ledger_entry) == ("promoted", 1, 1, 1)
    assert aliases() == {"challenger": 1, "champion": 1}
    (entry,) = Ledger(opened_store.folder("ledger", "practice-cnn")).entries()
    assert RawDataset.model_validate(entry.dataset) == raw_dataset("synthetic")
    assert entry.dataset_digest == raw_dataset("synthetic").digest


def test_a_better_model_replaces_it_and_a_worse_or_equal_one_does_not(opened_store: Store) -> None:
    register(0.5, "a")
    assert register(0.5, "b").verdict == "refused"
    better = register(0.6, "c")
    assert (better.verdict, better.champion_version, better.ledger_entry) == ("promoted", 3, 2)
    worse = register(0.55, "d")
    assert (worse.verdict, worse.champion_version) == ("refused", 3)
    assert "-5.00 points" in worse.sentence
    assert aliases() == {"challenger": 4, "champion": 3, "previous": 1}


def test_the_same_model_again_changes_nothing(opened_store: Store) -> None:
    register(0.5, "a")
    register(0.4, "b")
    for model, version in (("a", 1), ("b", 2)):
        again = register(0.5, model)
        assert (again.verdict, again.version, again.champion_version) == ("unchanged", version, 1)
    assert len(Ledger(opened_store.folder("ledger", "practice-cnn")).entries()) == 1


def test_a_model_below_the_floor_is_refused_even_as_the_first(opened_store: Store) -> None:
    refused = register(0.5, "a", floor=0.8)
    assert (refused.verdict, refused.champion_version) == ("refused", None)
    assert "floor" in refused.sentence


def test_a_champion_is_compared_on_the_test_images_of_the_run_whatever_it_was_promoted_on(opened_store: Store) -> None:
    """The champion's stored accuracy, of other images, is 0.9; on these it is 0.5."""
    register(0.9, "a", test_digest="t")
    (entry,) = Ledger(opened_store.folder("ledger", "practice-cnn")).entries()
    now = ScoredChampion(entry=1, version=1, predictions=Predictions(artifact=predictions(0.5), test_digest="u"))
    better = register(0.6, "b", test_digest="u", opponents=Opponents(champion=now))
    assert entry.accuracy == 0.9
    assert better.verdict == "promoted"
    assert better.sentence.startswith("Promoted: +10.00 points against the champion, version 1, 95 % interval [")


def test_predictions_of_other_test_images_are_never_compared(opened_store: Store) -> None:
    register(0.5, "a")
    (entry,) = Ledger(opened_store.folder("ledger", "practice-cnn")).entries()
    with pytest.raises(RegistryError, match=r"scored on the test images t, u; expected t"):
        register(0.9, "b", opponents=Opponents(champion=scored(entry, "u")))
    assert len(Ledger(opened_store.folder("ledger", "practice-cnn")).entries()) == 1


def test_a_champion_that_cannot_be_scored_stays_and_the_sentence_says_why(opened_store: Store) -> None:
    register(0.5, "a")
    gone = Opponents(champion=ScoredChampion(entry=1, version=1, predictions=None, problem="The artifact is missing."))
    refused = register(0.9, "b", opponents=gone)
    assert (refused.verdict, refused.champion_version) == ("refused", 1)
    assert "version 1, which it must be compared with, cannot be scored (The artifact is missing)" in refused.sentence
    # Once it can be scored the model is judged anew.
    assert register(0.9, "b").verdict == "promoted"


def test_a_run_that_was_overtaken_promotes_nothing_and_says_so(opened_store: Store) -> None:
    register(0.5, "a")
    before = found_opponents("practice-cnn", "t")
    register(0.6, "b")
    late = register(0.9, "c", opponents=before)
    assert (late.verdict, late.champion_version, late.decision) == ("refused", 2, None)
    assert "version 2 became champion while this run was at work" in late.sentence
    assert register(0.9, "c").verdict == "promoted"


def test_the_ledger_says_what_chose_a_champion_and_refreshes_are_held_to_the_last_other_one(
    opened_store: Store,
) -> None:
    refresh = RegisterConfig(margin=0.025, classes="report", calibration="report")
    register(0.80, "a")
    assert register(0.79, "b", rule=refresh).verdict == "promoted"
    ratchet = register(0.78, "c", rule=refresh)
    assert ratchet.verdict == "refused"
    assert "the last champion that no refresh chose, version 1 (-2.00 points)" in ratchet.sentence
    assert register(0.85, "d").verdict == "promoted"
    entries = Ledger(opened_store.folder("ledger", "practice-cnn")).entries()
    assert [entry.basis for entry in entries] == ["first", "refresh", "improve"]


def test_a_forced_promotion_leaves_its_trace_everywhere(opened_store: Store) -> None:
    register(0.5, "a")
    assert register(0.4, "b", floor=0.45).verdict == "refused"
    forced = register(0.4, "b", rule=RegisterConfig(policy="force", actor="Jane Doe", reason="the old one leaks"))
    assert (forced.verdict, forced.champion_version) == ("promoted", 2)
    entry = Ledger(opened_store.folder("ledger", "practice-cnn")).entries()[-1]
    assert (entry.basis, entry.actor, entry.reason) == ("force", "Jane Doe", forced.sentence)
    assert "by force, by Jane Doe: the old one leaks. -10.00 points" in forced.sentence
    assert "Against the gate: " in forced.sentence
    tags = Registry()._client.get_model_version("practice-cnn", "2").tags
    assert (tags["forced_by"], tags["forced_because"]) == ("Jane Doe", "the old one leaks")


def test_every_decision_on_the_same_test_images_is_kept_and_counted_once(opened_store: Store) -> None:
    assert register(0.5, "a").num_decisions == 1
    assert register(0.4, "b").num_decisions == 2
    assert register(0.4, "b").num_decisions == 2  # unchanged: nothing was decided
    Registry()._client.delete_model_version_tag("practice-cnn", "2", VERDICT_TAG)
    Registry()._client.delete_model_version_tag("practice-cnn", "2", RULE_TAG)
    assert register(0.4, "b").num_decisions == 2  # decided again after a kill, by the same rule
    assert register(0.4, "b", rule=RegisterConfig()).num_decisions == 3
    assert register(0.6, "c", test_digest="u").num_decisions == 1
    files = list(opened_store.folder("decisions", "practice-cnn", "t").iterdir())
    kept = [KeptDecision.model_validate_json(file.read_text()) for file in files]
    assert sorted((decision.version, decision.decision.promote) for decision in kept) == [
        (1, True),
        (2, False),
        (2, False),
    ]


def test_promotions_of_before_decisions_were_kept_count_as_well(opened_store: Store) -> None:
    register(0.5, "a")
    path = opened_store.folder("ledger", "practice-cnn") / "000001.json"
    old = {name: value for name, value in json.loads(path.read_text()).items() if name != "basis"}
    path.write_text(json.dumps(old))
    path.with_suffix(".sha256").unlink()
    Registry()._client.delete_registered_model_tag("practice-cnn", HEAD_TAG)
    shutil.rmtree(opened_store.root / "decisions")
    assert register(0.4, "b").num_decisions == 2


def roll_back(name: str = "practice-cnn") -> LedgerEntry:
    """Take the last champion back, as a person does; the models of these tests have no files to look at."""
    ledger = Ledger(store.current().folder("ledger", name))
    entries = ledger.entries()
    restored, champion = previous(entries), entries[-1]
    assert restored is not None
    changes = {
        "basis": "rollback",
        "restores_entry": restored.number,
        "replaces_version": champion.version,
        "run_id": "manual",
    }
    return ledger.promote(restored.model_copy(update=changes), after=champion)


def test_a_model_that_was_rolled_back_does_not_come_back_by_itself(opened_store: Store) -> None:
    register(0.5, "a")
    register(0.6, "b")
    roll_back()
    # Whatever the rule, and also where a run was killed before it could tag the version.
    for rule in (None, RegisterConfig(), RegisterConfig(min_accuracy=0.1)):
        again = register(0.6, "b", rule=rule)
        assert (again.verdict, again.champion_version, again.decision) == ("unchanged", 1, None)
        assert again.sentence == "Unchanged: this model is version 2 of practice-cnn, which was rolled back."
        assert aliases() == {"challenger": 2, "champion": 1}
        Registry()._client.set_model_version_tag("practice-cnn", "2", VERDICT_TAG, "refused")
    assert register(0.5, "a").sentence.endswith("already (promoted).")


def test_after_a_rollback_a_new_model_is_compared_with_the_restored_champion_and_its_anchor(
    opened_store: Store,
) -> None:
    refresh = RegisterConfig(margin=0.025, classes="report", calibration="report")
    register(0.80, "a")
    assert register(0.79, "b", rule=refresh).verdict == "promoted"
    assert register(0.85, "c").verdict == "promoted"
    restored = roll_back()
    opponents = found_opponents("practice-cnn", "t")
    assert opponents.champion is not None
    assert opponents.anchor is not None
    assert (opponents.champion.entry, opponents.champion.version) == (restored.number, 2)
    # Not version 3, which was better and was taken back: by a point and a half less than that a refresh is let through.
    assert (opponents.anchor.entry, opponents.anchor.version) == (1, 1)
    better = register(0.82, "d", rule=refresh)
    assert (better.verdict, better.champion_version, better.ledger_entry) == ("promoted", 4, 5)
    assert aliases() == {"challenger": 4, "champion": 4, "previous": 2}


def test_a_run_that_looked_before_a_rollback_is_refused(opened_store: Store) -> None:
    """The version that it was compared with is champion again, and yet it missed two promotions."""
    register(0.5, "a")
    before = found_opponents("practice-cnn", "t")
    register(0.6, "b")
    roll_back()
    late = register(0.9, "c", opponents=before)
    assert (late.verdict, late.champion_version, late.decision) == ("refused", 1, None)
    assert "became champion while this run was at work" in late.sentence


def test_a_ledger_that_contradicts_what_mlflow_was_told_registers_nothing(opened_store: Store) -> None:
    register(0.5, "a")
    register(0.6, "b")
    path = opened_store.folder("ledger", "practice-cnn") / "000002.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"accuracy": 0.1}))
    with pytest.raises(RegistryError, match=r"000002\.json was altered"):
        register(0.9, "c", opponents=Opponents())
    path.with_suffix(".sha256").unlink()
    with pytest.raises(RegistryError, match="was told that entry 2 of the ledger"):
        register(0.9, "c", opponents=Opponents())
    assert Registry().find_version("practice-cnn", "c" * 64) is None


def test_practice_and_unofficial_data_never_touch_the_real_name(opened_store: Store) -> None:
    assert {register(0.5, "a", dataset=name).model_name for name in ("synthetic", "unofficial-x")} == {
        "practice-cnn",
        "unofficial-x-cnn",
    }
    assert model_name("cifar10") == "cifar10-cnn"
    assert Registry().find_version("cifar10-cnn", "a" * 64) is None


def test_a_run_killed_after_the_promotion_is_finished_by_the_next(opened_store: Store) -> None:
    register(0.5, "a")
    # What a kill between the ledger's entry and the registry's tags leaves behind.
    Registry()._client.delete_model_version_tag("practice-cnn", "1", VERDICT_TAG)
    Registry()._client.delete_registered_model_alias("practice-cnn", "champion")
    again = register(0.5, "a")
    assert (again.verdict, again.version, again.ledger_entry) == ("promoted", 1, 1)
    assert aliases()["champion"] == 1


def test_what_another_process_finishes_has_the_decision_that_was_made(opened_store: Store) -> None:
    first = register(0.5, "a")
    better = register(0.6, "b")
    # A promotion that was told to no registry, which still says what came of another rule.
    Registry().tag_version("practice-cnn", 2, {VERDICT_TAG: "refused"})
    again = register(0.6, "b", opponents=Opponents())
    assert (again.verdict, again.sentence, again.ledger_entry) == ("promoted", better.sentence, 2)
    assert again.decision == better.decision
    assert first.decision != better.decision
    tags = Registry()._client.get_model_version("practice-cnn", "2").tags
    assert (tags["verdict"], tags["verdict_basis"]) == ("promoted", "improve")


@pytest.mark.parametrize("lost", [VERDICT_TAG, RULE_TAG])
def test_a_refusal_of_which_half_was_told_is_decided_anew(opened_store: Store, lost: str) -> None:
    register(0.5, "a")
    refused = register(0.5, "b")
    Registry()._client.delete_model_version_tag("practice-cnn", "2", lost)
    again = register(0.5, "b")
    assert (again.verdict, again.sentence, again.num_decisions) == ("refused", refused.sentence, 2)
    assert register(0.5, "b").verdict == "unchanged"


@pytest.mark.parametrize("taken_back", [False, True])
def test_force_brings_back_what_was_champion_before(opened_store: Store, taken_back: bool) -> None:
    force = RegisterConfig(policy="force", actor="Jane Doe", reason="the other one leaks")
    register(0.5, "a")
    register(0.6, "b")
    model, accuracy, version = ("b", 0.6, 2) if taken_back else ("a", 0.5, 1)
    if taken_back:
        roll_back()
    assert register(accuracy, model).verdict == "unchanged"
    back = register(accuracy, model, rule=force)
    assert (back.verdict, back.version, back.champion_version) == ("promoted", version, version)
    assert aliases()["champion"] == version
    # Once: it is champion now.
    assert register(accuracy, model, rule=force, opponents=Opponents()).verdict == "unchanged"


def test_a_run_killed_before_the_decision_is_decided_by_the_next(opened_store: Store) -> None:
    register(0.5, "a")
    register(0.6, "b", floor=0.9)
    Registry()._client.delete_model_version_tag("practice-cnn", "2", VERDICT_TAG)
    again = register(0.6, "b")
    assert (again.verdict, again.version, again.champion_version) == ("promoted", 2, 2)


def test_a_version_that_was_promoted_long_ago_stays_so_after_a_kill(opened_store: Store) -> None:
    register(0.5, "a")
    Registry()._client.delete_model_version_tag("practice-cnn", "1", VERDICT_TAG)
    register(0.6, "b")
    again = register(0.5, "a")
    assert (again.verdict, again.champion_version) == ("promoted", 2)
    assert aliases()["champion"] == 2


def test_a_refused_model_is_judged_anew_when_the_rule_or_the_champion_changed(opened_store: Store) -> None:
    assert register(0.5, "a", floor=0.8).verdict == "refused"
    assert register(0.5, "a", floor=0.8).verdict == "unchanged"
    assert register(0.5, "a", floor=0.4).verdict == "promoted"
    assert register(0.5, "a", floor=0.8).verdict == "unchanged"


def test_a_registry_that_was_lost_is_not_taken_for_the_one_of_the_ledger(
    opened_store: Store, empty_database: Path
) -> None:
    """It counts from 1 again, so its numbers are those of other models."""
    register(0.5, "a")
    register(0.6, "b")
    shutil.copy(empty_database, opened_store.root / "new.db")
    begun_anew = Machine(store=opened_store.root, tracking_uri=f"sqlite:///{opened_store.root}/new.db")
    with use(begun_anew):
        for model in ("b", "c"):
            with pytest.raises(RegistryError, match=r"champion of practice-cnn is version 2 .* backup"):
                register(0.6, model)
        assert Registry().find_version("practice-cnn", "c" * 64) is None


def test_runs_that_register_at_once_get_one_version_and_one_promotion_each_model(opened_store: Store) -> None:
    (opened_store.root / "mlflow.db").unlink(missing_ok=True)  # which they are to make at once, too
    settings = machine.current()
    assert settings is not None
    script = (
        "import sys\n"
        "from tasks.machine import Machine, use\n"
        "from tests.unit.register.test_registration import register\n"
        "with use(Machine.model_validate_json(sys.argv[1])):\n"
        "    print(register(float(sys.argv[2]), sys.argv[3]).verdict)\n"
    )
    runs = [("0.5", "a"), ("0.5", "a"), ("0.6", "b")]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, settings.model_dump_json(), *run], stdout=subprocess.PIPE, text=True
        )
        for run in runs
    ]
    verdicts = [process.communicate()[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert "promoted" in verdicts
    # One that another overtook is told to run again, and then compared with the new champion.
    assert register(0.6, "b").verdict == ("unchanged" if verdicts[2] == "promoted" else "promoted")
    assert register(0.5, "a").verdict != "promoted"
    assert Registry().find_version("practice-cnn", "b" * 64) is not None
    champion = Ledger(opened_store.folder("ledger", "practice-cnn")).champion()
    assert champion is not None
    assert champion.model_sha256 == "b" * 64
    assert aliases()["champion"] == champion.version


def test_what_people_look_for_is_in_mlflow(opened_store: Store) -> None:
    run_id = register(0.5, "a").run_id
    run = Registry()._client.get_run(run_id)
    assert run.data.metrics["test_accuracy"] == 0.5
    assert run.data.metrics["test_accuracy_without_near_duplicates"] == 0.4
    assert run.data.params["recipe"] == "fast"
    assert run.inputs.dataset_inputs[0].dataset.name == "synthetic"
    assert run.data.tags["practice_data"] == "true"


def test_the_figures_hang_on_the_version_and_on_their_dataset(opened_store: Store) -> None:
    registered = register(0.5, "a", extra_test_accuracy=0.4)
    client = Registry()._client
    version = client.get_model_version("practice-cnn", str(registered.version))
    run = client.get_run(registered.run_id)
    model = client.get_logged_model(version.tags["logged_model_id"])
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "practice-cnn", "version": "1"}]
    assert (model.name, model.source_run_id, model.status) == ("practice-cnn", registered.run_id, "READY")
    assert model.params == run.data.params
    datasets = {(entry.dataset.name, entry.dataset.digest, entry.tags[0].value) for entry in run.inputs.dataset_inputs}
    splits = version.tags["splits_digest"][:36]
    assert datasets == {
        ("synthetic", splits, "training"),
        ("synthetic-test", "t", "testing"),
        ("extra-test", ("ef" * 32)[:36], "testing"),
    }
    figures: dict[tuple[str, str], set[str]] = {}
    for metric in model.metrics:
        figures.setdefault((metric.dataset_name, metric.dataset_digest), set()).add(metric.key)
    assert figures["synthetic", splits] >= {"loss", "validation_loss", "accuracy", "temperature"}
    assert figures["synthetic-test", "t"] >= {"test_accuracy", "test_accuracy_low", "test_loss"}
    assert figures["extra-test", ("ef" * 32)[:36]] >= {"extra_test_accuracy"}
    # Models by what they do on these test images: what the link is for.
    better = register(0.6, "b")
    found = client.search_logged_models(
        [run.info.experiment_id],
        "metrics.test_accuracy > 0.55",
        datasets=[{"dataset_name": "synthetic-test", "dataset_digest": "t"}],
    )
    assert [model.source_run_id for model in found] == [better.run_id]


def test_a_version_says_what_it_was_made_of_and_what_became_of_it(opened_store: Store) -> None:
    registered = register(0.5, "a")
    (entry,) = Ledger(opened_store.folder("ledger", "practice-cnn")).entries()
    version = Registry()._client.get_model_version("practice-cnn", "1")
    assert version.source == f"store:/{entry.model_digest}"
    assert (
        version.tags.items()
        >= {
            "dataset_digest": raw_dataset("synthetic").digest,
            "code_version": "abc",
            "model_digest": entry.model_digest,
            "model_sha256": "a" * 64,
            "verdict": "promoted",
            "verdict_sentence": registered.sentence,
        }.items()
    )


def test_aliases_that_somebody_moved_are_put_back(opened_store: Store) -> None:
    register(0.5, "a")
    register(0.6, "b")
    register(0.4, "c")
    assert aliases() == {"champion": 2, "previous": 1, "challenger": 3}
    client = Registry()._client
    client.set_registered_model_alias("practice-cnn", "champion", "3")
    client.delete_registered_model_alias("practice-cnn", "previous")
    assert register(0.4, "c").verdict == "unchanged"
    assert aliases() == {"champion": 2, "previous": 1, "challenger": 3}


def test_a_run_that_was_cut_off_is_ended_as_killed_and_recorded_anew(opened_store: Store) -> None:
    client = Registry()._client
    experiment = client.create_experiment(RegisterConfig().experiment)
    cut_off, other = (client.create_run(experiment, tags={MODEL_TAG: model * 64}).info.run_id for model in ("a", "b"))
    registered = register(0.5, "a")
    status = {run: client.get_run(run).info.status for run in (cut_off, other, registered.run_id)}
    assert status == {cut_off: "KILLED", other: "RUNNING", registered.run_id: "FINISHED"}


def test_mlflow_has_what_a_model_started_from(opened_store: Store) -> None:
    first = register(0.5, "a")
    champion = artifact("a")
    second = register(0.6, "b", start=champion)
    client = Registry()._client
    for registered, start in ((first, "cold"), (second, f"champion {champion.digest}")):
        run = client.get_run(registered.run_id)
        version = client.get_model_version("practice-cnn", str(registered.version))
        assert run.data.params["start"] == run.data.tags["start"] == version.tags["start"] == start
    # The way from the digest back to the version that people know.
    assert client.get_model_version("practice-cnn", "1").tags["model_digest"] == champion.digest


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("name", ["loss", "accuracy", "precision", "recall"])
def test_every_figure_of_every_epoch_is_in_mlflow(opened_store: Store, split: str, name: str) -> None:
    run_id = register(0.5, "a").run_id
    key = name if split == "train" else f"validation_{name}"
    logged = [(metric.step, metric.value) for metric in Registry()._client.get_metric_history(run_id, key)]
    assert logged == [(epoch.epoch, getattr(getattr(epoch, split), name)) for epoch in epochs()]


def test_without_validation_mlflow_has_the_figures_of_train_alone(opened_store: Store) -> None:
    run_id = register(0.5, "a", history=epochs(validated=False)).run_id
    names = Registry()._client.get_run(run_id).data.metrics
    assert {"loss", "accuracy", "precision", "recall"} <= set(names)
    assert not [name for name in names if name.startswith("validation_")]


def test_a_lost_server_is_a_transient_failure(opened_store: Store) -> None:
    lost = Machine(store=opened_store.root, tracking_uri="http://127.0.0.1:9")
    with use(lost), pytest.raises(RegistryUnreachableError, match=r"127\.0\.0\.1:9"):
        Registry()


def test_accuracy_on_extra_test_images_is_recorded_and_decides_nothing(opened_store: Store) -> None:
    first = register(0.5, "a", extra_test_accuracy=0.4)
    second = register(0.4, "b", extra_test_accuracy=0.8)
    third = register(0.3, "c")
    assert [run.verdict for run in (first, second, third)] == ["promoted", "refused", "refused"]
    runs = [Registry()._client.get_run(registration.run_id).data for registration in (first, second, third)]
    names = ("extra_test_accuracy", "extra_test_accuracy_low", "extra_test_accuracy_high")
    assert [runs[0].metrics[name] for name in names] == [0.4, 0.2, 0.9]
    assert runs[1].metrics["extra_test_accuracy"] == 0.8
    assert runs[0].tags["extra_test_digest"] == runs[1].tags["extra_test_digest"] == "ef" * 32
    assert not [name for name in (*runs[2].metrics, *runs[2].tags) if name.startswith("extra_test")]
