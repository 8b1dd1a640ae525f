"""The bundle of a registered model: made for every new version, and kept where it is there and whole.

If it cannot be made the run fails, after its report: whoever serves models must not be left waiting in silence. What
was registered and promoted stays so, and a later run with the same model makes the bundle.
"""

from flows.execution import StepFailedError, Steps, one_line
from tasks.bundle import place
from tasks.bundle.step import bundle as bundle_step
from tasks.errors import PipelineError
from tasks.export import golden_images
from tasks.export.step import export as export_step
from tasks.register.candidate import Candidate
from tasks.values.registration import Registration


def bundle(steps: Steps, candidate: Candidate, registration: Registration) -> None:
    """Hand the registered model over, promoted or not.

    Args:
        steps: Runs and records export and bundle.
        candidate: The model, what it was trained on, and its figures.
        registration: Its version and the verdict; a model that was decided about anew gets a new bundle, whose card
            tells of that.

    Raises:
        StepFailedError: if the bundle cannot be made; says that the verdict stands.
    """
    try:
        if registration.verdict == "unchanged":
            kept = steps.attempt("bundle", place.find_intact, registration, candidate.model.result.model_sha256)
            if kept is not None:
                steps.values["bundle"] = kept
                return
        golden = steps.attempt("export", golden_images.publish, candidate.splits)
        exported = steps.run(export_step, candidate.model.artifact, golden)
        steps.run(
            bundle_step,
            candidate.dataset,
            candidate.splits,
            candidate.model,
            candidate.evaluation,
            registration,
            exported,
        )
    except StepFailedError as error:
        cause = one_line(error.cause)
        raise StepFailedError(
            error.step,
            PipelineError(
                f"{cause if cause.endswith('.') else cause + '.'} Version {registration.version} of "
                f"{registration.model_name} is registered all the same, and the verdict stands "
                f"({registration.verdict}); run again to have its bundle made."
            ),
        ) from error
