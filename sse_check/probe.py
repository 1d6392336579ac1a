"""One stream from request to end: the request sent, redirects followed, and what ended it. It observes and draws no conclusion."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final
from urllib.parse import urljoin, urlsplit

from sse_check import __version__
from sse_check.hosts import host_allowed, host_in, is_public
from sse_check.live import LiveStream
from sse_check.mcp import conversation
from sse_check.plan import StreamPlan
from sse_check.recording import Reason, Redirect, StreamRecording
from sse_check.redaction import Redactor
from sse_check.transport import Clock, End, Fetch, Request, Trace, same_origin
from sse_check.transport.arrival import distance_ns
from sse_check.transport.http1 import fetch as fetch_http1

USER_AGENT: Final = f"sse-check/{__version__}"

DECIDED: Final = "decided"  # why streams are stopped whose rest cannot change the verdict

_MAX_REDIRECTS: Final = 20  # Fetch Standard, "HTTP-redirect fetch"


class Stop:
    """A request to end the run early, and why. Tripping it twice changes nothing."""

    def __init__(self) -> None:
        self._tripped = asyncio.Event()
        self._timers: set[asyncio.Timeout] = set()
        self.why: str | None = None

    def trip(self, why: str) -> None:
        """Ask everything that runs to end now."""
        if self.why is None:
            self.why = why
            self._tripped.set()
            for timer in self._timers:
                timer.reschedule(0)

    async def wait(self) -> None:
        """Return once tripped."""
        await self._tripped.wait()

    @contextmanager
    def ending(self, timer: asyncio.Timeout) -> Iterator[None]:
        """Within this, a trip makes the timer's time be over: a stream needs no task of its own to wait for it."""
        if self.why is not None:
            timer.reschedule(0)
        self._timers.add(timer)
        try:
            yield
        finally:
            self._timers.discard(timer)


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
    live = live or LiveStream(plan, redactor=redactor)
    began, live.wall_distance_ns = clock(), distance_ns()
    talk = conversation(plan.preset, fetch, live, plan.request.body, lambda url: host_allowed(url, plan.hosts))
    duration = plan.until.duration
    limit = plan.timeout if duration is None else min(duration, plan.timeout)
    try:
        async with asyncio.timeout(limit) as timer:
            with stop.ending(timer):
                if stop.why is not None:
                    await asyncio.sleep(0)  # where the timer strikes: nothing is opened any more
                end = await _follow(plan, live, clock, talk.fetch if talk else fetch)
    except TimeoutError:
        now = clock()
        if stop.why is not None:
            end = _stopped(stop.why, now)
        elif duration is not None and duration <= plan.timeout:
            live.planned_end = "duration"
            end = End(ended="until", at_ns=now)
        else:
            end = End(ended="timeout", at_ns=now, error=f"not over after {plan.timeout:g} s" + (talk.lacking if talk else ""))
    finally:
        live.finish()
        if talk is not None:
            await talk.close(clock)
    if live.over_limit is not None:
        end = End(ended="error", at_ns=end.at_ns, reason="limit", error=live.over_limit)
    live.traces = live.traces or [Trace(started_ns=began)]
    live.end = end
    return live.freeze(end, redactor=redactor, run_started_ns=run_started_ns)


def _stopped(why: str, at_ns: int) -> End:
    if why == DECIDED:
        return End(ended="timeout", at_ns=at_ns, reason="decided", error="ended early: the verdict was certain")
    reason: Reason = "budget" if why == "budget" else "interrupted"
    return End(ended="timeout", at_ns=at_ns, reason=reason, error=f"stopped: {why}")


async def _follow(plan: StreamPlan, live: LiveStream, clock: Clock, fetch: Fetch) -> End:
    """Send the request and follow redirects as EventSource does, each recorded."""
    request, redirects = plan.request, live.redirects
    while True:
        trace = Trace(started_ns=clock())
        live.traces.append(trace)
        live.follow_redirects = len(redirects) < _MAX_REDIRECTS
        end = await fetch(request, live, trace, clock)
        location = live.redirect_to()
        if location is None or live.head_seen is None:
            if end.ended == "until" and live.planned_end is None:
                return replace(end, ended="error", reason="limit", error=live.over_limit)
            return end
        try:
            target = urljoin(request.url, as_url(location))
            parts = urlsplit(target)
            allowed = parts.scheme in ("http", "https") and bool(host_in(target)) and parts.port != 0  # a port beyond 65535 raises
        except ValueError:
            target, allowed = location, False
        redirects.append(Redirect(status=live.head_seen.status, location=target, at_ns=trace.head_ns or end.at_ns))
        if not allowed:
            return End(ended="error", at_ns=end.at_ns, reason="policy", error="redirected to something that is no http or https URL")
        if not host_allowed(target, plan.hosts):
            return End(ended="error", at_ns=end.at_ns, reason="policy", error="redirected to a host that is not allowed")
        following = _redirected(request, target, live.head_seen.status)
        if following.body is not None and not same_origin(target, request.url):
            said = "redirected to another origin, where the request's body is not sent; ask that URL itself if it is meant"
            return End(ended="error", at_ns=end.at_ns, reason="policy", error=said)
        # Where nobody has said which hosts are meant, the Internet does not lead into the network of whoever measures.
        inwards = plan.hosts is None and trace.peer is not None and is_public(trace.peer.rpartition(":")[0].strip("[]"))
        request = replace(following, public_only=following.public_only or inwards)
        live.head_seen = None


def as_url(location: str) -> str:
    """A Location's value, of which each character is a byte, as browsers read it: UTF-8, and other bytes percent-encoded.

    The Fetch Standard does not say; web-platform-tests, fetch/api/redirect/redirect-location-escape (whatwg/fetch issue 883), do.
    """
    raw = location.encode("latin-1")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in raw)


def _redirected(request: Request, target: str, status: int) -> Request:
    """The next request, by the Fetch Standard's "HTTP-redirect fetch"; another origin gets none of the scenario's headers.

    Beyond that standard it gets no body either (`_follow`): it may hold a secret, as the headers do.
    """
    method, body, headers = request.method, request.body, request.headers
    if (status == 303 and method not in ("GET", "HEAD")) or (status in (301, 302) and method == "POST"):
        method, body = "GET", None
        headers = tuple((name, value) for name, value in headers if not name.lower().startswith("content-"))
    tls = request.tls
    if not same_origin(target, request.url):
        tls = request.tls_elsewhere
        # The last event ID is EventSource's own header, and goes wherever its request goes.
        own = {*(name.lower() for name, _ in own_headers(target)), "last-event-id"} - {"user-agent"}  # where some write a token
        headers = (*((name, value) for name, value in headers if name.lower() in own), ("User-Agent", USER_AGENT))
    return replace(request, url=target, method=method, body=body, headers=headers, tls=tls)


def own_headers(url: str) -> tuple[tuple[str, str], ...]:
    """What sse-check sends of its own accord: what a browser's EventSource sends.

    Browsers offer `br` and `zstd` only where nothing in between can misread them, that is over TLS.
    """
    encodings = "gzip, deflate, br, zstd" if url.startswith("https:") else "gzip, deflate"
    return (("Accept", "text/event-stream"), ("Accept-Encoding", encodings), ("Cache-Control", "no-cache"), ("User-Agent", USER_AGENT))
