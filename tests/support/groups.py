"""Which tests follow each other in one process where several processes run tests, and which run alone; all others run wherever there is room.

pytest-xdist has `--dist loadgroup` for this, but 3.8 with pytest 9.2 overlooks the groups without a word
(https://github.com/pytest-dev/pytest-xdist/issues/1386).
"""

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from xdist.scheduler import LoadScopeScheduling

# The beginning of a test's ID, and the group: what is in the pattern's brackets is part of its name.
GROUPS: Final = tuple(
    (re.compile(pattern), group)
    for pattern, group in (
        # Each starts a browser, which takes most of a processor.
        (r"tests/lab/test_(?:browser|hostile_server|junit|page|pictures|summary_rendering)\.py::", "browser"),
        # The server and the clients are compiled once.
        (r"tests/lab/test_benchmarks\.py::", "benchmarks"),
        # A case is measured once.
        (r"tests/lab/test_limits\.py::\w+(\[.*)", r"limits\1"),
        # Each counts what is left on the engine, and a run removes what another has left.
        (r"tests/container/(?:test_services\.py::|test_workflows\.py::test_the_pull_requests_example)", "services"),
        # act calls its containers after the workflow and the job.
        (r"tests/container/test_workflows\.py::(\w+)", r"workflow \1"),
    )
)


def group_of(test: str) -> str:
    """The group of a test by its ID; one of its own where it has none."""
    return next((match.expand(group) for pattern, group in GROUPS if (match := pattern.match(test))), test)


class Grouped(LoadScopeScheduling):  # type: ignore[misc] # pytest-xdist has no types
    """The largest group first, each in one process; a process gets the next when it is nearly done with what it has."""

    def _split_scope(self, nodeid: str) -> str:  # what pytest-xdist documents for schedulers of one's own
        return group_of(nodeid)


@contextmanager
def turn(directory: Path, *, alone: bool) -> Iterator[None]:
    """Beside the tests of other processes, which share the directory, or alone. Who waits to be alone is overtaken by nobody."""
    with (directory / "turn.lock").open("w") as queue, (directory / "running.lock").open("w") as running:
        fcntl.flock(queue, fcntl.LOCK_EX)
        fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(queue, fcntl.LOCK_UN)
        yield
