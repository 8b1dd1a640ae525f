"""Says of each image how likely it has a fault that no single image shows for certain.

One linear model a fault, learned from images that are taken to be good and from the same images with the fault; one
more tells the classes apart, for labels. A score is a probability for a drop of which one image in twenty is faulty:
there lies what is to be found, and the mean score of a drop then says most about its share of faulty images.

Reference: Bella, Ferri, Hernandez-Orallo and Ramirez-Quintana, "Quantification via Probability Estimators", ICDM 2010:
a share is the mean score, put right by the mean scores of good and of faulty images.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, logit, logsumexp
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tasks.validate.faults import FAULTS, HARMLESS_QUALITIES, through_jpeg
from tasks.validate.features import Features

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Floats = NDArray[np.float64]

PRIOR = 0.05
"""Share of faulty images for which a score is the probability."""

REGULARIZATION = 1000.0
"""Of the linear models, on standardised features; chosen on held-out CIFAR-10 images, from 100 to 3,000."""

MAX_FAULTY = 3_000
"""Images that are given a fault, to learn it from and to measure it on; more tell little more."""

UNFIT_LABELS = "labels that do not fit"
SHIFTED_LABELS = "labels shifted by one"


@dataclass(frozen=True)
class _FaultModel:
    """Tells faulty images from good ones."""

    model: Pipeline
    calibration: LogisticRegression

    def scores(self, features: NDArray[np.float32]) -> Floats:
        log_odds = self.calibration.decision_function(self.model.predict(features).reshape(-1, 1))
        scores: Floats = expit(log_odds + logit(PRIOR))
        return scores


class Detectors:
    """Scores of images and labels for each fault.

    Args:
        images: Good ones to learn from, shape (num_images, 32, 32, 3), dtype=uint8.
        labels: Theirs, shape (num_images,); each class at least twice among them and among the held-out ones.
        held_out_images: Further good ones, from which probabilities and mean scores come.
        held_out_labels: Theirs.
        num_classes: Labels are 0 to num_classes - 1.

    Attributes:
        faulty_means: Mean score of faulty images, by the fault's name.
        held_out_scores: What `scores` gives of the held-out images.
    """

    def __init__(
        self, images: Images, labels: Labels, held_out_images: Images, held_out_labels: Labels, num_classes: int
    ) -> None:
        self._features = Features(images)
        self._num_classes = num_classes
        held_out = self._features(held_out_images)
        # Saved as cameras save them, images are as good as before, and their labels too.
        learned = self._features(np.concatenate([images, _through_mild_jpeg(images[:MAX_FAULTY])]))
        good_held_out = np.concatenate([held_out, self._features(_through_mild_jpeg(held_out_images[:MAX_FAULTY]))])
        self._faults: dict[str, _FaultModel] = {}
        self.faulty_means: dict[str, float] = {}
        for name, commit in FAULTS.items():
            faulty = self._features(commit(images[:MAX_FAULTY]))
            faulty_held_out = self._features(commit(held_out_images[:MAX_FAULTY]))
            fault = _learn(learned, faulty, good_held_out, faulty_held_out)
            self._faults[name] = fault
            self.faulty_means[name] = float(fault.scores(faulty_held_out).mean())
        targets = np.eye(num_classes)[np.concatenate([labels, labels[:MAX_FAULTY]])]
        self._classes = make_pipeline(StandardScaler(), Ridge(REGULARIZATION)).fit(learned, targets)
        self._class_calibration = LogisticRegression(max_iter=1000).fit(
            self._classes.predict(held_out), held_out_labels
        )
        for name, wrong in (
            (UNFIT_LABELS, _other(held_out_labels, num_classes)),
            (SHIFTED_LABELS, (held_out_labels + 1) % num_classes),
        ):
            self.faulty_means[name] = float(self._label_scores(held_out, wrong)[name].mean())
        self.held_out_scores = self._scores(held_out, held_out_labels)

    def scores(self, images: Images, labels: Labels) -> pd.DataFrame:
        """One row an image, one column a fault, 0 to 1."""
        return self._scores(self._features(images), labels)

    def _scores(self, features: NDArray[np.float32], labels: Labels) -> pd.DataFrame:
        of_images = {name: fault.scores(features) for name, fault in self._faults.items()}
        return pd.DataFrame({**of_images, **self._label_scores(features, labels)})

    def _label_scores(self, features: NDArray[np.float32], labels: Labels) -> dict[str, Floats]:
        """Of labels alone: any other label may be the right one, or one of the two beside it."""
        log_probability = np.full((len(labels), self._num_classes), -np.inf)
        given = self._class_calibration.decision_function(self._classes.predict(features))
        log_probability[:, self._class_calibration.classes_] = log_softmax(given, axis=1)
        rows = np.arange(len(labels))
        own = log_probability[rows, labels]
        others = log_probability.copy()
        others[rows, labels] = -np.inf
        beside = np.stack([log_probability[rows, (labels + step) % self._num_classes] for step in (-1, 1)], axis=1)
        return {
            UNFIT_LABELS: expit(logsumexp(others, axis=1) - np.log(self._num_classes - 1) - own + logit(PRIOR)),
            SHIFTED_LABELS: expit(logsumexp(beside, axis=1) - np.log(2) - own + logit(PRIOR)),
        }


def _learn(
    good: NDArray[np.float32],
    faulty: NDArray[np.float32],
    good_held_out: NDArray[np.float32],
    faulty_held_out: NDArray[np.float32],
) -> _FaultModel:
    # Both kinds weigh the same, however many there are of each.
    weights = np.repeat([len(faulty) / len(good), 1.0], [len(good), len(faulty)])
    model = make_pipeline(StandardScaler(), Ridge(REGULARIZATION))
    model.fit(np.concatenate([good, faulty]), _is_faulty(good, faulty), ridge__sample_weight=weights)
    given = model.predict(np.concatenate([good_held_out, faulty_held_out])).reshape(-1, 1)
    calibration = LogisticRegression(class_weight="balanced").fit(given, _is_faulty(good_held_out, faulty_held_out))
    return _FaultModel(model, calibration)


def _is_faulty(good: NDArray[np.float32], faulty: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.repeat([0, 1], [len(good), len(faulty)])


def _through_mild_jpeg(images: Images) -> Images:
    saved = images.copy()
    for start, quality in enumerate(HARMLESS_QUALITIES):
        own = slice(start, None, len(HARMLESS_QUALITIES))
        saved[own] = through_jpeg(images[own], quality)
    return saved


def _other(labels: Labels, num_classes: int) -> Labels:
    """For each label another one, drawn evenly."""
    steps = np.random.default_rng(0).integers(1, num_classes, len(labels))
    return (labels + steps) % num_classes
