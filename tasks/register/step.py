"""The Prefect task of the sixth step."""

from prefect import task

from tasks import policies
from tasks.register.config import RegisterConfig
from tasks.values.dataset import RawDataset
from tasks.values.evaluation import Evaluation
from tasks.values.execution import RunInfo
from tasks.values.model import TrainedModel
from tasks.values.near_duplicates import NearDuplicates
from tasks.values.opponents import Opponents
from tasks.values.registration import Registration
from tasks.values.robustness import RobustnessPair
from tasks.values.splits import Splits


@task(name="register", **policies.uncached())
def register(
    dataset: RawDataset,
    splits: Splits,
    model: TrainedModel,
    evaluation: Evaluation,
    near_duplicates: NearDuplicates,
    opponents: Opponents,
    robustness: RobustnessPair | None,
    run: RunInfo,
    config: RegisterConfig,
) -> Registration:
    """Record the model in the registry and promote it if it earned that; a refusal is a result, not a failure."""
    # MLflow takes a second to import and belongs to this step alone.
    from tasks.register.candidate import Candidate
    from tasks.register.registration import register_model

    candidate = Candidate(dataset, splits, model, evaluation, near_duplicates, opponents, robustness, run)
    return register_model(candidate, config)
