"""Rules of streams that are cut, stop, or lose events on the way."""

from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from sse_check.diagnosis.shape import cut_in_silence
from sse_check.diagnosis.sign import Figures, Sign, View
from sse_check.escape import quoted
from sse_check.metrics import StreamMetrics
from sse_check.stamps import epoch_unit
from sse_check.units import format_duration

# Fewer steps than this show no counting.
MIN_STEPS: Final = 3
# A silence is a stall, not a hiccup, at so many times the longest pause seen, and at least so long.
STALL_GAPS: Final = 3.0
STALL_MIN_S: Final = 2.0
# A stream whose cadence nobody told is taken to go on only if it was so even, for so many gaps.
EVEN_GAPS: Final = 5
EVEN_FACTOR: Final = 3.0
# Cuts at one age are a limit; timers of proxies are exact to this (lighttpd checks each second, nginx to 0.2 s).
SAME_AGE_S: Final = 0.1
SAME_AGE_SHARE: Final = 0.03
# Nobody limits responses to less; a stream that breaks off sooner breaks for another reason, however regularly.
LEAST_AGE_S: Final = 0.5
# Where no hop is recognised: the shortest default measured is 31 s (Apache Traffic Server), so a stream must not be
# silent for half of that without a heartbeat.
COMMON_IDLE_LIMIT_S: Final = 30.0
# Numbers count events if this share of their steps is exactly one.
COUNTING_SHARE: Final = 0.8
SEQUENCE_NAMES: Final = frozenset(
    {"seq", "sequence", "sequence_number", "index", "idx", "offset", "counter", "count", "number", "num", "no", "n", "i"}
)


def broke_off(m: StreamMetrics) -> bool:
    """Whether a stream ended before it should: cut, or ended properly although more was known to be due."""
    if m.stream.ended in ("truncated", "reset"):
        return m.stream.head is not None
    return m.stream.ended == "eof" and m.total > 0 and (_terminal_missing(m) or m.total < (m.probe.expect.events or 0))


def _terminal_missing(m: StreamMetrics) -> bool:
    return m.probe.until.terminal is not None and m.stream.planned_end is None


def _how(m: StreamMetrics) -> str:
    """How a stream that broke off was ended: properly, by closing, or by a reset (over HTTP/2 with its error code)."""
    return "the response was ended properly" if m.stream.ended == "eof" else m.stream.error or m.stream.ended


def idle_timeout(v: View) -> Sign | None:
    """The connection is cut while the stream is silent."""
    m = v.m
    if not broke_off(m) or not m.total or not cut_in_silence(m):
        return None
    again = [t for t in v.twins.get("again", ()) if broke_off(t) and cut_in_silence(t)]
    agree = [t for t in again if abs(t.silence - m.silence) <= max(0.5, 0.2 * m.silence)]
    times = f" ({len(agree) + 1} times)" if agree else ""
    return Sign(
        message=(
            f"The connection was cut after {format_duration(m.silence)} of silence{times}; before, the stream had not been silent for "
            f"longer than {format_duration(m.pause)}. A hop on the way gives up on connections over which nothing comes."
        ),
        evidence={
            "idle_timeout": round(m.silence, 3),
            "age": round(m.ended, 3),
            "longest_pause_before": round(m.pause, 3),
            "events": m.total,
            "how": _how(m),
        },
        confidence="certain" if agree else "likely",
    )


def duration_limit(v: View) -> Sign | None:
    """The connection is cut at an age, while events flow: known from cuts at the same age."""
    m, again = v.m, [t for t in v.twins.get("again", ()) if broke_off(t)]
    # What ends properly was ended by its application, however regularly: it lacks its end, and nothing cut it.
    if m.stream.ended == "eof" or not broke_off(m) or cut_in_silence(m) or len(again) < 2 or len(again) < len(v.twins.get("again", ())):
        return None
    ages = [m.ended, *(t.ended for t in again)]
    if min(ages) < LEAST_AGE_S or max(ages) - min(ages) > max(SAME_AGE_S, SAME_AGE_SHARE * max(ages)):
        return None
    if m.stream.head is not None and m.stream.head.header("content-length") is not None:
        return None  # cut at a number of bytes: the length that was promised is wrong, or something counts
    if any(t.stream.reads.mid_event and t.stream.reads.mid_event[-1] for t in (m, *again)):
        return None  # cut inside of an event: a writer broke off, a limit on time falls between two writes
    return Sign(
        message=(
            f"The connection was cut {format_duration(m.ended)} after the request while events flowed, and {len(again)} times more at the "
            "same age: something limits how long a response may take."
        ),
        evidence={
            "max_duration": round(m.ended, 3),
            "earliest": round(min(ages), 3),
            "latest": round(max(ages), 3),
            "events": m.total,
            "how": _how(m),
        },
        confidence="likely",  # a program that fails at the same event each time looks the same
    )


