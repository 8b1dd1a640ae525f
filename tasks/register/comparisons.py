"""The new model beside its opponents, in figures with bootstrap intervals: for people. Nothing is decided here."""

from collections.abc import Iterator

import numpy as np

from cnn_model import paired
from cnn_model.metrics import Probabilities
from tasks.register.evidence import Opponent, TestImages
from tasks.values.decision import Comparison, PairedFigure


def compare(
    challenger: Probabilities,
    images: TestImages,
    champion: Opponent,
    anchor: Opponent | None,
    margin: float,
    num_resamples: int,
) -> Iterator[Comparison]:
    """Each opponent on all test images, and on those without near-duplicates where that are others.

    Args:
        challenger: Its probabilities, ndarray of shape (num_images, num_classes).
        images: The test images.
        champion: Scored.
        anchor: Scored as well, or None.
        margin: Of the test that the challenger is not worse.
        num_resamples: For the intervals.
    """
    everything = np.ones(len(images.labels), np.bool_)
    subsets = [everything, images.distinct] if 0 < images.distinct.sum() < len(everything) else [everything]
    for opponent in (champion, anchor) if anchor is not None else (champion,):
        for chosen in subsets:
            labels = images.labels[chosen]
            own = paired.score_images(challenger[chosen], labels)
            other = paired.score_images(opponent.scored[chosen], labels)
            wins, losses = int((own.correct & ~other.correct).sum()), int((other.correct & ~own.correct).sum())
            figures = paired.bootstrap(own, other, num_resamples)
            yield Comparison(
                opponent="champion" if opponent is champion else "anchor",
                version=opponent.version,
                images="all" if chosen is everything else "without near-duplicates",
                num_images=len(labels),
                num_wins=wins,
                num_losses=losses,
                **{name: PairedFigure(**vars(figure)) for name, figure in figures.items()},
                mcnemar_p=float(paired.mcnemar_p(wins, losses)),
                not_worse_p=float(paired.not_worse_p(wins, losses, len(labels), margin)),
                detectable_difference=paired.detectable_difference(wins, losses, len(labels)),
            )
