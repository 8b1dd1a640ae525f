"""Registers a model, decides about it and promotes it. Each step can be repeated after a kill without harm."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from filelock import FileLock

from cnn_model.metrics import Probabilities
from cnn_model.results import EpochMetrics, Interval
from tasks import store
from tasks.champions import RECORD_TAG, ModelRecord, publish_record
from tasks.errors import RegistryError
from tasks.ledger import LedgerEntry, model_name, open_ledger
from tasks.register import corruptions, decisions
from tasks.register.config import RegisterConfig
from tasks.register.decisions import KeptDecision
from tasks.register.evidence import Opponent, TestImages
from tasks.register.gate import decide
from tasks.registry import MODEL_TAG, RULE_TAG, VERDICT_TAG, Figures, LoggedRun, Registry
from tasks.store import Reference
from tasks.succession import promotion_of, was_rolled_back
from tasks.values.dataset import RawDataset
from tasks.values.decision import Decision
from tasks.values.evaluation import Evaluation
from tasks.values.execution import RunInfo
from tasks.values.model import TrainedModel
from tasks.values.near_duplicates import NearDuplicates
from tasks.values.opponents import Opponents, ScoredChampion
from tasks.values.registration import Registration, Verdict
from tasks.values.robustness import RobustnessPair
from tasks.values.splits import Splits


@dataclass(frozen=True)
class Candidate:
    """A new model and everything that is known of it.

    Attributes:
        dataset: What it was trained on.
        splits: Cut from it.
        model: The model.
        evaluation: Its figures on the test split.
        near_duplicates: Of the dataset.
        opponents: Whom it is compared with, scored on the same test split.
        robustness: The model and the champion on corrupted test images; None where none were corrupted.
        run: The run that made it.
    """

    dataset: RawDataset
    splits: Splits
    model: TrainedModel
    evaluation: Evaluation
    near_duplicates: NearDuplicates
    opponents: Opponents
    robustness: RobustnessPair | None
    run: RunInfo


def register_model(candidate: Candidate, config: RegisterConfig) -> Registration:
    """Give the model a version, decide whether it becomes champion, and promote it if so.

    Raises:
        RegistryError: if another machine promoted at the same moment, or registry or ledger hold something wrong.
        RegistryUnreachableError: if the registry's server does not answer.
        StoreError: if an artifact is missing or damaged.
    """
    name = model_name(candidate.splits.dataset_name)
    # Between looking at the champion and replacing it no other run of this store may do the same.
    with FileLock(store.current().folder("locks") / f"register-{name}.lock"):
        return _register(name, candidate, config)


def _register(name: str, candidate: Candidate, config: RegisterConfig) -> Registration:
    registry, ledger = Registry(), open_ledger(name)
    entries = ledger.entries()
    champion = entries[-1] if entries else None
    registry.check_ledger(name, ledger)
    model, test_digest = candidate.model, candidate.evaluation.test_digest
    sha256 = model.result.model_sha256
    found = registry.find_version(name, sha256)
    if found is None:
        logged = _log_run(registry, candidate, config)
        found = registry.create_version(name, logged, model.artifact.digest, _tags(candidate))
    rule = _rule(candidate, config)
    promoted: LedgerEntry | None = None
    decision: Decision | None = None
    verdict: Verdict = "unchanged"
    if was_rolled_back(entries, sha256):
        # It comes back by a person's word alone.
        sentence = f"Unchanged: this model is version {found.number} of {name}, which was rolled back."
    elif found.tags.get(VERDICT_TAG) == "promoted" or found.tags.get(RULE_TAG) == rule:
        sentence = f"Unchanged: this model is version {found.number} of {name} already ({found.tags[VERDICT_TAG]})."
    elif (promoted := promotion_of(entries, sha256)) is not None:
        # A run was killed after this promotion and before it could tell the registry.
        verdict, sentence = "promoted", promoted.reason
    elif (champion.number if champion else None) != _compared_with(candidate.opponents):
        verdict = "refused"
        sentence = (
            f"Not promoted: version {champion.version if champion else None} became champion while this run was at "
            "work. Run again to be compared with it."
        )
    else:
        decision = _decide(candidate, config)
        kept = KeptDecision(
            model_name=name,
            version=found.number,
            model_sha256=sha256,
            run_id=candidate.run.run_id,
            rule=rule,
            test_digest=test_digest,
            decision=decision,
        )
        decisions.keep(kept)
        verdict, sentence = ("promoted" if decision.promote else "refused"), decision.sentence
        if decision.promote:
            promoted = ledger.promote(_entry(found.number, champion, candidate, decision), after=champion)
    champion = ledger.champion()
    registry.mirror(name, ledger)
    num_decisions = decisions.count(name, test_digest, ledger.entries())
    if verdict != "unchanged":
        tags = {"verdict_sentence": sentence, **_decision_tags(decision, num_decisions)}
        registry.challenge(name, found.number)
        # Last: a run that is killed before this is decided anew by the next one.
        registry.tag_version(name, found.number, {**tags, RULE_TAG: rule, VERDICT_TAG: verdict})
    return Registration(
        model_name=name,
        version=found.number,
        verdict=verdict,
        sentence=sentence,
        champion_version=champion.version if champion else None,
        ledger_entry=promoted.number if promoted else None,
        run_id=found.run_id,
        decision=decision,
        num_decisions=num_decisions,
    )


def _rule(candidate: Candidate, config: RegisterConfig) -> str:
    """All that a decision hangs on beside the model: under another rule the model is judged anew."""
    opponents = {
        name: None if scored is None else {"entry": scored.entry, "problem": scored.problem}
        for name, scored in (("champion", candidate.opponents.champion), ("anchor", candidate.opponents.anchor))
    }
    conditions = config.model_dump(mode="json", exclude={"experiment"}, exclude_defaults=True)
    return json.dumps(
        {
            "policy": config.policy,
            **conditions,
            **opponents,
            **corruptions.condition(candidate.robustness, config),
            "test": candidate.evaluation.test_digest[:12],
        }
    )


def _compared_with(opponents: Opponents) -> int | None:
    """The ledger's entry of the champion that was scored."""
    return opponents.champion.entry if opponents.champion is not None else None


