"""One stream from request to end: transport and parser into a StreamRecording. It observes and draws no conclusion."""

import asyncio
import time
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Final, Literal
from urllib.parse import urljoin, urlsplit

import msgspec

from sse_check import __version__
from sse_check.eventstream import EventStreamParser
from sse_check.fields import json_in, numbers_in, values_at
from sse_check.mcp import Listener, conversation
from sse_check.recording import Arm, Events, Factor, Head, Phase, Reads, Reason, Redirect, StreamRecording, Times
from sse_check.redaction import Redactor
from sse_check.scenario import Preset, Until, token_characters
from sse_check.transport import Clock, End, Fetch, Request, Trace, same_origin
from sse_check.transport.http1 import fetch as fetch_http1

USER_AGENT: Final = f"sse-check/{__version__}"

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})  # Fetch Standard: "redirect status"
_MAX_REDIRECTS: Final = 20  # Fetch Standard, "HTTP-redirect fetch"
# Bounds on what one stream may bring; beyond them it is ended and the recording says so.
_MAX_EVENTS: Final = 2_000_000
_MAX_READS: Final = 4_000_000
_MAX_BODY_BYTES: Final = 1024 * 1024 * 1024
_MAX_ERROR_BODY: Final = 16 * 1024  # of a response that is no stream: enough to say what it was
_BODY_START: Final = 300  # characters of such a body that are kept
_MAX_TEXT: Final = 256  # characters of an event's type or id that are kept
_MAX_LAST_ID: Final = 8192  # of the last id, which a reconnect sends whole: servers take headers of about that size
_MAX_JSON: Final = 4 * 1024 * 1024  # characters of an event that may be the last: a tool's answer may be long, and nothing follows it


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """One stream to open. `timeout` is in seconds; `hosts` are patterns of hosts that redirects may lead to, None: all.

    `http2`: over HTTP/2, together with the others of its group on one connection.
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


class Stop:
    """A request to end the run early, and why. Tripping it twice changes nothing."""

    def __init__(self) -> None:
        self._tripped = asyncio.Event()
        self.why: str | None = None

    def trip(self, why: str) -> None:
        """Ask everything that runs to end now."""
        if self.why is None:
            self.why = why
            self._tripped.set()

    async def wait(self) -> None:
        """Return once tripped."""
        await self._tripped.wait()


@dataclass(slots=True)
class LiveStream:
    """A stream as it is being recorded: columns that grow, for the transport to fill and a live view to read."""

    plan: StreamPlan
    follow_redirects: bool = True
    head_seen: Head | None = None
    reads_ns: list[int] = field(default_factory=list)
    wire_bytes: list[int] = field(default_factory=list)
    body_bytes: list[int] = field(default_factory=list)
    mid_event: list[bool] = field(default_factory=list)
    events_ns: list[int] = field(default_factory=list)
    event_reads: list[int] = field(default_factory=list)
    event_types: list[str] = field(default_factory=list)
    event_ids: list[str] = field(default_factory=list)
    event_sizes: list[int] = field(default_factory=list)
    numbers: dict[str, list[int | float | None]] = field(default_factory=dict)
    tokens: list[int] = field(default_factory=list)
    comments_ns: list[int] = field(default_factory=list)
    body_start: bytearray = field(default_factory=bytearray)
    parser: EventStreamParser = field(default_factory=EventStreamParser)
    total_bytes: int = 0
    planned_end: Literal["event", "events", "data", "json", "duration"] | None = None
    over_limit: str | None = None
    finished: bool = False
    listener: Listener | None = None
    negotiated: str | None = None

    # --- the transport's sink -------------------------------------------------------------------------------------

    def head(self, at_ns: int, head: Head) -> bool:
        """Take the response's head; a redirect that will be followed needs no body."""
        self.head_seen = head
        return self.redirect_to() is not None

    def redirect_to(self) -> str | None:
        """Where the response sends us, if it is a redirect to be followed."""
        if self.head_seen is None or self.head_seen.status not in _REDIRECTS or not self.follow_redirects:
            return None
        return self.head_seen.header("location")

    def body(self, at_ns: int, wire_bytes: int, data: bytes) -> bool:
        """Take one read: stamp it, parse it, see whether the stream's end has been reached."""
        if wire_bytes or not self.reads_ns:
            self.reads_ns.append(at_ns)
            self.wire_bytes.append(wire_bytes or len(data))
            self.body_bytes.append(len(data))
            self.mid_event.append(False)
        else:
            self.body_bytes[-1] += len(data)
        self.total_bytes += len(data)
        if len(self.body_start) < _BODY_START * 4:
            self.body_start += data[: _BODY_START * 4]
        if not self._is_stream():
            return self.total_bytes > _MAX_ERROR_BODY and self._over(
                f"the body of status {self.status} has more than {_MAX_ERROR_BODY:,} bytes"
            )
        parser = self.parser
        done = False
        for event in parser.feed(data):
            if self._event(at_ns, event.type, event.data, event.last_event_id):
                parser.last_event_id = event.last_event_id  # what the same read brought after it was not taken
                done = True
                break
        self.mid_event[-1] = parser.mid_event
        if parser.comments:
            self.comments_ns.extend([at_ns] * len(parser.comments))
            parser.comments.clear()
        return done or self._limits()

    @property
    def status(self) -> int | None:
        """The response's status, once there is one."""
        return self.head_seen.status if self.head_seen else None

    def _is_stream(self) -> bool:
        """Whether the body is worth parsing: any body of a 200, whatever its type says; what it was is judged later."""
        return self.status == 200 and self.plan.phase != "connect"

    def _event(self, at_ns: int, kind: str, data: str, event_id: str) -> bool:
        count = len(self.events_ns)
        self.events_ns.append(at_ns)
        self.event_reads.append(len(self.reads_ns) - 1)
        self.event_types.append(kind[:_MAX_TEXT])
        self.event_ids.append(event_id[:_MAX_TEXT])
        self.event_sizes.append(len(data))
        numbers = numbers_in(data)
        for name in numbers:
            if name not in self.numbers:
                self.numbers[name] = [None] * count
        for name, column in self.numbers.items():
            column.append(numbers.get(name))
        until, preset = self.plan.until, self.plan.preset
        value = json_in(data, _MAX_JSON) if preset is not None or until.json is not None else None
        if self.listener is not None:
            self.listener(kind, data, value)
        if preset is not None:
            self.tokens.append(token_characters(preset, kind, value))
        own = self.listener is not None and values_at(value, ("method",))  # the other side of a conversation counts by itself
        if until.json is not None and not own and values_at(value, until.json) == until.json:
            self.planned_end = "json"
        elif until.event is not None and kind == until.event:
            self.planned_end = "event"
        elif until.data is not None and data == until.data:
            self.planned_end = "data"
        elif until.events is not None and count + 1 >= until.events:
            self.planned_end = "events"
        return self.planned_end is not None

    def _limits(self) -> bool:
        if len(self.events_ns) >= _MAX_EVENTS:
            return self._over(f"more than {_MAX_EVENTS:,} events")
        if len(self.reads_ns) >= _MAX_READS:
            return self._over(f"more than {_MAX_READS:,} reads")
        if self.total_bytes >= _MAX_BODY_BYTES:
            return self._over(f"more than {_MAX_BODY_BYTES:,} bytes")
        return False

    def _over(self, what: str) -> bool:
        self.over_limit = what
        return True

    # --- the recording --------------------------------------------------------------------------------------------

    def freeze(
        self,
        *,
        redactor: Redactor,
        first: Trace,
        last: Trace,
        end: End,
        redirects: list[Redirect],
        url: str,
        run_started_ns: int,
        sent_at: float,
    ) -> StreamRecording:
        """What was observed, relative to the first request's sending and without secrets."""
        zero = first.sent_ns if first.sent_ns is not None else first.started_ns

        def since(at: int | None) -> int | None:
            return None if at is None else at - zero

        head = self.head_seen
        is_event_stream = head is not None and head.media_type == "text/event-stream"
        shown = (
            ""
            if self._is_stream() and is_event_stream and (self.events_ns or not self.total_bytes)
            else self.body_start.decode("utf-8", "replace")
        )
        numbers = {redactor.text(name): column for name, column in self.numbers.items()}
        return StreamRecording(
            probe=redactor.text(self.plan.probe),
            stream=self.plan.stream,
            phase=self.plan.phase,
            factor=self.plan.factor,
            arm=self.plan.arm,
            max_streams=last.max_streams,
            negotiated=self.negotiated,
            method=self.plan.request.method,
            url=redactor.url(url),
            sent_at=sent_at,
            run_ns=zero - run_started_ns,
            peer=last.peer,
            times=Times(
                started_ns=first.started_ns - zero,
                resolved_ns=since(last.resolved_ns),
                connected_ns=since(last.connected_ns),
                tls_ns=since(last.tls_ns),
                head_ns=since(last.head_ns),
                ended_ns=end.at_ns - zero,
            ),
            redirects=tuple(Redirect(status=r.status, location=redactor.url(r.location)[:2000], at_ns=r.at_ns - zero) for r in redirects),
            head=head and msgspec.structs.replace(head, reason=redactor.text(head.reason)[:200], headers=_kept_headers(head, redactor)),
            reads=Reads(
                at_ns=[at - zero for at in self.reads_ns], wire_bytes=self.wire_bytes, body_bytes=self.body_bytes, mid_event=self.mid_event
            ),
            events=Events(
                at_ns=[at - zero for at in self.events_ns],
                read=self.event_reads,
                type=[redactor.text(kind) for kind in self.event_types],
                id=[redactor.text(event_id) for event_id in self.event_ids],
                size=self.event_sizes,
                numbers=dict(numbers),
                tokens=self.tokens,
            ),
            comments_ns=[at - zero for at in self.comments_ns],
            retry_ms=self.parser.retry,
            last_event_id=redactor.text(self.parser.last_event_id[:_MAX_LAST_ID]),
            unknown_lines=self.parser.unknown_lines,
            oversized=self.parser.oversized,
            body_start=redactor.text(shown)[:_BODY_START],
            ended=end.ended,
            planned_end=self.planned_end,
            reason=end.reason,
            error=end.error and redactor.text(end.error),
        )


