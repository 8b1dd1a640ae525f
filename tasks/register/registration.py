"""Registers a model, decides about it and promotes it. Each step can be repeated after a kill without harm."""

from datetime import UTC, datetime

from filelock import FileLock

from cnn_model.results import EpochMetrics, Interval
from tasks import store
from tasks.ledger import Ledger, LedgerEntry, model_name
from tasks.register.config import RegisterConfig
from tasks.register.gate import decide
from tasks.registry import MODEL_TAG, RULE_TAG, VERDICT_TAG, Registry
from tasks.values.dataset import RawDataset
from tasks.values.evaluation import Evaluation
from tasks.values.execution import RunInfo
from tasks.values.model import TrainedModel
from tasks.values.registration import Registration, Verdict
from tasks.values.splits import Splits


def register_model(
    dataset: RawDataset,
    splits: Splits,
    model: TrainedModel,
    evaluation: Evaluation,
    run: RunInfo,
    config: RegisterConfig,
) -> Registration:
    """Give the model a version, decide whether it becomes champion, and promote it if so.

    Raises:
        RegistryError: if another machine promoted at the same moment, or registry or ledger hold something wrong.
        RegistryUnreachableError: if the registry's server does not answer.
    """
    name = model_name(splits.dataset_name)
    # Between looking at the champion and replacing it no other run of this store may do the same.
    with FileLock(store.current().folder("locks") / f"register-{name}.lock"):
        return _register(name, dataset, splits, model, evaluation, run, config)


def _register(
    name: str,
    dataset: RawDataset,
    splits: Splits,
    model: TrainedModel,
    evaluation: Evaluation,
    run: RunInfo,
    config: RegisterConfig,
) -> Registration:
    registry, ledger = Registry(), Ledger(store.current().folder("ledger", name))
    champion = ledger.champion()
    if champion is not None:
        registry.check_version(name, champion.version, champion.model_sha256)
    found = registry.find_version(name, model.result.model_sha256)
    if found is None:
        run_id = _log_run(registry, splits, model, evaluation, run, config)
        found = registry.create_version(name, run_id, model.artifact.digest, _lineage(splits, model, run))
    rule = f"floor {config.min_accuracy}, champion {champion.version if champion else None}"
    if found.tags.get(VERDICT_TAG) == "promoted" or found.tags.get(RULE_TAG) == rule:
        verdict: Verdict = "unchanged"
        sentence = f"Unchanged: this model is version {found.number} of {name} already ({found.tags[VERDICT_TAG]})."
        entry = None
    else:
        entry, sentence = _promote_if_better(ledger, name, found.number, dataset, model, evaluation, run, config)
        verdict = "refused" if entry is None else "promoted"
    champion = ledger.champion()
    if champion is not None:
        registry.mirror_aliases(name, champion.version, champion.replaces_version)
    if verdict != "unchanged":
        # Last: a run that is killed before this is decided anew by the next one.
        registry.tag_version(name, found.number, {"verdict_sentence": sentence, RULE_TAG: rule, VERDICT_TAG: verdict})
    return Registration(
        model_name=name,
        version=found.number,
        verdict=verdict,
        sentence=sentence,
        champion_version=champion.version if champion else None,
        ledger_entry=entry.number if entry else None,
        run_id=found.run_id,
    )


def _promote_if_better(
    ledger: Ledger,
    name: str,
    version: int,
    dataset: RawDataset,
    model: TrainedModel,
    evaluation: Evaluation,
    run: RunInfo,
    config: RegisterConfig,
) -> tuple[LedgerEntry | None, str]:
    """The ledger's entry that promotes this version, None if it stays below the champion; and the verdict."""
    champion = ledger.champion()
    promotion = next((entry for entry in ledger.entries() if entry.model_sha256 == model.result.model_sha256), None)
    if promotion is not None:
        # A run was killed after this promotion and before it could tell the registry.
        return promotion, promotion.reason
    decision = decide(evaluation, champion, config.min_accuracy)
    if not decision.promote:
        return None, decision.sentence
    entry = LedgerEntry(
        promoted_at=datetime.now(UTC),
        run_id=run.run_id,
        model_name=name,
        replaces_version=champion.version if champion else None,
        version=version,
        model_digest=model.artifact.digest,
        model_sha256=model.result.model_sha256,
        accuracy=evaluation.result.accuracy.value,
        test_digest=evaluation.test_digest,
        dataset_digest=dataset.digest,
        dataset=dataset.model_dump(mode="json"),
        actor=run.run_name,
        reason=decision.sentence,
    )
    return ledger.promote(entry), decision.sentence