def _decide(candidate: Candidate, config: RegisterConfig) -> Decision:
    """Ask the gate.

    Raises:
        RegistryError: if models were scored on other test images.
        StoreError: if an artifact is missing or damaged.
    """
    evaluation, splits = candidate.evaluation, candidate.splits
    champion, anchor = candidate.opponents.champion, candidate.opponents.anchor
    scored = [other.predictions for other in (champion, anchor) if other is not None and other.predictions is not None]
    digests = {evaluation.test_digest, *(predictions.test_digest for predictions in scored)}
    digests |= corruptions.test_digests(candidate.robustness)
    if digests != {splits.test_digest}:
        raise RegistryError(
            f"The models were scored on the test images {', '.join(sorted(digests))}; expected {splits.test_digest} "
            "for all. Run again with --force to score them anew."
        )
    arrays = store.current().fetch(splits.artifact)
    images = TestImages(
        labels=np.load(arrays / "test_labels.npy", allow_pickle=False),
        distinct=~candidate.near_duplicates.test_images_in_train(),
        class_names=splits.class_names,
    )
    return decide(
        _probabilities(evaluation.artifact),
        images,
        _opponent(champion),
        _opponent(anchor),
        config,
        corrupted=corruptions.load(candidate.robustness),
    )


def _opponent(scored: ScoredChampion | None) -> Opponent | None:
    if scored is None:
        return None
    probabilities = _probabilities(scored.predictions.artifact) if scored.predictions is not None else None
    return Opponent(scored.version, probabilities, scored.problem)


def _probabilities(artifact: Reference) -> Probabilities:
    found: Probabilities = np.load(store.current().fetch(artifact) / "probabilities.npy", allow_pickle=False)
    return found


def _entry(version: int, champion: LedgerEntry | None, candidate: Candidate, decision: Decision) -> LedgerEntry:
    return LedgerEntry(
        **_record(candidate).model_dump(),
        promoted_at=datetime.now(UTC),
        run_id=candidate.run.run_id,
        replaces_version=champion.version if champion else None,
        version=version,
        basis=decision.basis,
        actor=decision.actor or candidate.run.run_name,
        reason=decision.sentence,
    )


def _record(candidate: Candidate) -> ModelRecord:
    evaluation, dataset = candidate.evaluation, candidate.dataset
    return ModelRecord(
        model_name=model_name(candidate.splits.dataset_name),
        model_digest=candidate.model.artifact.digest,
        model_sha256=candidate.model.result.model_sha256,
        accuracy=evaluation.result.accuracy.value,
        test_digest=evaluation.test_digest,
        dataset_digest=dataset.digest,
        dataset=dataset.model_dump(mode="json"),
    )


