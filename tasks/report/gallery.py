"""Test images for the report: a sample of all classes, single predictions, and the surest mistakes."""

import base64
import io
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks import store
from tasks.values.splits import Splits


@dataclass(frozen=True)
class Picture:
    """One test image and what the model made of it.

    Attributes:
        index: Its place in the test split.
        source: The image as a PNG in a data URI, at its own size.
        probabilities: What the model gave each class, 0 to 1, by its name and in the order of the labels.
    """

    index: int
    source: str
    true_class: str
    predicted_class: str
    probabilities: dict[str, float]

    @property
    def correct(self) -> bool:
        """Whether the model was right."""
        return self.true_class == self.predicted_class

    @property
    def true_probability(self) -> float:
        """What the model gave the true class, 0 to 1."""
        return self.probabilities[self.true_class]

    @property
    def predicted_probability(self) -> float:
        """What it gave the class that it chose, 0 to 1."""
        return self.probabilities[self.predicted_class]


@dataclass(frozen=True)
class Gallery:
    """The pictures of one report.

    Attributes:
        sample: The classes in turn, of each the first images in the order of the test split.
        predictions: Half of them chosen as the sample is, then those that the model was least sure of.
        mistakes: Wrong predictions, the highest probability first.
        num_mistakes: Wrong predictions in all.
    """

    sample: tuple[Picture, ...]
    predictions: tuple[Picture, ...]
    mistakes: tuple[Picture, ...]
    num_mistakes: int


class ScoredImages:
    """The test split beside the probabilities of one model, read from the store where they are needed.

    Args:
        splits: The test images.
        artifact: It holds `probabilities.npy` in the order of the test split.

    Raises:
        StoreError: if an artifact is missing or damaged.
        ValueError: if images and probabilities do not match.
    """

    def __init__(self, splits: Splits, artifact: store.Reference) -> None:
        self.images: NDArray[np.uint8] = array(splits.artifact, "test_images.npy")  # (num_images, 32, 32, 3)
        self.labels: NDArray[np.int64] = array(splits.artifact, "test_labels.npy").astype(np.int64)
        self.probabilities: NDArray[np.float32] = array(artifact, "probabilities.npy")  # (num_images, 10)
        self.class_names = splits.class_names
        if not len(self.images) == len(self.labels) == len(self.probabilities):
            raise ValueError(
                f"{len(self.images)} test images, {len(self.labels)} labels and {len(self.probabilities)} "
                "probabilities; expected as many of each. Evaluate the model on these splits again."
            )
        self.predictions = self.probabilities.argmax(axis=1)
        self.correct = self.predictions == self.labels

    def picture(self, index: int) -> Picture:
        """One image with its figures."""
        true, predicted = int(self.labels[index]), int(self.predictions[index])
        return Picture(
            index=index,
            source=data_uri(self.images[index]),
            true_class=self.class_names[true],
            predicted_class=self.class_names[predicted],
            probabilities=dict(zip(self.class_names, self.probabilities[index].tolist(), strict=True)),
        )


def gallery(scored: ScoredImages, *, num_sample: int, num_predictions: int, num_mistakes: int) -> Gallery:
    """Choose the pictures of a report; the same figures give the same pictures."""
    wrong = np.flatnonzero(~scored.correct)
    confidence = scored.probabilities[wrong, scored.predictions[wrong]]
    surest = wrong[np.argsort(-confidence, kind="stable")][:num_mistakes]
    return Gallery(
        sample=tuple(map(scored.picture, _sample(scored, num_sample))),
        predictions=tuple(map(scored.picture, _single(scored, num_predictions))),
        mistakes=tuple(scored.picture(int(index)) for index in surest),
        num_mistakes=len(wrong),
    )


def _sample(scored: ScoredImages, num_images: int) -> list[int]:
    """The first image of every class, then the second of every class, and so on: in ten columns, one a class."""
    of_class = [np.flatnonzero(scored.labels == label) for label in range(len(scored.class_names))]
    ranks = range(max((len(indices) for indices in of_class), default=0))
    in_turn = (int(indices[rank]) for rank in ranks for indices in of_class if rank < len(indices))
    return list(islice(in_turn, num_images))


def _single(scored: ScoredImages, num_images: int) -> list[int]:
    """Images as they come, and the doubtful ones: there the probabilities of the other classes say something."""
    usual = _sample(scored, (num_images + 1) // 2)
    doubtful = np.argsort(scored.probabilities.max(axis=1), kind="stable")
    others = (int(index) for index in doubtful if index not in usual)
    return [*usual, *islice(others, num_images - len(usual))]


def array(artifact: store.Reference, name: str) -> Any:
    """An array of an artifact, memory-mapped.

    Raises:
        StoreError: if the artifact is missing or damaged.
    """
    return np.load(store.current().fetch(artifact) / name, mmap_mode="r", allow_pickle=False)


def data_uri(image: NDArray[np.uint8]) -> str:
    """An image of shape (height, width, 3) as a PNG in a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
