"""The way in words: the limits that were measured beside the documented ones, and the instances that answered."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from sse_check.diagnosis import Bound, Hop, Limits, limit_in_words
from sse_check.diagnosis.limit_findings import spread_in_words
from sse_check.instances import instance_of, told_apart
from sse_check.metrics import StreamMetrics
from sse_check.units import format_duration

_REACHED_SHARE: Final = 0.95  # of the time that was looked: what lived so long was not cut


class LimitRow(Struct, frozen=True, kw_only=True):
    """One limit of one way, for a table; `limit` says of what."""

    probe: str
    way: str
    limit: str
    measured: str
    documented: str


class InstanceResult(Struct, frozen=True, kw_only=True):
    """One instance of the application: how many streams it answered, and how many of them were good."""

    name: str
    streams: int
    passed: int


def limit_rows(limits: Sequence[Limits], hops: Sequence[Hop]) -> tuple[LimitRow, ...]:
    """The limits, each with what was measured and what is documented of the hops that were recognised."""
    rows = []
    for found in limits:
        way = "past the proxies" if found.way == "direct" else "through the deployment"
        shown: tuple[Hop, ...] = () if found.way == "direct" else tuple(hops)
        for name, bound, of in (
            ("limit on the first byte", found.first_byte, "first_byte"),
            ("limit on silence (idle)", found.idle, "idle"),
            ("limit on age (total)", found.total, "total"),
        ):
            said = ", ".join(f"{hop.name} {limit_in_words(getattr(hop.limits, of))}" for hop in shown)
            measured = _measured(bound, found, undecided=of != "first_byte")
            rows.append(LimitRow(probe=found.probe, way=way, limit=name, measured=measured, documented=said or "–"))
        rows.append(LimitRow(probe=found.probe, way=way, limit="heartbeat", measured=_heartbeat(found), documented="–"))
        if found.unanswered:
            said = f"{found.unanswered} of the search were answered with something else than a stream"
            rows.append(LimitRow(probe=found.probe, way=way, limit="streams", measured=said, documented="–"))
    return tuple(rows)


def _measured(bound: Bound, found: Limits, *, undecided: bool) -> str:
    if bound.seconds is not None:
        cuts = f"{bound.cuts} {'streams' if bound.cuts > 1 else 'stream'}"
        spread = f", {spread_in_words(bound.earliest or 0.0, bound.latest or 0.0)}" if bound.cuts > 1 else ""
        return f"{format_duration(bound.seconds)} ({cuts}{spread})"
    if undecided and found.either is not None:
        return f"{format_duration(found.either)}, for silence or for age: no stream with data tells which"
    if undecided and found.undecided:
        return f"undecided: {found.undecided}"
    if bound.survived >= found.until * _REACHED_SHARE:
        return f"not reached in {format_duration(found.until)}"
    return f"not known: longer than {format_duration(bound.survived)}" if bound.survived else "not known"


def _heartbeat(found: Limits) -> str:
    beat = found.heartbeat
    if not found.heard:
        return "not tried: the server did not repeat SSE-Check-Arm, so it sent what it always sends (docs/limits.md)"
    if found.idle.seconds is None:
        lived = "none was needed: no limit on silence was met"
    else:
        lived = f"every {format_duration(beat.every)} outlives the limit on silence" if beat.every else "none that was tried outlives it"
    if beat.swallowed is None:
        return lived
    return f"{lived}; {beat.swallowed:,} bytes are held back, " + (f"{beat.passed:,} come through" if beat.passed else "larger ones too")


def instance_results(metrics: Sequence[StreamMetrics], passed: Sequence[bool]) -> tuple[InstanceResult, ...]:
    """The instances that the streams landed on, by their names; none where no header tells them apart."""
    names = [instance_of(m.stream.head, m.probe.instance) for m in metrics]
    if not told_apart(names) and not any(m.probe.instance for m in metrics):
        return ()
    seen: dict[str, list[bool]] = {}
    for name, good in zip(names, passed, strict=True):
        if name is not None:
            seen.setdefault(name, []).append(good)
    return tuple(InstanceResult(name=name, streams=len(good), passed=sum(good)) for name, good in sorted(seen.items()))
