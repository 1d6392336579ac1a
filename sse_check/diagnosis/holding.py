"""Rules of streams that are held back on the way: whole, in blocks, by a timer, by one event, by compression, or at the head.

Whether an application is slow or something holds its events is known only from when they were sent: the server's own
time stamps, else the cadence that the scenario expects, else the same stream asked past the proxies, else that it is
made gradually (gradual.py). Without any of them these rules say nothing.
"""

import itertools
from typing import Final

from sse_check.diagnosis.gradual import all_at_once, collected, compressed, in_blocks, nothing_came
from sse_check.diagnosis.shape import AT_ONCE_S, END_BEHIND_S, HELD_S, Delivery, by_bytes, delivery, one_behind, over_behind
from sse_check.diagnosis.sign import Figures, Kind, Sign, View
from sse_check.escape import quoted
from sse_check.metrics import StreamMetrics
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
# One bunch may be a hiccup of the network; so many of them, or nearly all events in them, is a habit.
MANY_BUNCHES: Final = 3
NEARLY_ALL: Final = 0.8
# A response head later than this keeps an EventSource from opening for longer than people wait (a page that reacts
# after a second is felt as broken off; Nielsen, Usability Engineering, 1993, chapter 5).
LATE_HEAD_S: Final = 1.0

# What came in less was in one read, or nearly so.
_ONE_MOMENT_S: Final = 0.001


def perhaps_held(m: StreamMetrics) -> bool:
    """Whether a stream looks held back, and only the error of the measurement speaks against it: undecided."""
    return held_back(m, as_read=True) is not None and held_back(m) is None


def held_back(m: StreamMetrics, *, as_read: bool = False) -> tuple[Kind, Delivery] | None:
    """How a stream was held back, if it was: beyond the error of the measurement, or as it was read."""
    d = delivery(m, as_read=as_read)
    if d is None or m.total < MIN_EVENTS or m.first_event is None or m.last_event is None:
        return None
    # Beyond the errors it is less still, and those of a long stream take long to work out.
    if max(d.stamps.delays()) < HELD_S or d.held < HELD_S:
        return None
    at_once = m.span <= d.sent_span * BUNCHED_SHARE
    if at_once and d.sent_span >= MIN_SPAN_S and m.first_event >= d.sent_span * HELD_SHARE and over_behind(m, m.last_event):
        return "buffered-full", d
    if one_behind(d):
        return "one-behind", d
    if not d.bunches:
        return None
    bunched = sum(len(r.events) for r in d.bunches)
    filled_once = 0 in d.bunches[0].events and len(d.bunches[0].events) > MIN_EVENTS
    habit = bunched >= NEARLY_ALL * m.total or (len(d.bunches) >= MANY_BUNCHES and bunched * 2 >= m.total)
    if not (habit or filled_once) or (at_once and m.first_event < d.sent_span * HELD_SHARE):
        return None
    if not d.stamped and not any(r.mid_event for r in d.bunches):
        return None  # an application may write in bursts of its own; a hint at its average pace does not know
    return ("buffered-block" if by_bytes(d) else "buffered-time"), d


def _source(d: Delivery) -> str:
    return "the server's own time stamps" if d.stamped else "the cadence that the scenario expects"


def _within(m: StreamMetrics) -> str:
    """How long all events took to arrive, where that is no time."""
    return "in one moment" if m.span < _ONE_MOMENT_S else f"within {format_duration(m.span)}"


def _where(v: View) -> str:
    """What the view past the proxies says, if there is one."""
    direct = v.twin("direct")
    if direct is None or not direct.total:
        return ""
    if held_back(direct) is None:
        return " Asked directly, without the proxies, the same stream is not held back."
    return " Asked directly, without the proxies, it is held back just the same: the application does it."


