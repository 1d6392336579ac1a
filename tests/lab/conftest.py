"""Runs the lab's cases, and sums up what was said of them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.lab.cases import Case
from tests.lab.deployments import Outcome, observe

# What a test notes for the confusion matrix. It goes with the test's report, and so from a worker to the process that sums up.
_SAID: Final = "said of a case"


@pytest.fixture
def outcome_of(request: pytest.FixtureRequest, server: str, tmp_path: Path) -> Callable[[Case], Outcome]:
    """What sse-check says of a case."""

    def outcome(case: Case) -> Outcome:
        first = result = observe(case, server, tmp_path / case.name)
        if first.measure_again:
            result = observe(case, server, tmp_path / f"{case.name}-again")
        request.node.user_properties.append((_SAID, (case.label or "healthy", case.name, result.said, first.measure_again)))
        return result

    return outcome


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The confusion matrix: what the cases are, and what sse-check said."""
    said = list(_said(terminalreporter))
    if not said:
        return
    matrix = Counter((truth, code) for truth, _, code, _ in said)
    names = defaultdict(list)
    for truth, name, code, _ in said:
        names[truth, code].append(name)
    terminalreporter.section("lab: what is true, and what sse-check said")
    for (truth, code), count in sorted(matrix.items()):
        wrong = "" if truth == code else "   <-- " + ", ".join(names[truth, code])
        terminalreporter.write_line(f"{count:4}  {truth:20} {code:20}{wrong}".rstrip())
    again = [name for _, name, _, measured_again in said if measured_again]
    if again:
        terminalreporter.write_line("measured again, since sse-check said so: " + ", ".join(again))
    right = sum(count for (truth, code), count in matrix.items() if truth == code)
    terminalreporter.write_line(f"{right} of {len(said)} right")


def _said(terminalreporter: pytest.TerminalReporter) -> Iterator[tuple[str, str, str, bool]]:
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            if report.when == "call":
                yield from (value for name, value in report.user_properties if name == _SAID)
