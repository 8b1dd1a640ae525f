"""Test images that challenger and champion answer differently: newly right ones and newly wrong ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.report.gallery import Picture, ScoredImages


@dataclass(frozen=True)
class Flip:
    """One test image, and what either model made of it."""

    challenger: Picture
    champion: Picture


@dataclass(frozen=True)
class Flips:
    """The images of which one model alone is right.

    Attributes:
        newly_right: Those that the challenger alone gets right, the largest change in the true class's probability
            first.
        newly_wrong: Those that the champion alone gets right, likewise.
        num_newly_right: In all.
        num_newly_wrong: In all.
        num_both_right: Images that both get right.
        num_both_wrong: Images that neither gets right.
    """

    newly_right: tuple[Flip, ...]
    newly_wrong: tuple[Flip, ...]
    num_newly_right: int
    num_newly_wrong: int
    num_both_right: int
    num_both_wrong: int


def find_flips(challenger: ScoredImages, champion: ScoredImages, number: int) -> Flips:
    """Compare two models image by image; the same figures give the same pictures.

    Args:
        challenger: The new model on the test images.
        champion: The other on the same ones.
        number: How many pictures of each kind at most.
    """
    rows = np.arange(len(challenger.labels))
    change = abs(
        challenger.probabilities[rows, challenger.labels] - champion.probabilities[rows, challenger.labels]
    )  # (num_images,)
    right, wrong = challenger.correct & ~champion.correct, champion.correct & ~challenger.correct

    def shown(chosen: NDArray[np.bool_]) -> tuple[Flip, ...]:
        indices = np.flatnonzero(chosen)
        first = indices[np.argsort(-change[indices], kind="stable")][:number]
        return tuple(Flip(challenger.picture(index), champion.picture(index)) for index in first.tolist())

    return Flips(
        newly_right=shown(right),
        newly_wrong=shown(wrong),
        num_newly_right=int(right.sum()),
        num_newly_wrong=int(wrong.sum()),
        num_both_right=int((challenger.correct & champion.correct).sum()),
        num_both_wrong=int((~challenger.correct & ~champion.correct).sum()),
    )