def _figures(d: Delivery, m: StreamMetrics) -> Figures:
    sizes = sorted(r.size for r in d.bunches)
    at = [r.at for r in d.bunches]
    intervals = sorted(later - earlier for earlier, later in itertools.pairwise(at))
    figures: Figures = {"sent_over": round(d.sent_span, 3), "held_back_most": round(d.held, 3), "bunches": len(d.bunches)}
    if sizes:
        figures |= {"bytes_at_once": sizes[len(sizes) // 2], "events_at_once": max(len(r.events) for r in d.bunches)}
    if intervals:
        figures["seconds_between"] = round(intervals[len(intervals) // 2], 3)
    return figures | {"first_event": round(m.first_event or 0.0, 3)}


def compressed_buffered(v: View) -> Sign | None:
    """Held back when compression is negotiated, not held back without: known from the same stream asked without."""
    held, identity = v.held, v.twin("identity")
    if held is None:
        return compressed(v)
    if identity is None or identity.total < MIN_EVENTS or held_back(identity) is not None:
        return None
    encoding = v.m.stream.head.header("content-encoding") if v.m.stream.head else None
    sent_as = (
        f"It is sent with Content-Encoding {quoted(encoding)}." if encoding else "It is held even where nothing was compressed in the end."
    )
    return Sign(
        message=(
            f"With compression negotiated, as browsers do, events were held back for up to {format_duration(held[1].held)}; with "
            f"`Accept-Encoding: identity` the same stream is not. {sent_as}"
        ),
        evidence={**_figures(held[1], v.m), "as": held[0], "content_encoding": encoding or "none"},
    )


def buffered_full(v: View) -> Sign | None:
    """Nothing arrives until the response ends: events sent over a while come at once, late, and the end right behind."""
    m = v.m
    held = v.held
    if held is None:
        return _held_beside_the_application(v) or all_at_once(v) or nothing_came(v)
    if held[0] != "buffered-full" or m.first_event is None:
        return None
    d = held[1]
    return Sign(
        message=(
            f"{m.total} events that were sent over {format_duration(d.sent_span)} arrived {_within(m)}, "
            f"the first of them {format_duration(m.first_event)} after the request: something on the way held the whole response back."
            f"{_where(v)} Known from {_source(d)}."
        ),
        evidence={**_figures(d, m), "arrived_within": round(m.span, 3)},
    )


def came_at_once(m: StreamMetrics) -> bool:
    """Whether all events came in one moment, a while after the request: a buffer's work, or a slow application's."""
    if m.total < MIN_EVENTS or m.first_event is None or m.last_event is None:
        return False
    # What may have arrived earlier, and was only read late, is no bunch.
    return m.span + (m.first_event_error or 0.0) <= AT_ONCE_S and m.first_event >= MIN_SPAN_S * HELD_SHARE


def _held_beside_the_application(v: View) -> Sign | None:
    """Held back whole, as the same stream shows that was asked past the proxies: needs neither stamps nor hints."""
    m, direct = v.m, v.twin("direct")
    if direct is None or not came_at_once(m) or m.first_event is None or direct.first_event is None or direct.last_event is None:
        return None
    span = direct.last_event - direct.first_event
    spread = direct.total >= MIN_EVENTS and span >= MIN_SPAN_S and not came_at_once(direct)
    if not spread or m.first_event < direct.last_event * HELD_SHARE or not over_behind(m, m.last_event or 0.0):
        return None
    return Sign(
        message=(
            f"{m.total} events arrived {_within(m)}, the first of them {format_duration(m.first_event)} after the "
            f"request; asked directly, without the proxies, the same stream began after {format_duration(direct.first_event)} and took "
            f"{format_duration(span)}: something on the way held the whole response back."
        ),
        evidence={
            "sent_over": round(span, 3),
            "held_back_most": round(m.first_event - direct.first_event, 3),
            "first_event": round(m.first_event, 3),
            "first_event_direct": round(direct.first_event, 3),
            "arrived_within": round(m.span, 3),
        },
        confidence="certain" if direct.total == m.total else "likely",
    )


def one_event_behind(v: View) -> Sign | None:
    """Each event is delivered only when the next one is sent."""
    held = v.held
    if held is None or held[0] != "one-behind":
        return None
    return Sign(
        message=(
            f"Each event came only when the next one was sent, up to {format_duration(held[1].held)} late, and the last with the end: "
            f"something keeps the end of what it has until more follows.{_where(v)} Known from {_source(held[1])}."
        ),
        evidence=_figures(held[1], v.m),
    )


def buffered_block(v: View) -> Sign | None:
    """Events arrive in blocks of bytes: a buffer fills, then is flushed."""
    held = v.held
    if held is None:
        return in_blocks(v)
    if held[0] != "buffered-block":
        return None
    figures = _figures(held[1], v.m)
    return Sign(
        message=(
            f"Events arrived in blocks of about {figures['bytes_at_once']:,} bytes, up to {figures['events_at_once']} at once and up to "
            f"{format_duration(held[1].held)} late: a buffer has to fill before it is passed on.{_where(v)} Known from {_source(held[1])}."
        ),
        evidence=figures,
        confidence="certain" if len(held[1].bunches) > 1 else "likely",
    )


def buffered_time(v: View) -> Sign | None:
    """Events are coalesced by a timer."""
    held = v.held
    if held is None or held[0] != "buffered-time":
        return None
    figures = _figures(held[1], v.m)
    every = f" about every {format_duration(float(figures['seconds_between']))}" if "seconds_between" in figures else ""
    return Sign(
        message=(
            f"Events were gathered and let go{every}, up to {figures['events_at_once']} at once and up to "
            f"{format_duration(held[1].held)} late.{_where(v)} Known from {_source(held[1])}."
        ),
        evidence=figures,
    )


def late_head(m: StreamMetrics) -> bool:
    """Whether the response head came late, and what was sent came right with it."""
    if m.connection is None or m.connection < LATE_HEAD_S or not m.stream.head or m.stream.head.status != 200:
        return False
    first = min([at / 1e9 for at in (*m.stream.events.at_ns[:1], *m.stream.comments_ns[:1])], default=None)
    return first is not None and first - m.connection <= 0.3 and held_back(m) is None and collected(m) is None


def delayed_headers(v: View) -> Sign | None:
    """The response head is held back until the first event, or longer. Once may be a cold start; twice is a habit."""
    m, again = v.m, v.twin("again")
    if again is None or m.connection is None or not (late_head(m) and late_head(again)):
        return None
    return Sign(
        message=(
            f"The response head came only after {format_duration(m.connection)} (a second time {format_duration(again.connection or 0.0)}), "
            "together with the first event: until then an EventSource is not open, and a quiet stream looks dead."
        ),
        evidence={"head": round(m.connection, 3), "head_again": round(again.connection or 0.0, 3)},
        confidence="likely",
    )


def slow_first_event(v: View) -> Sign | None:
    """The first event is late though the head was on time, and nothing shows that it was held back."""
    m = v.m
    if m.first_event is None or m.first_event - (m.first_event_error or 0.0) <= v.criteria.first_event or m.connection is None:
        return None
    if m.connection > v.criteria.first_event / 2:
        return None  # head and event are both late: a slow application, a cold start and a held head look the same
    waited = m.first_event - m.connection
    held = m.stamps.delays()[0] if m.stamps else None
    if held is not None and held > waited / 2:
        return None
    if held is None and m.total >= MIN_EVENTS and m.span < waited * BUNCHED_SHARE and m.ended - m.first_event < END_BEHIND_S:
        return None  # everything came late and at once: held back or slow, nobody knows without stamps
    return Sign(
        message=(
            f"The response head came after {format_duration(m.connection)}, the first event only after {format_duration(m.first_event)} "
            f"(limit {format_duration(v.criteria.first_event)}): the application is slow to send it."
        ),
        evidence={"head": round(m.connection, 3), "first_event": round(m.first_event, 3), "limit": v.criteria.first_event},
        confidence="certain" if held is not None else "likely",
    )
