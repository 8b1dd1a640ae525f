"""The Prefect tasks that hand a registered model over: its exports, and the bundle."""

from prefect import task

from cnn_model.manifest import ExportResult
from tasks import child, policies, store
from tasks.bundle.golden_images import IMAGES
from tasks.store import Reference
from tasks.values.bundle import Exported, WrittenBundle
from tasks.values.dataset import RawDataset
from tasks.values.evaluation import Evaluation
from tasks.values.model import TrainedModel
from tasks.values.registration import Registration
from tasks.values.splits import Splits

EXPORT_TIMEOUT_SECONDS = 1800.0
"""An export takes seconds; a busy machine may take a minute."""


@task(
    name="export",
    **policies.cached(
        distributions=("tensorflow", "keras", "numpy", "tf2onnx", "onnx", "onnxruntime"),
        runs=("cnn_model.exports", "cnn_model.backends.tensorflow"),
    ),
)
def export(model: Reference, golden: Reference) -> Exported:
    """Export a model as SavedModel and ONNX in a child process, each checked against the model on golden images.

    Args:
        model: The model's artifact.
        golden: The artifact of the golden images.
    """
    opened = store.current()
    arguments = {"--model": opened.fetch(model) / "model.keras", "--golden": opened.fetch(golden) / IMAGES}
    with opened.staging() as folder:
        arguments["--output"] = folder
        result = child.run(
            "export",
            [str(part) for pair in arguments.items() for part in pair],
            timeout_seconds=EXPORT_TIMEOUT_SECONDS,
            backend="tensorflow",
        )
        return Exported(artifact=opened.publish(folder), golden=golden, result=ExportResult.model_validate(result))


@task(name="bundle", **policies.uncached())
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
