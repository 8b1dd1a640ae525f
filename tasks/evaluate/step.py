"""The Prefect task of the fifth step."""

import numpy as np
from prefect import task

from cnn_model.results import EvaluationResult
from tasks import child, machine, policies, store
from tasks.evaluate.config import EvaluateConfig
from tasks.values.evaluation import Evaluation
from tasks.values.model import TrainedModel
from tasks.values.near_duplicates import NearDuplicates
from tasks.values.splits import Splits


@task(
    name="evaluate",
    **policies.cached(
        distributions=("tensorflow", "keras", "numpy", "scipy", "scikit-learn"),
        runs=("cnn_model.evaluation", *policies.BACKENDS),
    ),
)
def evaluate(
    model: TrainedModel, splits: Splits, near_duplicates: NearDuplicates, config: EvaluateConfig
) -> Evaluation:
    """Score one model on the test split, in a child process; it knows nothing of a champion.

    Args:
        model: The model.
        splits: What it was trained on, and the test split.
        near_duplicates: Of the dataset that the splits were cut from.
        config: How to score.
    """
    # SciPy and scikit-learn take a second to import.
    from tasks.evaluate.leakage import accuracy_without

    settings = machine.current()
    assert settings is not None, "the flow's door sets the machine"
    arrays = store.current().fetch(splits.artifact)
    with store.current().staging() as folder:
        arguments = {
            "--model": store.current().fetch(model.artifact) / "model.keras",
            "--images": arrays / "test_images.npy",
            "--labels": arrays / "test_labels.npy",
            "--output": folder,
            "--class-names": ",".join(splits.class_names),
            "--batch-size": config.batch_size,
            "--device": settings.device,
        }
        result = child.run(
            "evaluate",
            [str(part) for pair in arguments.items() for part in pair],
            timeout_seconds=config.timeout_minutes * 60,
        )
        probabilities = np.load(folder / "probabilities.npy", allow_pickle=False)
        labels = np.load(arrays / "test_labels.npy", allow_pickle=False)
        return Evaluation(
            artifact=store.current().publish(folder),
            test_digest=splits.test_digest,
            result=EvaluationResult.model_validate(result),
            without_near_duplicates=accuracy_without(probabilities, labels, near_duplicates.test_images_in_train()),
        )
