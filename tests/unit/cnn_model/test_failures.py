import pytest

from cnn_model.failures import BadDataError, DivergedError, kind_of


class ResourceExhaustedError(Exception):
    """Named as TensorFlow names it."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadDataError(""), "bad_data"),
        (DivergedError(""), "diverged"),
        (MemoryError(), "out_of_memory"),
        (ResourceExhaustedError(), "out_of_memory"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"), "out_of_memory"),
        (ValueError("a bug"), None),
    ],
)
def test_errors_have_the_kind_that_somebody_acts_on(error: Exception, kind: str | None):
    assert kind_of(error) == kind
