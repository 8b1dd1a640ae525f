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
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown
    )
    environment.filters.update(percent=_percent, interval=_interval)
    return environment.get_template(TEMPLATE).render(
        dataset=dataset,
        splits=splits,
        training=model.result,
        trained_at=model.trained_at,
        evaluation=evaluation,
        result=evaluation.result,
        recalls=_recalls(evaluation.result),
        registration=registration,
        verdict=registration.verdict if decided else version.tags[VERDICT_TAG],
        sentence=registration.sentence if decided else version.tags["verdict_sentence"],
        tags=version.tags,
        practice=dataset.name == "synthetic",
        unofficial=dataset.name.startswith("unofficial-"),
    )


def _recalls(result: EvaluationResult) -> dict[str, Interval]:
    """The recall of each class that has images, with its Wilson score interval."""
    return {
        row.class_name: accuracy_interval(counts[place], row.num_images)
        for place, (row, counts) in enumerate(zip(result.per_class, result.confusion_matrix, strict=True))
        if row.num_images
    }


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _interval(interval: Interval) -> str:
    return f"{100 * interval.low:.2f} to {100 * interval.high:.2f} %"
