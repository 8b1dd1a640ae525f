"""The Prefect task that exports a registered model for serving without Keras."""

from prefect import task

from cnn_model.manifest import ExportResult
from tasks import child, policies, store
from tasks.export.golden_images import IMAGES
from tasks.store import Reference
from tasks.values.bundle import Exported

TIMEOUT_SECONDS = 1800.0
"""An export takes seconds; a busy machine may take minutes."""


@task(
    name="export",
    task_run_name="export for serving",
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
            timeout_seconds=TIMEOUT_SECONDS,
            backend="tensorflow",
        )
        return Exported(artifact=opened.publish(folder), golden=golden, result=ExportResult.model_validate(result))
