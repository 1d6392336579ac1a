"""The rules, one for each fault that a stream shows by itself.

How they are read:

* A rule sees the figures of one stream and either says nothing or gives a `Sign`. It never guesses: where the evidence
  decides nothing it says nothing.
* The table is in the order of causes: what comes first explains what comes later. A stream that was never opened has
  no missing events to report; a stream that was held back whole has no slow application. `ends` says that nothing after
  the rule can be judged, `explains` names the consequences that are not reported beside it.
* Evidence, best first: the server's own stamps, then the scenario's hints. Stamps that show an event came through at
  once overrule a hint that says otherwise. `confidence` follows from which evidence there was.
* Limits are constants here, with the reason beside them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from sse_check.diagnosis.finding import Confidence, Severity
from sse_check.escape import quoted
from sse_check.metrics import StreamMetrics
from sse_check.scenario import Criteria
from sse_check.stamps import epoch_unit
from sse_check.units import format_duration

# Fewer events than this show no shape.
MIN_EVENTS: Final = 3
# A stream shorter than this cannot be told from one that was answered at once.
MIN_SPAN_S: Final = 0.5
# Events sent over a time T and let go at once arrive within a small part of T: local proxies take milliseconds, and a
# slow network spreads them by its own round trips only...
BUNCHED_SHARE: Final = 0.1
# ...and they arrive when T is over, give or take what a hint is wrong by. Sooner, and they were ready all the time.
HELD_SHARE: Final = 0.8
# What is held back whole is let go when the response ends, so the end is right behind the last event.
END_BEHIND_S: Final = 1.0
# A silence is a stall, not a hiccup, at so many times the longest gap seen, and at least so long.
STALL_GAPS: Final = 3.0
STALL_MIN_S: Final = 2.0
# Numbers count events if this share of their steps is exactly one.
COUNTING_SHARE: Final = 0.8
SEQUENCE_NAMES: Final = frozenset(
    {"seq", "sequence", "sequence_number", "index", "idx", "offset", "counter", "count", "number", "num", "no", "n", "i"}
)

Figures = dict[str, float | int | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """What a rule saw in one stream."""

    message: str
    evidence: Figures
    confidence: Confidence = "certain"
    severity: Severity | None = None  # where it is not the rule's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One fault code, how bad it is, and how it is recognised."""

    code: str
    severity: Severity
    sign: Callable[[StreamMetrics, Criteria], Sign | None]
    ends: bool = False
    explains: frozenset[str] = frozenset()


# --- no stream at all -------------------------------------------------------------------------------------------------

_CONNECTING: Final = {
    "dns": "The host's name could not be resolved",
    "tcp": "No connection could be made",
    "tls": "The TLS handshake failed",
    "proxy": "The proxy that the environment names could not be used",
    "no-response": "The connection was closed before any answer",
}


def refused(m: StreamMetrics, _: Criteria) -> Sign | None:
    """No connection: DNS, TCP, TLS, or closed without an answer."""
    reason = m.stream.reason
    if reason not in _CONNECTING:
        return None
    return Sign(
        message=f"{_CONNECTING[reason]}: {quoted(m.stream.error or reason)}.", evidence={"step": reason, "seconds": round(m.ended, 3)}
    )


def http_error(m: StreamMetrics, _: Criteria) -> Sign | None:
    """A status other than 200; 204 has no body to be a stream, see not_sse."""
    head = m.stream.head
    if m.stream.reason in ("policy", "redirects") and m.stream.redirects:
        last = m.stream.redirects[-1]
        return Sign(message=f"Status {last.status}, {m.stream.error}: {quoted(last.location)}.", evidence={"status": last.status})
    if head is None or head.status in (200, 204):
        return None
    return Sign(message=f"The stream was answered with status {head.status}{_said(head.reason, m)}.", evidence={"status": head.status})


def _said(reason: str, m: StreamMetrics) -> str:
    """The status line's words, and how the body began, as the server wrote them."""
    words = f" {quoted(reason)}" if reason else ""
    return words + (f"; the server said {quoted(m.stream.body_start)}" if m.stream.body_start.strip() else "")