def truncated(v: View) -> Sign | None:
    """The connection breaks in mid-stream, or the response ends before the event that the scenario names as its last."""
    m = v.m
    stream = m.stream
    figures: Figures = {"age": round(m.ended, 3), "silence": round(m.silence, 3), "events": m.total, "how": _how(m)}
    if stream.ended in ("truncated", "reset") and stream.head is not None:
        how = "reset" if stream.ended == "reset" else "closed before the response was complete"
        return Sign(
            message=f"The connection was {how} {format_duration(m.ended)} after the request, with {m.total} events received.",
            evidence=figures,
        )
    terminal = m.probe.until.terminal
    if stream.ended == "eof" and terminal is not None and stream.planned_end is None:
        return Sign(
            message=f"The response ended properly after {m.total} events, but its last event ({quoted(terminal)}) was missing.",
            evidence=figures,
            confidence="likely",
        )
    due = m.probe.expect.events or 0
    too_few = 100 * m.total < v.criteria.success_rate * due  # the criteria allow that some are missing
    if stream.ended == "eof" and m.total and too_few and lost_events(v) is None:
        return Sign(
            message=f"The response ended after {m.total} of {due} expected events, without a gap among those that came.",
            evidence={**figures, "expected": due},
            confidence="likely",
        )
    return None


def stalled(v: View) -> Sign | None:
    """The connection stays open and events stop coming although more are due."""
    m = v.m
    stream = m.stream
    open_at_end = stream.reason is None and (stream.ended == "timeout" or stream.planned_end == "duration")
    if not open_at_end:
        return None
    figures: Figures = {"silence": round(m.silence, 3), "events": m.total, "expected": m.expected}
    since_event = m.ended - (m.last_event or m.connection or 0.0)
    missing = m.probe.expect.events is not None and m.total < m.probe.expect.events
    # Heartbeats do not excuse events that are known to be missing; without that knowledge they show a living stream.
    quiet, rhythm = (since_event, m.longest_gap or 0.0) if missing else (m.silence, m.pause)
    if quiet < max(STALL_MIN_S, STALL_GAPS * max(rhythm, m.probe.expect.every or 0.0)):
        return _unfinished(m, figures)
    if stream.head is None:
        return Sign(
            message=f"No answer at all within {format_duration(m.ended)}: the connection is open, but not even a response head came.",
            evidence=figures,
            confidence="possible",
        )
    since = f"No event came in the last {format_duration(since_event)} of the stream"
    if missing:
        return Sign(
            message=f"{since}: {m.total} of {m.probe.expect.events} expected events arrived, and the connection stayed open.",
            evidence=figures,
        )
    awaited = _awaited(m)
    if awaited is not None and stream.ended == "timeout":
        return Sign(message=f"{since}: {awaited} never arrived, and the connection stayed open.", evidence=figures, confidence="likely")
    complete = m.probe.expect.events is not None and not missing
    if awaited is None and not complete and _went_on(m) and m.silence >= 2 * STALL_MIN_S * min(1.0, m.pause) + STALL_MIN_S:
        return Sign(
            message=f"{since}, after {m.total} events at an even pace, and the connection stayed open: they stopped, or stopped coming through.",
            evidence=figures,
            confidence="possible",
        )
    if not stream.reads.at_ns and awaited is None:
        return Sign(
            message=f"After the response head nothing came in {format_duration(m.silence)}: no event, no heartbeat, and the connection stayed open.",
            evidence=figures,
            confidence="possible",
        )
    return None


def _went_on(m: StreamMetrics) -> bool:
    """Whether a stream of which nobody said how long it is was so even that its going silent is no end of its own."""
    median = None if m.total <= EVEN_GAPS or m.stream.comments_ns else m.median_gap
    return median is not None and median >= 0.05 and (m.longest_gap or 0.0) <= EVEN_FACTOR * median


