"""Rules of streams that were not opened as they should be: no connection, another answer, an old one, too many at once."""

from collections.abc import Sequence
from typing import Final

from sse_check.diagnosis.cures import HTTP2_PLACES, NO_HTTP2, UNKNOWN_AUTHORITY
from sse_check.diagnosis.sign import Company, Figures, Sign, View
from sse_check.escape import quoted
from sse_check.metrics import StreamMetrics
from sse_check.stamps import Stamps
from sse_check.units import format_duration

# A stream that waits for a place is late by more than this, while others were answered at once.
QUEUED_S: Final = 1.0
# For how long each step to a connection is waited for (transport.Request).
CONNECT_S: Final = 10.0
# A cached response is handed over at once: its events within this share of the time over which they were made.
REPLAY_SHARE: Final = 0.1

_CONNECTING: Final = {
    "dns": "The host's name could not be resolved",
    "tcp": "No connection could be made",
    "tls": "The TLS handshake failed",
    "proxy": "The proxy that the environment names could not be used",
    "no-response": "The connection was closed before any answer",
    "policy": "The host is not asked",
}


def refused(v: View) -> Sign | None:
    """No connection: DNS, TCP, TLS, or closed without an answer."""
    m = v.m
    reason = m.stream.reason
    if reason not in _CONNECTING or (reason == "policy" and m.stream.redirects):
        return None  # a redirect that is not followed is the answer of whoever sent it
    waited = _waited_for(m)
    figures: Figures = {"step": reason, "seconds": round(m.ended, 3)}
    return Sign(
        message=f"{_CONNECTING[reason]}: {quoted(m.stream.error or reason)}.",
        evidence=figures | ({} if waited is None else {"waited": round(waited, 3)}),
        fixes=UNKNOWN_AUTHORITY if reason == "tls" else (),
    )


def http_error(v: View) -> Sign | None:
    """A status other than 200, or the error of a protocol within; 204 has no body to be a stream, see not_sse."""
    m = v.m
    head = m.stream.head
    if m.stream.reason == "answer":
        status: Figures = {} if head is None or head.status == 200 else {"status": head.status}
        return Sign(message=f"The server answered with an error: {quoted(m.stream.error or m.stream.reason)}.", evidence=status)
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


def not_sse(v: View) -> Sign | None:
    """A 200 that is no event stream: by its type, by its body, or because it is not even HTTP."""
    m = v.m
    stream, head = m.stream, m.stream.head
    if stream.reason == "protocol":
        wanted = "HTTP/2" if m.probe.protocol == "h2" else "HTTP"
        return Sign(
            message=f"The answer is not {wanted}: {quoted(stream.error or stream.reason)}.",
            evidence={},
            fixes=(NO_HTTP2,) if m.probe.protocol == "h2" else (),
        )
    if stream.reason == "conversation":
        return Sign(message=f"The server does not speak as its protocol wants: {quoted(stream.error or stream.reason)}.", evidence={})
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
    if head.media_type != "text/event-stream":
        also = f" Its body does hold {m.total} events; EventSource refuses it all the same." if m.total else ""
        return Sign(message=f"Content-Type is {quoted(kind) if kind else 'missing'}, not text/event-stream.{also}", evidence=figures)
    signs_of_sse = m.total or stream.comments_ns or stream.retry_ms is not None or stream.last_event_id
    size = sum(stream.reads.body_bytes)
    if not signs_of_sse and stream.oversized:
        return Sign(message=f"The body is a line that never ends: {size:,} bytes without an event.", evidence={**figures, "bytes": size})
    if not signs_of_sse and (stream.unknown_lines or (size and stream.ended in ("eof", "error") and stream.reason != "limit")):
        return Sign(
            message=f"The body holds no event: {size:,} bytes, {stream.unknown_lines} lines that are no field of an event stream.",
            evidence={**figures, "bytes": size},
        )
    if not signs_of_sse and stream.ended == "eof":
        return Sign(
            message="The response ended without a single event or comment.", evidence={**figures, "bytes": size}, confidence="likely"
        )
    return None


def redirected(v: View) -> Sign | None:
    """Answered, if at all, only after a redirect."""
    m = v.m
    hops = m.stream.redirects
    if not hops:
        return None
    return Sign(
        message=f"The request was redirected {'once' if len(hops) == 1 else f'{len(hops)} times'}, the last time to {quoted(hops[-1].location)}.",
        evidence={"redirects": len(hops), "status": hops[-1].status},
    )


def cached(v: View) -> Sign | None:
    """The stream was replayed from a cache: its events were made before it was asked for, and a second time they are the same."""
    m = v.m
    old = replay(m)
    hit = _cache_says(m)
    again = v.twin("again")
    if old is None or m.stream.ended == "timeout" or m.stream.planned_end == "duration":
        return None  # a history that is followed by a live stream is no cache's doing
    same = again is not None and (new := replay(again)) is not None and len(set(old.sent) & set(new.sent)) * 2 >= len(old.sent)
    if not same and not hit:
        return None
    told = f" {hit}." if hit else ""
    twice = " A second request brought the same events with the same time stamps." if same else ""
    return Sign(
        message=(
            f"{m.total} events that were made over {format_duration(old.sent_span)} came within {format_duration(m.span)} "
            f"of each other, {format_duration(m.first_event or 0.0)} after the request: they are older than it.{twice}{told}"
        ),
        evidence={"made_over": round(old.sent_span, 3), "arrived_within": round(m.span, 3), "same_again": int(same)},
        confidence="certain" if same and hit else "likely",
    )


