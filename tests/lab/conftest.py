"""Runs the lab's cases a few at a time while the tests wait for theirs, and sums up what was said of them."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.lab.cases import Case
from tests.lab.deployments import Outcome, observe

# Each run is mostly waiting; more at once, and the measuring machine itself would be late.
AT_ONCE: Final = 3

_SAID: Final = pytest.StashKey[list[tuple[Case, str]]]()
_AGAIN: Final = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def outcome_of(
    request: pytest.FixtureRequest, server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Case], Outcome]]:
    """What sse-check said of a case. Every case that was selected is begun with the first that is asked for."""
    wanted = [case for item in request.session.items if (case := _case(item)) is not None]
    reports = tmp_path_factory.mktemp("lab")
    said = request.config.stash.setdefault(_SAID, [])
    again = request.config.stash.setdefault(_AGAIN, [])

    def begin(number: int, case: Case) -> Outcome:
        directory: Path = reports / f"{number}-{case.name}"
        outcome = observe(case, server, directory)
        if outcome.report["recommendation"] != "MEASURE AGAIN":
            return outcome
        # The machine was too late to judge: what a user is told to do then, once.
        again.append(case.name)
        return observe(case, server, directory.with_name(f"{directory.name}-again"))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        begun: dict[int, Future[Outcome]] = {id(case): pool.submit(begin, number, case) for number, case in enumerate(wanted)}

        def outcome(case: Case) -> Outcome:
            result = begun[id(case)].result()
            said.append((case, result.said))
            return result

        yield outcome
        for future in begun.values():
            future.cancel()


def _case(item: pytest.Item) -> Case | None:
    case = getattr(getattr(item, "callspec", None), "params", {}).get("case")
    return case if isinstance(case, Case) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The confusion matrix: what the cases are, and what sse-check said."""
    said = config.stash.get(_SAID, [])
    if not said:
        return
    matrix = Counter((case.label or "healthy", code) for case, code in said)
    terminalreporter.section("lab: what is true, and what sse-check said")
    for (truth, code), count in sorted(matrix.items()):
        wrong = (
            ""
            if truth == code
            else "   <-- " + ", ".join(case.name for case, was in said if (case.label or "healthy", was) == (truth, code))
        )
        terminalreporter.write_line(f"{count:4}  {truth:20} {code:20}{wrong}".rstrip())
    again = config.stash.get(_AGAIN, [])
    if again:
        terminalreporter.write_line("measured again, since sse-check said so: " + ", ".join(again))
    right = sum(count for (truth, code), count in matrix.items() if truth == code)
    terminalreporter.write_line(f"{right} of {len(said)} right")
