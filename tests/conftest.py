"""What several test modules share."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from sse_check.transport.arrival import Loop
from tests.support.process import serving

# In CI the same examples at every run, so that a build is red for its own change only; elsewhere new ones each time.
# How long one takes is the machine's affair, and its neighbours'.
settings.register_profile("tests", derandomize=bool(os.environ.get("CI")), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The embedded server as a process of its own; gives its base URL."""
    with serving() as base:
        yield base


def pytest_asyncio_loop_factories() -> dict[str, type[Loop]]:
    """Tests run in the loop that a run has; in any other, arrivals are stamped by this process."""
    return {"stamping": Loop}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests of one group follow each other in one process."""
    from tests.support.groups import Grouped  # of pytest-xdist, which only `-n` needs

    return Grouped(config, log)


@pytest.fixture(autouse=True)
def _turn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A test that is marked `alone` waits until no other process runs one, and then they wait for it."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    from tests.support.groups import turn  # see above

    with turn(tmp_path_factory.getbasetemp().parent, alone=request.node.get_closest_marker("alone") is not None):
        yield