def replay(m: StreamMetrics) -> Stamps | None:
    """The stamps of a response whose events were made before it was asked for and handed over at once; else None."""
    old = m.replayed
    if old is None or m.last_event is None or m.first_event is None:
        return None
    return old if m.last_event - m.first_event <= old.sent_span * REPLAY_SHARE else None


def _cache_says(m: StreamMetrics) -> str | None:
    """What the response itself says of a cache (RFC 9111, section 5.1; RFC 9211; X-Cache by custom)."""
    head = m.stream.head
    if head is None:
        return None
    age = (head.header("age") or "").strip()
    if age.isdecimal() and int(age[:9]) >= 1:
        return f"The response says `Age: {int(age[:9])}`"
    for name in ("x-cache", "x-cache-status", "cf-cache-status", "cache-status"):
        value = head.header(name) or ""
        if "hit" in value.lower():
            return f"The response says {quoted(f'{name}: {value}')}"
    return None


def concurrency_limited(v: View) -> Sign | None:
    """Streams that work alone fail, or wait, when they are opened together."""
    m = v.m
    if v.company.streams < 2 or not in_trouble(m, v.company):
        return None
    alone = v.twins.get("alone", ())
    good = v.company.well
    works_alone = any(map(works, alone))
    waited = _waited_for(m)
    if (alone and not works_alone) or not (works_alone or good):
        return None  # it fails alone as well, or nothing says that it would not
    worked = f"Of {v.company.streams} streams at once {good} worked; another: {_trouble(m)}."
    figures: Figures = {"streams": v.company.streams, "worked": good, "alone": "works" if works_alone else "not tried"}
    figures |= {} if waited is None else {"waited": round(waited, 3)}
    places = http2_places(v)
    if places is not None:
        return Sign(
            message=(
                f"{worked} The server allows only {places} {'stream' if places == 1 else 'streams'} on one HTTP/2 connection "
                "(SETTINGS_MAX_CONCURRENT_STREAMS), and a browser opens one connection to it: the others wait until one ends."
            ),
            evidence={**figures, "max_concurrent_streams": places},
            fixes=(HTTP2_PLACES,),
        )
    by_itself = "A stream by itself works." if works_alone else "Whether one by itself works was not tried."
    return Sign(message=f"{worked} {by_itself}", evidence=figures, confidence="certain" if works_alone else "likely")


def http2_places(v: View) -> int | None:
    """The server's limit of streams on one HTTP/2 connection, where fewer than were opened: those over it waited here, not there.

    None where a stream was not kept waiting, but refused.
    """
    stream = v.m.stream
    refused = stream.reason is not None or (stream.head is not None and stream.head.status != 200)
    return stream.max_streams if not refused and stream.max_streams is not None and stream.max_streams < v.company.streams else None


def _waited_for(m: StreamMetrics) -> float | None:
    """For how many seconds a stream was waited for, where nothing else shows its trouble: a machine that stood still waits as long."""
    if m.stream.head is not None:
        return m.connection if m.stream.head.status == 200 else None
    given_up = m.stream.reason is None or (m.stream.reason in _CONNECTING and m.ended >= CONNECT_S)
    return m.ended if given_up else None


def works(m: StreamMetrics) -> bool:
    """Whether a stream was opened; that nothing was to be told on it meanwhile is no trouble."""
    return m.stream.head is not None and m.stream.head.status == 200


def company_of(peers: Sequence[StreamMetrics]) -> Company:
    """The streams that were opened together, as each of them sees the others; those that this machine could not open are none of them."""
    peers = [peer for peer in peers if peer.stream.reason != "machine"]
    answered = [peer.connection for peer in peers if peer.connection is not None and works(peer)]
    late = max(QUEUED_S, 5 * min(answered, default=0.0))
    well = sum(works(peer) and not _kept_waiting(peer, late) for peer in peers)
    return Company(streams=len(peers), well=well, late=late)


def in_trouble(m: StreamMetrics, company: Company) -> bool:
    """Whether one of several streams was refused, answered with an error, left waiting, or answered only much later."""
    if m.stream.head is None and m.stream.reason in ("decided", "machine"):
        return False  # it was not waited for, or not asked for at all
    return not works(m) or _kept_waiting(m, company.late)


def _kept_waiting(m: StreamMetrics, late: float) -> bool:
    return m.connection is not None and m.connection >= late


def _trouble(m: StreamMetrics) -> str:
    head = m.stream.head
    if head is not None and head.status != 200:
        return f"status {head.status}"
    if m.stream.reason is not None:
        return f"no answer ({quoted(m.stream.error or m.stream.reason)})"
    if m.connection is not None:
        return f"answered only after {format_duration(m.connection)}"
    return f"nothing in {format_duration(m.ended)}"