def _unfinished(m: StreamMetrics, figures: Figures) -> Sign | None:
    """Events still came when sse-check gave up, and the one that the scenario names as the last did not: undecided."""
    awaited = _awaited(m)
    if awaited is None or m.stream.ended != "timeout":
        return None
    return Sign(
        message=(
            f"When sse-check gave up after {format_duration(m.ended)}, {awaited} had not come; the stream was still alive. "
            f"If it may last that long, raise the probe's timeout."
        ),
        evidence=figures,
        confidence="possible",
        severity="warning",
    )


def _awaited(m: StreamMetrics) -> str | None:
    """What the scenario waits for to end the stream, in words; None if it is only a time, or the stream's own end."""
    terminal = m.probe.until.terminal
    if terminal is not None:
        return f"the event that ends it ({quoted(terminal)})"
    return None if m.probe.until.events is None else f"the last of {m.probe.until.events} events"


def lost_events(v: View) -> Sign | None:
    """IDs or sequence numbers that count events have gaps, repeats or disorder."""
    m = v.m
    for name, values in counters(m):
        steps = [later - earlier for earlier, later in pairwise(values)]
        if len(steps) < MIN_STEPS or sum(step == 1 for step in steps) < len(steps) * COUNTING_SHARE:
            continue
        if epoch_unit(values, m.stream.sent_at) is not None:
            continue  # a clock of whole seconds steps by one as well
        missing = sum(step - 1 for step in steps if step > 1)
        repeated = sum(step <= 0 for step in steps)
        if missing or repeated:
            at = next(number for number, step in enumerate(steps) if step != 1)
            return Sign(
                message=f"{name} counts the events: {_miscounted(missing, repeated)}, the first time after {values[at]}, where {values[at + 1]} came.",
                evidence={"counter": name, "missing": missing, "repeated": repeated, "after": values[at], "events": m.total},
            )
        return None  # a counter without a gap: the other numbers need not be looked at
    return None


def _miscounted(missing: int, repeated: int) -> str:
    said = [f"{missing} {'is' if missing == 1 else 'are'} missing"] if missing else []
    return " and ".join([*said, *([f"{repeated} came again or out of order"] if repeated else [])])


def counters(m: StreamMetrics) -> Iterator[tuple[str, Sequence[int]]]:
    """Columns that may count the events: the IDs, and fields that are named like a counter."""
    ids = ["", *m.stream.events.id]
    together = "".join(ids)
    if together.isascii() and together.isdigit() and max(map(len, ids)) < 19:
        # An ID carries on to events that set none, so one that stays the same is no repeat.
        yield "The event ID", array("q", (int(now) for before, now in pairwise(ids) if now and now != before))
    for name, column in m.stream.events.numbers.items():
        if name.rpartition(".")[2].lower() in SEQUENCE_NAMES:
            values = [value for value in column if isinstance(value, int)]
            # A number within a part (a line, a choice) begins again with the next part.
            if not any(later <= values[0] for later in values[1:]):
                yield f"The field {quoted(name)}", values


def no_heartbeat(v: View) -> Sign | None:
    """The stream can stay silent for longer than the proxy in front allows: a warning, before it is cut."""
    m = v.m
    limit = v.idle_limit or COMMON_IDLE_LIMIT_S
    promised = m.probe.expect.heartbeat
    still_open = m.stream.ended in ("until", "timeout") and m.stream.reason is None
    quiet = max(m.pause, m.silence if still_open else 0.0)
    if promised is not None and quiet > max(2 * promised, promised + STALL_MIN_S):
        text = f"though a heartbeat every {format_duration(promised)} is expected: it does not come through, or is not sent"
    elif m.total and not m.stream.comments_ns and quiet >= limit / 2 and v.survived <= limit:
        text = f"without a heartbeat; {'the hop in front' if v.idle_limit else 'a common proxy'} cuts after {format_duration(limit)} of silence"
    else:
        return None
    return Sign(
        message=f"The stream was silent for {format_duration(quiet)} {text}.",
        evidence={"longest_silence": round(quiet, 3), "limit": limit, "heartbeats": len(m.stream.comments_ns)},
        confidence="likely" if v.idle_limit or promised else "possible",
    )
