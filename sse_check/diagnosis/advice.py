"""What stands beside a finding: the hops on the way, what is documented of their limits, and the changes that cure it."""

from collections.abc import Sequence

import msgspec

from sse_check.diagnosis.cures import CURES
from sse_check.diagnosis.finding import Fix
from sse_check.diagnosis.platforms import Hop, Limit, cures_of, heartbeat_every, idle_limit, recognise
from sse_check.metrics import StreamMetrics
from sse_check.units import format_duration


def hops_of(m: StreamMetrics) -> tuple[Hop, ...]:
    """The hops that a stream's response headers show."""
    return recognise(m.stream.head) if m.stream.head is not None else ()


def documented(code: str, hops: Sequence[Hop]) -> str:
    """What is documented of the recognised hops for the limit that was observed, to stand beside it."""
    said = [
        f"{hop.name} {limit_in_words(limit)}"
        for hop in hops
        if (limit := {"idle-timeout": hop.limits.idle, "duration-limit": hop.limits.total}.get(code)) is not None
    ]
    return f" Documented by default: {', '.join(said)}." if said else ""


def limit_in_words(limit: Limit) -> str:
    """A documented limit: none, unknown, or a time."""
    if limit is None:
        return "none"
    return limit if isinstance(limit, str) else format_duration(limit)


def cures(code: str, hops: Sequence[Hop], idle: float | None = None, status: object = None) -> tuple[Fix, ...]:
    """The cures for the hops that were recognised, then the general ones for everybody else.

    `idle` is the limit on silence that was observed, in seconds: what heartbeats are timed by, before a documented one.
    Cures that begin with a status hold for that one alone.
    """
    known = [fix for fix in cures_of(hops, code, idle) if not fix.text.startswith("Status ") or str(status) in fix.text[:16]]
    places = {fix.where for fix in known}
    every = heartbeat_every(idle if idle is not None else idle_limit(hops))
    general = (msgspec.structs.replace(fix, text=fix.text.replace("{interval}", every)) for fix in CURES.get(code, ()))
    return (*known, *(fix for fix in general if fix.where not in places))
