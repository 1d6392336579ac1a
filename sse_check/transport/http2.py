"""HTTP/2 over TLS as browsers use it: all that a page asks of one origin goes over one connection.

So the streams of a group share what they would share in a browser: the server's limit of streams at once
(SETTINGS_MAX_CONCURRENT_STREAMS), behind which the others wait, the fate of the connection, and its order of bytes.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from sse_check.transport import Clock, End, Request, Sink, Trace
from sse_check.transport.dial import DialError, Target, dial, one_line, path_of, target_of
from sse_check.transport.http1 import fetch as fetch_http1
from sse_check.transport.http2_connection import Connection
from sse_check.transport.tls import default_context

# A request that was not sent when its connection came to its end goes to another one, once.
_ATTEMPTS: Final = 2


@dataclass(frozen=True, slots=True)
class _Link:
    """A connection that is being made, or was: its phases as far as they have come, and what comes of it."""

    trace: Trace
    made: "asyncio.Task[Connection | End]"

    @property
    def usable(self) -> bool:
        """Whether it takes a request, or may yet."""
        if not self.made.done():
            return True
        return isinstance(connection := self.made.result(), Connection) and not connection.leaving


class Http2:
    """The connections that the streams of one group share, one to an origin. `fetch` is a transport's Fetch."""

    def __init__(self) -> None:
        self._links: dict[Target, _Link] = {}
        self._all: list[_Link] = []

    async def __aenter__(self) -> "Http2":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connections; nothing is under way on them any more."""
        for link in self._all:
            link.made.cancel()
        made = await asyncio.gather(*(link.made for link in self._all), return_exceptions=True)
        for connection in made:
            if isinstance(connection, Connection):
                connection.close()
        self._links.clear()
        self._all.clear()

    async def fetch(self, request: Request, sink: Sink, trace: Trace, clock: Clock) -> End:
        """Send one request on its origin's connection and feed its response to the sink until either ends it.

        Never raises for what a server or a network does; that is an End. Cancelling it resets the stream. What is not
        asked over TLS goes over HTTP/1.1, as in every browser.
        """
        if not request.url.lower().startswith("https:"):
            return await fetch_http1(request, sink, trace, clock)
        try:
            target = target_of(request.url)
            fields = fields_of(request, target)
        except ValueError as error:
            return End(ended="error", at_ns=clock(), reason="protocol", error=one_line(error))
        for _ in range(_ATTEMPTS):
            connection = await self._connection(target, request, trace, clock)
            if isinstance(connection, End):
                return connection
            end = await connection.exchange(fields, request.body, sink, trace)
            if end is not None:
                return end
        return End(ended="error", at_ns=clock(), reason="no-response", error="the connection was closed before the request could be sent")

    async def _connection(self, target: Target, request: Request, trace: Trace, clock: Clock) -> Connection | End:
        """The target's connection, made with the first request that needs it; its phases are those of all who waited for it."""
        link = self._links.get(target)
        if link is None or not link.usable:
            phases = Trace(started_ns=clock())
            link = _Link(phases, asyncio.ensure_future(_connect(target, request, phases, clock)))
            self._links[target] = link
            self._all.append(link)
        waited = not link.made.done()
        try:
            return await asyncio.shield(link.made)
        finally:
            trace.peer = link.trace.peer
            if waited:
                trace.resolved_ns, trace.connected_ns, trace.tls_ns = link.trace.resolved_ns, link.trace.connected_ns, link.trace.tls_ns


async def _connect(target: Target, request: Request, trace: Trace, clock: Clock) -> Connection | End:
    """A connection on which the server has sent its SETTINGS, or why there is none. Cancelling it closes it."""
    try:
        wire, _ = await dial(target, request, trace, clock, tls=request.tls or default_context(http2=True))
    except DialError as error:
        return error.end
    if wire.alpn != "h2":
        wire.close()
        said = f"the server does not speak HTTP/2 (ALPN chose {wire.alpn or 'nothing'})"
        return End(ended="error", at_ns=clock(), reason="protocol", error=said)
    connection = Connection(wire, clock)
    end: End | None
    try:
        async with asyncio.timeout(request.connect_timeout):
            end = await asyncio.shield(connection.ready)
    except TimeoutError:
        end = End(ended="error", at_ns=clock(), reason="protocol", error=f"no HTTP/2 SETTINGS within {request.connect_timeout:g} s")
    except asyncio.CancelledError:
        connection.close()
        raise
    if end is None:
        return connection
    connection.close()
    return end


def fields_of(request: Request, target: Target) -> list[tuple[str, str]]:
    """The request's header fields, the pseudo ones first (RFC 9113, section 8.3.1). What is about a connection, h2 leaves out."""
    given = [(name.lower(), value) for name, value in request.headers]
    host = next((value for name, value in given if name == "host"), target.authority)
    fields = [
        (":method", request.method),
        (":authority", host),
        (":scheme", "https"),
        (":path", path_of(request.url)),
    ]
    fields += [(name, value) for name, value in given if name != "host" and not (name == "authorization" and target.credentials)]
    if target.credentials:
        fields.append(("authorization", target.credentials))
    if request.body is not None and not any(name == "content-length" for name, _ in given):
        fields.append(("content-length", str(len(request.body))))
    return fields
