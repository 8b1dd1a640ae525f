"""A new model and everything that is known of it when it is registered."""

from dataclasses import dataclass

from tasks.store import Reference
from tasks.values.dataset import RawDataset
from tasks.values.evaluation import Evaluation
from tasks.values.execution import RunInfo
from tasks.values.model import TrainedModel
from tasks.values.near_duplicates import NearDuplicates
from tasks.values.opponents import Opponents
from tasks.values.robustness import RobustnessPair
from tasks.values.splits import Splits


@dataclass(frozen=True)
class Candidate:
    """A new model and everything that is known of it.

    Attributes:
        dataset: What it was trained on.
        splits: Cut from it.
        model: The model.
        evaluation: Its figures on the test split.
        near_duplicates: Of the dataset.
        opponents: Whom it is compared with, scored on the same test split.
        robustness: The model and the champion on corrupted test images; None where none were corrupted.
        run: The run that made it.
    """

    dataset: RawDataset
    splits: Splits
    model: TrainedModel
    evaluation: Evaluation
    near_duplicates: NearDuplicates
    opponents: Opponents
    robustness: RobustnessPair | None
    run: RunInfo

    @property
    def named_for_good(self) -> tuple[Reference, ...]:
        """The artifacts that its promotion leads to: the model, what it was made of and what speaks for it."""
        dataset = self.dataset
        drops = dataset.drops if dataset.extra_test is None else (*dataset.drops, dataset.extra_test)
        made_of = (dataset.artifact, *(drop.artifact for drop in drops), self.splits.artifact)
        return (self.model.artifact, *made_of, self.evaluation.artifact)
