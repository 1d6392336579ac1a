"""What each stream is called in front of people: its probe, and what tells it from the others of that probe."""

from typing import Final

from sse_check.recording import Arm, Factor, Phase
from sse_check.units import format_duration

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
        parts.append(FACTORS[factor])
    return f" ({', '.join(parts)})" if parts else ""
