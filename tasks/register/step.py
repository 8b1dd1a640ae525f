"""The Prefect task of the sixth step."""

from prefect import task

from tasks import policies
from tasks.register.config import RegisterConfig
from tasks.values.dataset import RawDataset
from tasks.values.evaluation import Evaluation
from tasks.values.execution import RunInfo
from tasks.values.model import TrainedModel
from tasks.values.registration import Registration
from tasks.values.splits import Splits


@task(name="register", **policies.uncached())
def register(
    dataset: RawDataset,
    splits: Splits,
    model: TrainedModel,
    evaluation: Evaluation,
    run: RunInfo,
    config: RegisterConfig,
) -> Registration:
    """Record the model in the registry and promote it if it earned that; a refusal is a result, not a failure."""
    # MLflow takes a second to import and belongs to this step alone.
    from tasks.register.registration import register_model

    return register_model(dataset, splits, model, evaluation, run, config)