def _decision_tags(decision: Decision | None, num_decisions: int) -> dict[str, str]:
    """What people look for among versions: what decided, who forced it and why, and the difference in accuracy."""
    if decision is None:
        return {}
    tags = {"verdict_basis": decision.basis, "num_test_set_decisions": str(num_decisions)}
    if decision.actor is not None and decision.reason is not None:
        tags |= {"forced_by": decision.actor, "forced_because": decision.reason}
    if decision.comparisons:
        difference = decision.comparisons[0].accuracy.difference
        tags["accuracy_difference"] = f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
    return tags


def _lineage(candidate: Candidate) -> dict[str, str]:
    model, splits, run = candidate.model, candidate.splits, candidate.run
    return {
        MODEL_TAG: model.result.model_sha256,
        "start": _start(model),
        "model_digest": model.artifact.digest,
        "splits_digest": splits.artifact.digest,
        "dataset": splits.dataset_name,
        "dataset_digest": candidate.dataset.digest,
        "source": run.resolved_source,
        "practice_data": str(run.practice).lower(),
        "code_version": run.code_version,
        "flow_run_id": run.run_id,
    }


def _tags(candidate: Candidate) -> dict[str, str]:
    """Of a new version: its lineage, and what is needed to promote it by hand."""
    return {**_lineage(candidate), RECORD_TAG: publish_record(_record(candidate))}


def _extra_test_digest(evaluation: Evaluation) -> dict[str, str]:
    """What the accuracy on the extra test images is of: it compares only where this is equal."""
    return {"extra_test_digest": evaluation.extra_test.digest} if evaluation.extra_test is not None else {}


def _start(model: TrainedModel) -> str:
    """What the model started from: cold, or a champion, by the digest that its version has as `model_digest`."""
    return "cold" if model.start is None else f"champion {model.start.digest}"


def _log_run(registry: Registry, candidate: Candidate, config: RegisterConfig) -> LoggedRun:
    splits, evaluation, run = candidate.splits, candidate.evaluation, candidate.run
    training = candidate.model.result
    return registry.log_run(
        config.experiment,
        run.run_name,
        model_name=model_name(splits.dataset_name),
        parameters={
            "recipe": training.recipe,
            "seed": training.seed,
            "start": _start(candidate.model),
            "epochs": len(training.history),
            "num_train_images": training.num_train_images,
            "num_parameters": training.num_parameters,
        },
        figures=_figures(candidate),
        tags={
            **_lineage(candidate),
            **_extra_test_digest(evaluation),
            **{f"version.{key}": value for key, value in training.versions.items()},
        },
    )


def _figures(candidate: Candidate) -> list[Figures]:
    """What is known of the model, on the images that it was made of and on those that it was tested on."""
    splits, training, evaluation = candidate.splits, candidate.model.result, candidate.evaluation
    result, subset, extra = evaluation.result, evaluation.without_near_duplicates, evaluation.extra_test
    corrupted = candidate.robustness.challenger if candidate.robustness is not None else None
    name = splits.dataset_name
    learned = {**_histories(training.history), "temperature": [training.temperature]}
    tested = {
        **_with_bounds("test_accuracy", result.accuracy),
        "test_loss": [result.loss],
        "test_macro_f1": [result.macro_f1],
        "test_expected_calibration_error": [result.expected_calibration_error],
        **(_with_bounds("test_accuracy_without_near_duplicates", subset.accuracy) if subset is not None else {}),
        **(_with_bounds("corrupted_accuracy", corrupted.mean_accuracy) if corrupted is not None else {}),
    }
    figures = [
        Figures(name, splits.artifact.digest, "training", learned),
        Figures(f"{name}-test", evaluation.test_digest, "testing", tested),
    ]
    if extra is not None:
        series = _with_bounds("extra_test_accuracy", extra.result.accuracy)
        figures.append(Figures("extra-test", extra.digest, "testing", series))
    return figures


def _with_bounds(name: str, accuracy: Interval) -> dict[str, list[float]]:
    return {name: [accuracy.value], f"{name}_low": [accuracy.low], f"{name}_high": [accuracy.high]}


def _histories(epochs: tuple[EpochMetrics, ...]) -> dict[str, list[float]]:
    """Each figure over the epochs, by its name: `loss`, `validation_loss` and so on."""
    histories: dict[str, list[float]] = {}
    for epoch in epochs:
        for prefix, scores in (("", epoch.train), ("validation_", epoch.validation)):
            for name, value in scores.model_dump().items() if scores is not None else ():
                histories.setdefault(prefix + name, []).append(value)
    return histories