def _lineage(splits: Splits, model: TrainedModel, run: RunInfo) -> dict[str, str]:
    return {
        MODEL_TAG: model.result.model_sha256,
        "start": _start(model),
        "model_digest": model.artifact.digest,
        "splits_digest": splits.artifact.digest,
        "dataset": splits.dataset_name,
        "source": run.resolved_source,
        "practice_data": str(run.practice).lower(),
        "code_version": run.code_version,
        "flow_run_id": run.run_id,
    }


def _extra_test_digest(evaluation: Evaluation) -> dict[str, str]:
    """What the accuracy on the extra test images is of: it compares only where this is equal."""
    return {"extra_test_digest": evaluation.extra_test.digest} if evaluation.extra_test is not None else {}


def _start(model: TrainedModel) -> str:
    """What the model started from: cold, or a champion, by the digest that its version has as `model_digest`."""
    return "cold" if model.start is None else f"champion {model.start.digest}"


def _log_run(
    registry: Registry,
    splits: Splits,
    model: TrainedModel,
    evaluation: Evaluation,
    run: RunInfo,
    config: RegisterConfig,
) -> str:
    result, training = evaluation.result, model.result
    return registry.log_run(
        config.experiment,
        run.run_name,
        parameters={
            "recipe": training.recipe,
            "seed": training.seed,
            "start": _start(model),
            "epochs": len(training.history),
            "num_train_images": training.num_train_images,
            "num_parameters": training.num_parameters,
        },
        metrics={
            **_with_bounds("test_accuracy", result.accuracy),
            "test_loss": result.loss,
            "test_macro_f1": result.macro_f1,
            "test_expected_calibration_error": result.expected_calibration_error,
            **_without_near_duplicates(evaluation),
            **_on_extra_test(evaluation),
            "temperature": training.temperature,
        },
        histories=_histories(training.history),
        dataset=(splits.dataset_name, splits.artifact.digest),
        tags={
            **_lineage(splits, model, run),
            **_extra_test_digest(evaluation),
            **{f"version.{key}": value for key, value in training.versions.items()},
        },
    )


def _without_near_duplicates(evaluation: Evaluation) -> dict[str, float]:
    """The accuracy on test images without near-duplicate in train, where there are such."""
    subset = evaluation.without_near_duplicates
    return _with_bounds("test_accuracy_without_near_duplicates", subset.accuracy) if subset is not None else {}


def _on_extra_test(evaluation: Evaluation) -> dict[str, float]:
    """The accuracy on the extra test images, where there are such."""
    extra = evaluation.extra_test
    return _with_bounds("extra_test_accuracy", extra.result.accuracy) if extra is not None else {}


def _with_bounds(name: str, accuracy: Interval) -> dict[str, float]:
    return {name: accuracy.value, f"{name}_low": accuracy.low, f"{name}_high": accuracy.high}


def _histories(epochs: tuple[EpochMetrics, ...]) -> dict[str, list[float]]:
    """Each figure over the epochs, by its name: `loss`, `validation_loss` and so on."""
    histories: dict[str, list[float]] = {}
    for epoch in epochs:
        for prefix, scores in (("", epoch.train), ("validation_", epoch.validation)):
            for name, value in scores.model_dump().items() if scores is not None else ():
                histories.setdefault(prefix + name, []).append(value)
    return histories
