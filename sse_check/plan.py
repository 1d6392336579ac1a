"""What is wanted of one stream, before it is opened."""

from dataclasses import dataclass

from sse_check.recording import Arm, Factor, Phase
from sse_check.scenario import Preset, Until
from sse_check.transport import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """One stream to open. `timeout` is in seconds; `hosts` are patterns of hosts that redirects may lead to, None: all.

    `http2`: over HTTP/2, together with the others of its group on one connection. `opens_after` is in seconds from when
    the first of its group is opened.
    """

    probe: str
    stream: int
    phase: Phase
    request: Request
    until: Until
    timeout: float
    hosts: tuple[str, ...] | None = None
    factor: Factor | None = None
    arm: Arm | None = None
    preset: Preset | None = None
    http2: bool = False
    opens_after: float = 0.0
