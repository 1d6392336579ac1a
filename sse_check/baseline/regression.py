"""What got worse, as findings: a warning for each probe. The verdict rests on the criteria alone."""

from collections.abc import Sequence
from typing import Final

from sse_check.baseline.change import Change, Comparison
from sse_check.diagnosis.cures import CURES
from sse_check.diagnosis.finding import Finding
from sse_check.escape import quoted

CODE: Final = "regression"


def regressions(comparison: Comparison) -> tuple[Finding, ...]:
    """A finding for each probe that got worse; what is only possible is none, and the verdict is the criteria's."""
    worse: dict[str, list[Change]] = {}
    for change in comparison.changes:
        if change.direction == "worse" and change.confidence != "possible" and change.figure != "verdict":
            worse.setdefault(change.probe, []).append(change)
    since = f" Between the two runs: {'; '.join(other)}." if (other := _meanwhile(comparison)) else ""
    return tuple(_finding(probe, changes, comparison, since) for probe, changes in worse.items())


def _finding(probe: str, changes: Sequence[Change], comparison: Comparison, since: str) -> Finding:
    evidence: dict[str, float | int | str] = {}
    for change in changes:
        evidence |= _figures(change)
    return Finding(
        code=CODE,
        severity="warning",
        confidence="certain" if any(change.confidence == "certain" for change in changes) else "likely",
        probe=probe,
        streams=(),
        evidence=evidence,
        message=f"Worse than in the run of {quoted(comparison.test_timestamp)}: {'; '.join(change.detail for change in changes)}.{since}",
        fixes=CURES[CODE],
    )


def _figures(change: Change) -> dict[str, float | int | str]:
    """`first_event_time`, `first_event_time_before` and `first_event_time_noise`, as far as they are known."""
    values = {"": change.after, "_before": change.before, "_noise": change.noise}
    counted = change.unit in ("streams", "bytes")  # whole numbers are counts, others seconds
    return {
        f"{change.figure}{suffix}": int(value) if counted and isinstance(value, float) else value
        for suffix, value in values.items()
        if value is not None
    }


def _meanwhile(comparison: Comparison) -> list[str]:
    """What else changed and may be the cause."""
    return [change.detail for change in comparison.changes if change.figure in ("hop", "protocol")]
