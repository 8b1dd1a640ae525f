"""What the tests of register share."""

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Thousands of small matrix products; threads would wait for one another, the more so beside other tests."""
    with threadpool_limits(1, user_api="blas"):
        yield