def not_sse(m: StreamMetrics, _: Criteria) -> Sign | None:
    """A 200 that is no event stream: by its type, by its body, or because it is not even HTTP."""
    stream, head = m.stream, m.stream.head
    if stream.reason == "protocol":
        return Sign(message=f"The answer is not HTTP: {quoted(stream.error or stream.reason)}.", evidence={})
    if head is None:
        return None
    if head.status == 204:
        return Sign(message="Status 204: the server has no stream, and tells EventSource to stop asking.", evidence={"status": 204})
    if stream.reason == "decode":
        encoding = head.header("content-encoding") or "none"
        return Sign(
            message=f"The body is not what its Content-Encoding ({quoted(encoding)}) says: {quoted(stream.error or stream.reason)}.",
            evidence={"content_encoding": encoding},
        )
    kind = head.header("content-type")
    figures: Figures = {"content_type": kind or "none", "events": m.total}
    if (kind or "").partition(";")[0].strip().lower() != "text/event-stream":
        also = f" Its body does hold {m.total} events; EventSource refuses it all the same." if m.total else ""
        return Sign(message=f"Content-Type is {quoted(kind) if kind else 'missing'}, not text/event-stream.{also}", evidence=figures)
    signs_of_sse = m.total or stream.comments_ns or stream.retry_ms is not None or stream.last_event_id
    size = sum(stream.reads.body_bytes)
    if not signs_of_sse and stream.oversized:
        return Sign(message=f"The body is a line that never ends: {size:,} bytes without an event.", evidence={**figures, "bytes": size})
    if not signs_of_sse and (stream.unknown_lines or (size and stream.ended in ("eof", "error"))):
        return Sign(
            message=f"The body holds no event: {size:,} bytes, {stream.unknown_lines} lines that are no field of an event stream.",
            evidence={**figures, "bytes": size},
        )
    if not signs_of_sse and stream.ended == "eof":
        return Sign(
            message="The response ended without a single event or comment.", evidence={**figures, "bytes": size}, confidence="likely"
        )
    return None


def redirected(m: StreamMetrics, _: Criteria) -> Sign | None:
    """Answered only after a redirect."""
    hops = m.stream.redirects
    if not hops or m.stream.head is None or m.stream.reason == "policy":
        return None  # it led to no answer: that is another fault
    return Sign(
        message=f"The stream was answered only after {len(hops)} redirect{'s' if len(hops) > 1 else ''}, the last to {quoted(hops[-1].location)}.",
        evidence={"redirects": len(hops), "status": hops[-1].status},
    )


# --- held back --------------------------------------------------------------------------------------------------------


def buffered_full(m: StreamMetrics, _: Criteria) -> Sign | None:
    """Nothing arrives until the response ends: events sent over a while come at once, late, and the end right behind."""
    if m.total < MIN_EVENTS or m.first_event is None or m.last_event is None or m.ended - m.last_event > END_BEHIND_S:
        return None
    if m.stamps is not None:
        sent_span, what = m.stamps.sent_span, "the server's own time stamps"
    elif m.probe.expect.every is not None:
        sent_span, what = (m.total - 1) * m.probe.expect.every, "the cadence that the scenario expects"
    else:
        return None
    arrived_span = m.last_event - m.first_event
    if sent_span < MIN_SPAN_S or arrived_span > sent_span * BUNCHED_SHARE or m.first_event < sent_span * HELD_SHARE:
        return None
    return Sign(
        message=(
            f"{m.total} events that were sent over {format_duration(sent_span)} arrived within {format_duration(arrived_span)}, "
            f"the first of them {format_duration(m.first_event)} after the request: something on the way held the whole response back. "
            f"Known from {what}."
        ),
        evidence={
            "sent_over": round(sent_span, 3),
            "arrived_within": round(arrived_span, 3),
            "first_event": round(m.first_event, 3),
            "held_back_most": round(max(m.stamps.delays()), 3) if m.stamps else round(sent_span - arrived_span, 3),
        },
    )


def slow_first_event(m: StreamMetrics, criteria: Criteria) -> Sign | None:
    """The first event is late though the head was on time, and nothing shows that it was held back."""
    if m.first_event is None or m.first_event <= criteria.first_event or m.connection is None:
        return None
    if m.connection > criteria.first_event / 2:
        return None  # head and event are both late: a slow application, a cold start and a held head look the same
    waited = m.first_event - m.connection
    held = m.stamps.delays()[0] if m.stamps else None
    if held is not None and held > waited / 2:
        return None
    if held is None and m.total >= MIN_EVENTS and sum(m.gaps) < waited * BUNCHED_SHARE and m.ended - m.first_event < END_BEHIND_S:
        return None  # everything came late and at once: held back or slow, nobody knows without stamps
    return Sign(
        message=(
            f"The response head came after {format_duration(m.connection)}, the first event only after {format_duration(m.first_event)} "
            f"(limit {format_duration(criteria.first_event)}): the application is slow to send it."
        ),
        evidence={"head": round(m.connection, 3), "first_event": round(m.first_event, 3), "limit": criteria.first_event},
        confidence="certain" if held is not None else "likely",
    )


# --- cut off ----------------------------------------------------------------------------------------------------------