def _kept_headers(head: Head, redactor: Redactor) -> tuple[tuple[str, str], ...]:
    """The response's headers as they may be kept; `Location` is a URL and is cleaned as one."""
    return tuple(
        (redactor.text(name), redactor.url(value) if name.lower() == "location" else redactor.header(name, value))
        for name, value in head.headers
    )


async def observe(
    plan: StreamPlan,
    *,
    clock: Clock,
    redactor: Redactor,
    run_started_ns: int,
    stop: Stop,
    live: LiveStream | None = None,
    fetch: Fetch = fetch_http1,
) -> StreamRecording:
    """Open one stream and record it until it ends, its plan says enough, or the run is stopped. Never raises for a server."""
    live = live or LiveStream(plan)
    traces: list[Trace] = []
    redirects: list[Redirect] = []
    url = plan.request.url
    sent_at, began = time.time(), clock()
    talk = conversation(plan.preset, fetch, live, plan.request.body, lambda url: host_allowed(url, plan.hosts))
    work = asyncio.ensure_future(_follow(plan, live, traces, redirects, clock, talk.fetch if talk else fetch))
    stopping = asyncio.ensure_future(stop.wait())
    duration = plan.until.duration
    limit = plan.timeout if duration is None else min(duration, plan.timeout)
    try:
        await asyncio.wait({work, stopping}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        now = clock()
        if work.done():
            end = work.result()
        elif stop.why is not None:
            reason: Reason = "budget" if stop.why == "budget" else "interrupted"
            end = End(ended="timeout", at_ns=now, reason=reason, error=f"stopped: {stop.why}")
        elif duration is not None and duration <= plan.timeout:
            live.planned_end = "duration"
            end = End(ended="until", at_ns=now)
        else:
            end = End(ended="timeout", at_ns=now, error=f"not over after {plan.timeout:g} s" + (talk.lacking if talk else ""))
    finally:
        stopping.cancel()
        work.cancel()
        await asyncio.gather(work, stopping, return_exceptions=True)
        live.finished = True
        if talk is not None:
            await talk.close(clock)
    if live.over_limit is not None:
        end = End(ended="error", at_ns=end.at_ns, reason="limit", error=live.over_limit)
    first = traces[-1 if talk else 0]  # what comes before the stream of a conversation is none of its time
    if first.sent_ns is not None:
        sent_at += (first.sent_ns - began) / 1e9
    url = redirects[-1].location if redirects and live.redirect_to() is None else url
    return live.freeze(
        redactor=redactor,
        first=first,
        last=traces[-1],
        end=end,
        redirects=redirects,
        url=url,
        run_started_ns=run_started_ns,
        sent_at=sent_at,
    )


async def _follow(plan: StreamPlan, live: LiveStream, traces: list[Trace], redirects: list[Redirect], clock: Clock, fetch: Fetch) -> End:
    """Send the request and follow redirects as EventSource does, each recorded."""
    request = plan.request
    while True:
        trace = Trace(started_ns=clock())
        traces.append(trace)
        live.follow_redirects = len(redirects) < _MAX_REDIRECTS
        end = await fetch(request, live, trace, clock)
        location = live.redirect_to()
        if location is None or live.head_seen is None:
            if end.ended == "until" and live.planned_end is None:
                return replace(end, ended="error", reason="limit", error=live.over_limit)
            return end
        try:
            target = urljoin(request.url, location)
            parts = urlsplit(target)
            allowed = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0  # a port beyond 65535 raises
        except ValueError:
            target, allowed = location, False
        redirects.append(Redirect(status=live.head_seen.status, location=target, at_ns=trace.head_ns or end.at_ns))
        if not allowed:
            return End(ended="error", at_ns=end.at_ns, reason="policy", error="redirected to something that is no http or https URL")
        if not host_allowed(target, plan.hosts):
            return End(ended="error", at_ns=end.at_ns, reason="policy", error="redirected to a host that is not allowed")
        request = _redirected(request, target, live.head_seen.status)
        live.head_seen = None


def host_allowed(url: str, patterns: tuple[str, ...] | None) -> bool:
    """Whether a URL's host, or its host:port, matches one of the patterns (`*.example.test`; None: all); case is ignored."""
    if patterns is None:
        return True
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    port = parts.port or (443 if parts.scheme in ("https", "wss") else 80)
    return any(fnmatchcase(host, p.lower()) or fnmatchcase(f"{host}:{port}", p.lower()) for p in patterns)


def _redirected(request: Request, target: str, status: int) -> Request:
    """The next request, by the Fetch Standard's "HTTP-redirect fetch"; another origin gets none of the scenario's headers."""
    method, body, headers = request.method, request.body, request.headers
    if (status == 303 and method not in ("GET", "HEAD")) or (status in (301, 302) and method == "POST"):
        method, body = "GET", None
        headers = tuple((name, value) for name, value in headers if not name.lower().startswith("content-"))
    tls = request.tls
    if not same_origin(target, request.url):
        tls = request.tls_elsewhere
        # The last event ID is EventSource's own header, and goes wherever its request goes.
        own = {*(name.lower() for name, _ in own_headers(target)), "last-event-id"}
        headers = tuple((name, value) for name, value in headers if name.lower() in own)
    return replace(request, url=target, method=method, body=body, headers=headers, tls=tls)


def own_headers(url: str) -> tuple[tuple[str, str], ...]:
    """What sse-check sends of its own accord: what a browser's EventSource sends.

    Browsers offer `br` and `zstd` only where nothing in between can misread them, that is over TLS.
    """
    encodings = "gzip, deflate, br, zstd" if url.startswith("https:") else "gzip, deflate"
    return (("Accept", "text/event-stream"), ("Accept-Encoding", encodings), ("Cache-Control", "no-cache"), ("User-Agent", USER_AGENT))
