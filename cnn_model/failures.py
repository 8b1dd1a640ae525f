"""The failures of this library that a caller tells apart, each with a `kind` that stands in an error event.

Every message says what came, what was expected and what to do.
"""


class ModelFailure(Exception):
    """A failure with a cause that a person can act on."""

    kind: str = "bad_request"


class BadRequestError(ModelFailure):
    """A recipe, an option or a model file that cannot be right."""


class BadDataError(ModelFailure):
    """Arrays that are missing, of another shape or type, or with labels out of range."""

    kind = "bad_data"


class MismatchError(ModelFailure):
    """Probabilities that are not those that were expected of the model."""

    kind = "mismatch"


class BundleError(ModelFailure):
    """A bundle that is damaged, altered, incomplete or another one than was asked for."""

    kind = "bad_bundle"


class UsageError(ModelFailure):
    """A command line that cannot be right; found once its files were looked at."""


class NoDeviceError(ModelFailure):
    """The wanted device is not there."""

    kind = "no_device"


class DivergedError(ModelFailure):
    """The loss is no longer a number."""

    kind = "diverged"


def kind_of(error: BaseException) -> str | None:
    """The kind of `error` for an error event; None for a bug, which keeps its traceback.

    An exhausted device is known by its name, so that this module needs no framework: TensorFlow raises
    ResourceExhaustedError, XLA an error whose text starts with RESOURCE_EXHAUSTED.
    """
    if isinstance(error, ModelFailure):
        return error.kind
    exhausted = type(error).__name__ == "ResourceExhaustedError" or "RESOURCE_EXHAUSTED" in str(error)
    return "out_of_memory" if exhausted or isinstance(error, MemoryError) else None
