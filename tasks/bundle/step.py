"""The Prefect task that writes the bundle of a registered model."""

from prefect import task

from tasks import policies
from tasks.values.bundle import Exported, WrittenBundle
from tasks.values.dataset import RawDataset
from tasks.values.evaluation import Evaluation
from tasks.values.model import TrainedModel
from tasks.values.registration import Registration
from tasks.values.splits import Splits


@task(name="bundle", task_run_name="bundle of version {registration.version}", **policies.uncached())
def bundle(
    dataset: RawDataset,
    splits: Splits,
    model: TrainedModel,
    evaluation: Evaluation,
    registration: Registration,
    exported: Exported,
) -> WrittenBundle:
    """Write the bundle of a registered model into the store, as a folder and as an archive."""
    # MLflow and Jinja2 take a second to import.
    from tasks.bundle.writing import HandedOver, write

    return write(HandedOver(dataset, splits, model, evaluation, registration, exported))
