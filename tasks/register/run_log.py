"""A candidate as people find it in MLflow: its run, its figures and the tags of its version."""

from cnn_model.results import EpochMetrics, Interval
from tasks.champions import RECORD_TAG, ModelRecord, publish_record
from tasks.ledger import model_name
from tasks.register.candidate import Candidate
from tasks.registry import MODEL_TAG, Figures, LoggedRun, Registry
from tasks.values.decision import Decision
from tasks.values.evaluation import Evaluation
from tasks.values.model import TrainedModel


def record_of(candidate: Candidate) -> ModelRecord:
    """What a promotion needs to know of it, also one by hand."""
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


def decision_tags(decision: Decision | None, num_decisions: int) -> dict[str, str]:
    """What people look for among versions: what decided, who forced it and why, and the difference in accuracy."""
    if decision is None:
        return {}
    tags = {"verdict_basis": decision.basis, "num_test_set_decisions": str(num_decisions)}
    if decision.actor is not None and decision.reason is not None:
        tags |= {"forced_by": decision.actor, "forced_because": decision.reason}
    if (approval := decision.approval) is not None:
        tags |= {"approved_by" if approval.promote else "refused_by": approval.actor or "nobody in time"}
        tags |= {"approval_reason": approval.reason} if approval.reason else {}
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


def version_tags(candidate: Candidate) -> dict[str, str]:
    """Of a new version: its lineage, and what is needed to promote it by hand."""
    return {**_lineage(candidate), RECORD_TAG: publish_record(record_of(candidate))}


def _extra_test_digest(evaluation: Evaluation) -> dict[str, str]:
    """What the accuracy on the extra test images is of: it compares only where this is equal."""
    return {"extra_test_digest": evaluation.extra_test.digest} if evaluation.extra_test is not None else {}


def _start(model: TrainedModel) -> str:
    """What the model started from: cold, or a champion, by the digest that its version has as `model_digest`."""
    return "cold" if model.start is None else f"champion {model.start.digest}"


def log_run(registry: Registry, candidate: Candidate, experiment: str) -> LoggedRun:
    """Record the training and what is known of its model."""
    splits, evaluation, run = candidate.splits, candidate.evaluation, candidate.run
    training = candidate.model.result
    return registry.log_run(
        experiment,
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
