"""What a run says of the alternatives to SSE: how long a WebSocket must be seen to last, and what a recommendation rests on."""

from collections.abc import Sequence
from typing import Final

from sse_check.diagnosis import Finding
from sse_check.recording import FallbackRecording
from sse_check.scenario import Scenario
from sse_check.units import format_duration

_HOLD_S: Final = 5.0  # where nothing was cut: a connection that is closed right after its upgrade shows itself
_BEYOND: Final = 1.2  # times a limit that was met: what cuts the stream then would have cut the WebSocket as well
_LONGEST_HOLD_S: Final = 120.0  # twice as long as the limit that most proxies have by default
_LIMITS: Final = ("idle_timeout", "max_duration")


def longest_limit(findings: Sequence[Finding]) -> float:
    """The longest limit that cut a stream of the run, in seconds; 0 where none did."""
    figures = (finding.evidence.get(name) for finding in findings for name in _LIMITS)
    return max((float(figure) for figure in figures if isinstance(figure, int | float)), default=0.0)


def silence_to_hold(findings: Sequence[Finding]) -> float:
    """For how many seconds a WebSocket must stay open and silent, where its fallback does not say."""
    return min(_LONGEST_HOLD_S, max(_HOLD_S, round(_BEYOND * longest_limit(findings), 3)))


def footing(verdict: str, findings: Sequence[Finding], tried: Sequence[FallbackRecording], scenario: Scenario) -> str | None:
    """What the recommendation of an alternative does not rest on, as a sentence; None where it is proven, or is none."""
    if verdict != "not-viable":
        return None
    if not tried:
        why = "those that the scenario names were left out" if scenario.fallbacks else "the scenario names none"
        return f"No fallback was tried ({why}): whether one works through this deployment is not known."
    limit = longest_limit(findings)
    works = next((fallback for fallback in tried if fallback.worked), None)
    if works is not None and works.kind == "websocket" and (works.held or 0.0) < limit:
        held = f"was held open for {format_duration(works.held)} only" if works.held else "was not held open"
        return f"The WebSocket {held}, and the limit that cut the stream is {format_duration(limit)}."
    return None
