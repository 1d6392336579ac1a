"""The measuring machine's own part in a run: how late it was, what it could not do, and what of the findings that cannot have feigned."""

from collections.abc import Sequence
from typing import Final

from sse_check.diagnosis.cures import CURES, POOR_MACHINE
from sse_check.diagnosis.finding import Finding
from sse_check.diagnosis.shape import HELD_S
from sse_check.diagnosis.sign import Figures
from sse_check.escape import quoted
from sse_check.metrics import StreamMetrics
from sse_check.precision import MeasurementError
from sse_check.recording import Environment
from sse_check.scenario import Criteria
from sse_check.units import format_duration

# The measurement is too coarse to judge a limit when its own error reaches this share of it.
NOISE_SHARE: Final = 0.1
# Faults that no lateness of the measuring machine can feign: what was answered, what was cut, what was numbered.
_NOISE_PROOF: Final = frozenset(
    {
        "refused",
        "http-error",
        "not-sse",
        "concurrency-limited",
        "truncated",
        "idle-timeout",
        "duration-limit",
        "lost-events",
        "resume-broken",
    }
)
# What was late by so many times the machine's longest freeze was not late because of it.
_WELL_ABOVE: Final = 4.0


def noise_limit(criteria: Criteria) -> float:
    """Lateness of the measuring machine, in seconds, from which on the scenario's limits cannot be judged."""
    # What is held back is told from what is not by a fixed time, so that limits the noise as well.
    return min(criteria.first_event * NOISE_SHARE, criteria.event_deadline * NOISE_SHARE, HELD_S / 2)


def runner_noise(criteria: Criteria, environment: Environment, error: MeasurementError | None) -> list[Finding]:
    """Whether the measuring machine itself was too late for the limits that are judged: by the error it states, else by its loop's lag."""
    figures: Figures = {"loop_lag_p99": environment.loop_lag_p99, "loop_lag_max": environment.loop_lag_max}
    if error is None:
        late, limit = environment.loop_lag_p99, noise_limit(criteria)
        said = f"The measuring machine was itself up to {format_duration(late)} late (99th percentile)"
    else:
        # Events that come together share the error of their read, and the first one of a stream is judged by another limit.
        judged = (
            (error.first_p99, criteria.first_event * NOISE_SHARE),
            (error.p99, min(criteria.event_deadline * NOISE_SHARE, HELD_S / 2)),
        )
        late, limit = max(judged, key=lambda pair: pair[0] - pair[1])
        figures = {"error_p99": error.p99, "error_max": error.max, "first_error_p99": error.first_p99, **figures}
        said = f"The measuring machine read events up to {format_duration(late)} late (99th percentile)"
    if late <= limit:
        return []
    return [
        Finding(
            code="runner-noise",
            severity="warning",
            confidence="certain",
            probe="",
            streams=(),
            evidence={**figures, "limit": limit},
            message=f"{said}, more than the {format_duration(limit)} with which its limits can be judged.",
            fixes=CURES["runner-noise"],
        )
    ]


def not_opened(metrics: Sequence[StreamMetrics]) -> list[Finding]:
    """Of the streams of each probe those that this machine could not open: no file, no port, no route, no answer of its resolver."""
    probes: dict[str, list[StreamMetrics]] = {}
    for m in metrics:
        probes.setdefault(m.stream.probe, []).append(m)
    found = []
    for probe, streams in probes.items():
        mine = [m for m in streams if m.stream.reason == "machine"]
        if not mine:
            continue
        what = "The stream" if len(streams) == 1 else f"{len(mine):,} of {len(streams):,} streams"
        said = mine[0].stream.error or "no reason given"
        found.append(
            Finding(
                code="runner-noise",
                severity="warning",
                confidence="certain",
                probe=probe,
                streams=tuple(m.stream.stream for m in mine),
                evidence={"not_opened": len(mine), "streams": len(streams), "error": said},
                message=f"{what} could not be observed by the measuring machine itself: {quoted(said)}. That says nothing of the deployment.",
                fixes=POOR_MACHINE,
            )
        )
    return found


def proof_against_noise(finding: Finding, frozen: float) -> bool:
    """Whether no lateness of the measuring machine can have feigned this; `frozen` is for how many seconds it stood still at most.

    Where only a wait shows the fault (an answer that came late, a connection that was given up), it must have been well above that.
    """
    waited = finding.evidence.get("waited")
    if finding.code not in _NOISE_PROOF:
        return False
    return not isinstance(waited, int | float) or waited > _WELL_ABOVE * frozen


def lateness_proves(finding: Finding, frozen: float) -> bool:
    """Whether something was late, or held back, by well above what a machine that stood still for `frozen` seconds makes of it."""
    figures = (finding.evidence.get(name, 0.0) for name in ("held_back_most", "head"))
    return max(figure for figure in figures if not isinstance(figure, str)) > _WELL_ABOVE * frozen
