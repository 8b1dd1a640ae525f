"""Figures on images that are kept for testing only, beside the published test images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnn_model import metrics
from tasks import store
from tasks.values.drops import Drop
from tasks.values.evaluation import ExtraTestEvaluation

NAME = "extra_test"


def images_file(drop: Drop) -> Path:
    """The images that the model is asked for; their probabilities go by `NAME`.

    Raises:
        StoreError: if the artifact is missing or damaged.
    """
    return store.current().fetch(drop.artifact) / "images.npy"


def figures(drop: Drop, probabilities: Path, class_names: Sequence[str]) -> ExtraTestEvaluation:
    """What the model makes of them.

    Args:
        drop: Images and labels; at least one.
        probabilities: The folder of the probabilities.
        class_names: Names of the labels 0 to 9.
    """
    labels = np.load(store.current().fetch(drop.artifact) / "labels.npy", allow_pickle=False)
    given = np.load(probabilities / f"{NAME}_probabilities.npy", allow_pickle=False)
    return ExtraTestEvaluation(digest=drop.digest, result=metrics.evaluate(given, labels, class_names))
