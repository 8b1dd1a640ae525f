"""`MODEL_CARD.md`: what a model is for, how good it is and what it must not be used for, from the values of its run."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cnn_model.metrics import accuracy_interval
from cnn_model.results import EvaluationResult, Interval
from tasks.registry import VERDICT_TAG, Version
from tasks.values.dataset import RawDataset
from tasks.values.evaluation import Evaluation
from tasks.values.model import TrainedModel
from tasks.values.registration import Registration
from tasks.values.splits import Splits

TEMPLATE = "model_card.md.j2"
DECISIONS_TAG = "num_test_set_decisions"


def render(
    dataset: RawDataset,
    splits: Splits,
    model: TrainedModel,
    evaluation: Evaluation,
    registration: Registration,
    version: Version,
) -> str:
    """The card, in Markdown.

    Args:
        dataset: What the model was trained on, as are splits.
        model: The model.
        evaluation: Its figures.
        registration: What was decided in this run.
        version: The registry's, whose tags keep what was decided in an earlier one.
    """
    # A run that decided nothing makes the bundle of a decision that was taken before.
    decided = registration.verdict != "unchanged"
    practice, unofficial = dataset.name == "synthetic", dataset.name.startswith("unofficial-")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown
    )
    environment.filters.update(number="{:,}".format, percent=_percent, interval=_interval)
    return environment.get_template(TEMPLATE).render(
        dataset=dataset,
        splits=splits,
        training=model.result,
        trained_at=model.trained_at,
        evaluation=evaluation,
        result=evaluation.result,
        recalls=_recalls(evaluation.result),
        accuracies=_accuracies(evaluation),
        calibrated=splits.num_images["calibration"] > 0 and model.result.num_train_images <= splits.num_images["train"],
        registration=registration,
        verdict=registration.verdict if decided else version.tags[VERDICT_TAG],
        sentence=registration.sentence if decided else version.tags["verdict_sentence"],
        num_decisions=_num_decisions(registration, version, decided=decided),
        tags=version.tags,
        practice=practice,
        unofficial=unofficial,
        test_images="practice images for testing" if practice else f"{'' if unofficial else 'published '}test images",
    )


def _num_decisions(registration: Registration, version: Version, *, decided: bool) -> int:
    """How often the test images had been used when the model was decided about."""
    return registration.num_decisions if decided else int(version.tags.get(DECISIONS_TAG, registration.num_decisions))


def _accuracies(evaluation: Evaluation) -> dict[str, Interval]:
    """The accuracy on all test images, and on others, by what follows that word."""
    found = {"": evaluation.result.accuracy}
    if (distinct := evaluation.without_near_duplicates) is not None:
        found[f" on the {distinct.num_images:,} test images without near-duplicate in train"] = distinct.accuracy
    if (extra := evaluation.extra_test) is not None:
        found[f" on {extra.result.num_images:,} extra test images"] = extra.result.accuracy
    return found


def _recalls(result: EvaluationResult) -> dict[str, str]:
    """The Wilson score interval of each class's recall; empty for one without images."""
    return {
        row.class_name: _interval(accuracy_interval(counts[place], row.num_images)) if row.num_images else ""
        for place, (row, counts) in enumerate(zip(result.per_class, result.confusion_matrix, strict=True))
    }


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _interval(interval: Interval) -> str:
    return f"{100 * interval.low:.2f} to {100 * interval.high:.2f} %"
