"""What several test modules share."""

from collections.abc import Iterator

import pytest

from tests.support.process import serving


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The embedded server as a process of its own; gives its base URL."""
    with serving() as base:
        yield base