def truncated(m: StreamMetrics, _: Criteria) -> Sign | None:
    """The connection breaks in mid-stream, or the response ends before the event that the scenario names as its last."""
    stream = m.stream
    figures: Figures = {"age": round(m.ended, 3), "silence": round(m.silence, 3), "events": m.total}
    if stream.ended in ("truncated", "reset") and stream.head is not None:
        how = "reset" if stream.ended == "reset" else "closed before the response was complete"
        return Sign(
            message=f"The connection was {how} {format_duration(m.ended)} after the request, with {m.total} events received.",
            evidence=figures,
        )
    terminal = m.probe.until.event or m.probe.until.data
    if stream.ended == "eof" and terminal is not None and stream.planned_end is None:
        return Sign(
            message=f"The response ended properly after {m.total} events, but its last event ({quoted(terminal)}) was missing.",
            evidence=figures,
            confidence="likely",
        )
    return None


def stalled(m: StreamMetrics, _: Criteria) -> Sign | None:
    """The connection stays open and events stop coming although more are due."""
    stream = m.stream
    open_at_end = stream.reason is None and (stream.ended == "timeout" or stream.planned_end == "duration")
    if not open_at_end:
        return None
    figures: Figures = {"silence": round(m.silence, 3), "events": m.total, "expected": m.expected}
    since_event = m.ended - (m.last_event or m.connection or 0.0)
    missing = m.probe.expect.events is not None and m.total < m.probe.expect.events
    # Heartbeats do not excuse events that are known to be missing; without that knowledge they show a living stream.
    quiet, rhythm = (since_event, max(m.gaps, default=0.0)) if missing else (m.silence, m.pause)
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
        return Sign(
            message=f"{since}: {awaited} never arrived, and the connection stayed open.",
            evidence=figures,
            confidence="likely",
        )
    return None


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
    terminal = m.probe.until.event or m.probe.until.data
    if terminal is not None:
        return f"the event that ends it ({quoted(terminal)})"
    return None if m.probe.until.events is None else f"the last of {m.probe.until.events} events"


def lost_events(m: StreamMetrics, _: Criteria) -> Sign | None:
    """IDs or sequence numbers that count events have gaps, repeats or disorder."""
    for name, values in _counters(m):
        steps = [later - earlier for earlier, later in pairwise(values)]
        if len(steps) < MIN_EVENTS or sum(step == 1 for step in steps) < len(steps) * COUNTING_SHARE:
            continue
        if epoch_unit(values, m.stream.sent_at) is not None:
            continue  # a clock of whole seconds steps by one as well
        missing = sum(step - 1 for step in steps if step > 1)
        repeated = sum(step <= 0 for step in steps)
        if missing or repeated:
            at = next(number for number, step in enumerate(steps) if step != 1)
            return Sign(
                message=f"{name} counts the events, but {missing} are missing and {repeated} repeated or out of order; first after {values[at]}.",
                evidence={"counter": name, "missing": missing, "repeated": repeated, "after": values[at], "events": m.total},
            )
        return None  # a counter without a gap: the other numbers need not be looked at
    return None


def _counters(m: StreamMetrics) -> list[tuple[str, list[int]]]:
    """Columns that may count the events: the IDs, and fields that are named like a counter."""
    ids = m.stream.events.id
    counters = []
    if ids and all(text.isascii() and text.isdigit() and len(text) < 19 for text in ids if text):
        # An ID carries on to events that set none, so one that stays the same is no repeat.
        counters.append(("The event ID", [int(now) for before, now in zip(["", *ids], ids, strict=False) if now and now != before]))
    for name, column in m.stream.events.numbers.items():
        if name.rpartition(".")[2].lower() in SEQUENCE_NAMES:
            values = [value for value in column if isinstance(value, int)]
            # A number within a part (a line, a choice) begins again with the next part.
            if not any(later <= values[0] for later in values[1:]):
                counters.append((f"The field {quoted(name)}", values))
    return counters


RULES: Final = (
    Rule(code="refused", severity="error", sign=refused, ends=True),
    Rule(code="http-error", severity="error", sign=http_error, ends=True),
    Rule(code="not-sse", severity="error", sign=not_sse, ends=True),
    Rule(code="buffered-full", severity="error", sign=buffered_full, explains=frozenset({"slow-first-event"})),
    Rule(code="truncated", severity="error", sign=truncated),
    Rule(code="stalled", severity="error", sign=stalled),
    Rule(code="slow-first-event", severity="error", sign=slow_first_event),
    Rule(code="lost-events", severity="error", sign=lost_events),
    Rule(code="redirected", severity="warning", sign=redirected),
)
