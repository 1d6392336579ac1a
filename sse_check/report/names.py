"""How a stream is called in front of people, and its figures in a line."""

from typing import Final

from sse_check.recording import Arm, Factor, Phase
from sse_check.report.result import ENDINGS, StreamResult
from sse_check.units import format_duration, format_measured

FACTORS: Final[dict[Factor, str]] = {
    "identity": "without compression",
    "alone": "one by itself",
    "again": "a second time",
    "direct": "past the proxies",
    "resume": "after the last event",
}


def stream_name(probe: str, stream: int, phase: Phase, factor: Factor | None = None, arm: Arm | None = None) -> str:
    """The name of a stream: `chat`, `chat #2`, `chat (without compression)`. `probe` is shown as it is given."""
    return probe + which(stream, phase, factor, arm)


def which(stream: int, phase: Phase, factor: Factor | None = None, arm: Arm | None = None) -> str:
    """What tells a stream from the others of its probe, to stand behind the probe's name; often nothing."""
    if phase == "concurrency":
        return f" #{stream}"
    if phase == "resume":
        return ", to be cut" if stream == 1 else ", asked for again"
    parts = []
    if arm is not None:
        rhythm = f" every {format_duration(arm.every)}" if arm.every else ""
        parts.append(arm.kind + rhythm + (f", {arm.size:,} bytes" if arm.size else ""))
    if factor is not None:
        parts.append(FACTORS[factor] + (f" #{stream}" if stream > 1 else ""))
    return f" ({', '.join(parts)})" if parts else ""


def in_words(stream: StreamResult) -> str:
    """How much came of a stream, from when on, and how it ended."""
    first = (
        "no event"
        if stream.first_event_time is None
        else f"first after {format_measured(stream.first_event_time, stream.first_event_error)}"
    )
    ended = f"{ENDINGS[stream.ended]} after {format_duration(stream.end_time)}"
    return f"{stream.total_events}/{stream.expected_events} events, {first}, {_tokens(stream)}{ended}"


def _tokens(stream: StreamResult) -> str:
    if stream.first_token_time is None:
        return ""
    gaps = "" if stream.token_gap_median is None else f", then {format_duration(stream.token_gap_median)} apart (median)"
    what = "tokens" if stream.negotiated is None else "reports of progress"
    return f"{stream.tokens} {what} from {format_duration(stream.first_token_time)} on{gaps}, "
