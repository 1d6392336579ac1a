"""What a late machine leaves undecided of streams that show no fault."""

from collections.abc import Sequence

from sse_check.diagnosis.followup import follow_ups
from sse_check.diagnosis.holding import perhaps_held
from sse_check.diagnosis.noise import noise_limit
from sse_check.escape import quoted
from sse_check.metrics import StreamMetrics
from sse_check.scenario import Criteria
from sse_check.units import format_duration


def doubts(metrics: Sequence[StreamMetrics], criteria: Criteria, frozen: float) -> tuple[str, ...]:
    """Why streams without a fault are not proven good, in sentences; `frozen` is for how many seconds the machine stood still at most.

    Some look held back but for the error with which they were read; others looked strange enough to be asked again, by a machine that
    stood still meanwhile.
    """
    held = _named([m for m in metrics if perhaps_held(m)])
    said = [f"{held}: events look held back, and were read so late that it cannot be told whether they were."] if held else []
    if frozen > noise_limit(criteria):
        strange = {asked.probe for asked in follow_ups(metrics)}
        asked = _named([m for m in metrics if m.stream.probe in strange])
        said += [f"{asked}: asked again without an answer, while the machine stood still for {format_duration(frozen)}."] if asked else []
    return tuple(said)


def _named(metrics: Sequence[StreamMetrics]) -> str:
    return ", ".join(quoted(name) for name in dict.fromkeys(m.stream.probe for m in metrics))
