"""The Prefect tasks of the fifth step: a new model's figures, and the predictions of champions beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from prefect import task

from cnn_model.results import EvaluationResult, RobustnessResult
from tasks import child, machine, policies, store
from tasks.evaluate.config import EvaluateConfig
from tasks.store import Reference
from tasks.values.drops import Drop
from tasks.values.evaluation import Evaluation
from tasks.values.label_issues import LabelIssues
from tasks.values.model import TrainedModel
from tasks.values.near_duplicates import NearDuplicates
from tasks.values.opponents import Predictions
from tasks.values.robustness import Robustness
from tasks.values.splits import Splits


@task(
    name="evaluate",
    task_run_name="evaluate {model.result.recipe} seed {model.result.seed}",
    **policies.cached(
        distributions=("tensorflow", "keras", "numpy", "scipy", "scikit-learn", "cleanlab"),
        runs=("cnn_model.evaluation", *policies.BACKENDS),
    ),
)
def evaluate(
    model: TrainedModel,
    splits: Splits,
    near_duplicates: NearDuplicates,
    extra_test: Drop | None,
    config: EvaluateConfig,
) -> Evaluation:
    """Score one model on the test split and, apart from it, on extra test images, in a child process.

    It knows nothing of a champion.

    Args:
        model: The model.
        splits: What it was trained on, and the test split.
        near_duplicates: Of the dataset that the splits were cut from.
        extra_test: Images for testing only, beside the test split; None where there are none.
        config: How to score.
    """
    # SciPy and scikit-learn take a second to import.
    from tasks.evaluate import extra_test as extra_tests
    from tasks.evaluate import label_issues
    from tasks.evaluate.subsets import accuracy_without

    arrays = store.current().fetch(splits.artifact)
    with store.current().staging() as folder:
        held_out = _held_out(model, splits)
        also = {name: arrays / f"{name}_images.npy" for name in held_out}
        if extra_test is not None:
            also[extra_tests.NAME] = extra_tests.images_file(extra_test)
        result = _score(model.artifact, splits, folder, config, also)
        scored = [label_issues.load(name, arrays, folder) for name in ("test", *held_out)]
        extra = extra_tests.figures(extra_test, folder, splits.class_names) if extra_test is not None else None
        artifact = store.current().publish(folder)
    with store.current().staging() as folder:
        suspects = label_issues.write(folder, scored, splits.class_names)
        issues = LabelIssues(
            artifact=store.current().publish(folder),
            num_images=sum(len(split.labels) for split in scored),
            num_suspects=sum(map(len, suspects.values())),
        )
    test = scored[0]
    return Evaluation(
        artifact=artifact,
        test_digest=splits.test_digest,
        result=result,
        without_near_duplicates=accuracy_without(
            test.probabilities, test.labels, near_duplicates.test_images_in_train()
        ),
        label_issues=issues,
        without_label_issues=accuracy_without(
            test.probabilities, test.labels, np.isin(np.arange(len(test.labels)), suspects["test"])
        ),
        extra_test=extra,
    )


@task(
    name="champion",
    task_run_name="champion on the test images",
    **policies.cached(
        distributions=("tensorflow", "keras", "numpy"),
        runs=("cnn_model.evaluation", *policies.BACKENDS),
        # The digest stands for the arrays, which lie in another artifact whenever a drop comes.
        ignore=("splits", "config"),
    ),
)
def score_champion(model: Reference, test_digest: str, splits: Splits, config: EvaluateConfig) -> Predictions:
    """Score a champion on the test split, by the code that scores a new model, in a child process.

    Args:
        model: Its artifact.
        test_digest: The splits' `test_digest`.
        splits: Where the test split is.
        config: How to score.
    """
    with store.current().staging() as folder:
        _score(model, splits, folder, config)
        return Predictions(artifact=store.current().publish(folder), test_digest=test_digest)


score_anchor = score_champion.with_options(name="anchor", task_run_name="anchor on the test images")


@task(
    name="corruptions",
    task_run_name="new model on corrupted images",
    **policies.cached(
        distributions=("tensorflow", "keras", "numpy", "scipy", "pillow"),
        runs=("cnn_model.robustness", *policies.BACKENDS),
        # As for champions; the number of images is a parameter of its own.
        ignore=("splits", "config"),
    ),
)
def score_corruptions(
    model: Reference, test_digest: str, num_images: int, splits: Splits, config: EvaluateConfig
) -> Robustness:
    """Score a model's network on a sample of the test images, corrupted in all ways, in a child process.

    Args:
        model: Its artifact.
        test_digest: The splits' `test_digest`.
        num_images: In the sample, at least 1; all test images where there are fewer.
        splits: Where the test split is.
        config: How to score.
    """
    with store.current().staging() as folder:
        given = _child("robustness", model, splits, folder, config, [f"--num-images={num_images}"])
        result = RobustnessResult.model_validate(given)
        return Robustness(artifact=store.current().publish(folder), test_digest=test_digest, **result.model_dump())


score_champion_corruptions = score_corruptions.with_options(
    name="champion corruptions", task_run_name="champion on corrupted images"
)


def _score(
    model: Reference,
    splits: Splits,
    output: Path,
    config: EvaluateConfig,
    also: Mapping[str, Path] = MappingProxyType({}),
) -> EvaluationResult:
    """Let a child process write `probabilities.npy` of the test split, and `NAME_probabilities.npy` of further images.

    Args:
        model: The model's artifact.
        splits: With the test split.
        output: A folder that exists.
        config: How to score.
        also: Further files of images, by a name.
    """
    names = f"--class-names={','.join(splits.class_names)}"
    options = [names, *(f"--also={name}={file}" for name, file in also.items())]
    return EvaluationResult.model_validate(_child("evaluate", model, splits, output, config, options))


def _child(
    verb: str, model: Reference, splits: Splits, output: Path, config: EvaluateConfig, options: Sequence[str]
) -> child.Event:
    """Let a child process ask a model about the test split and write into `output`; what it gives as its result."""
    settings = machine.current()
    assert settings is not None, "the flow's door sets the machine"
    arrays = store.current().fetch(splits.artifact)
    arguments = {
        "--model": store.current().fetch(model) / "model.keras",
        "--images": arrays / "test_images.npy",
        "--labels": arrays / "test_labels.npy",
        "--output": output,
        "--batch-size": config.batch_size,
        "--device": settings.device,
    }
    with policies.device_slot():
        return child.run(
            verb,
            [*(str(part) for pair in arguments.items() for part in pair), *options],
            timeout_seconds=config.timeout_minutes * 60,
        )


def _held_out(model: TrainedModel, splits: Splits) -> tuple[str, ...]:
    """The splits beside test that the model was not trained on."""
    trained_on_all = model.result.num_train_images > splits.num_images["train"]
    return () if trained_on_all else ("validation", "calibration")
