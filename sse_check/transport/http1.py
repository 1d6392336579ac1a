"""HTTP/1.1 on aiohttp, with each read stamped before aiohttp joins it with the next.

aiohttp connects, speaks HTTP and decodes; its stream reader, though, hands a task whatever has gathered by the time the
task runs, and the task's clock is late by its own load. Two public doors let the stamp be taken earlier:

* `TCPConnector(socket_factory=…)`: the socket notes when the request went out and when it was last read from. This is
  where kernel receive stamps have their place (SO_TIMESTAMPNS, by `recvmsg` in `recv` and `recv_into`).
* `transport.set_protocol()`: once the head is there, a tap stands between the transport and aiohttp. It stamps each
  `data_received`, lets aiohttp de-chunk and decompress it, and takes the result out at once.

Between the read that completes the head and the moment the tap is in place no further read can happen: the waiting
task is resumed in the loop's next turn, before that turn's reads. Body bytes that came with the head carry its stamp.
"""

import asyncio
import socket
import ssl
from typing import Any, Final, cast
from urllib.parse import urlsplit

import aiohttp
from aiohttp.client_exceptions import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientError,
    ClientHttpProxyError,
    ClientPayloadError,
    ClientProxyConnectionError,
    ClientSSLError,
    ServerDisconnectedError,
)
from aiohttp.http_exceptions import ContentEncodingError
from yarl import URL

from sse_check.recording import Head, Reason
from sse_check.transport import Clock, End, Request, Sink, Trace
from sse_check.transport.resolve import KnownFirst, known_address, other_version

# Above what one read of asyncio brings (256 KiB), so that aiohttp never pauses a stream that is drained at once.
_READ_BUFFER: Final = 1024 * 1024
# RFC 9110 sets no limit; servers commonly allow 8 to 16 KiB in all.
_MAX_HEADER_BYTES: Final = 64 * 1024


class _StampedSocket(socket.socket):
    """A socket that notes when it first sent, when it next sent after `arm()`, and when it was last read from."""

    clock: Clock
    first_sent_ns: int | None = None
    request_sent_ns: int | None = None
    read_ns: int = 0
    armed = False

    def _sending(self) -> None:
        if self.first_sent_ns is None:
            self.first_sent_ns = self.clock()
        if self.armed:
            self.armed = False
            self.request_sent_ns = self.clock()

    def send(self, *args: Any) -> int:
        self._sending()
        return super().send(*args)

    def sendmsg(self, *args: Any) -> int:
        self._sending()
        return super().sendmsg(*args)

    def recv(self, *args: Any) -> bytes:
        data = super().recv(*args)
        self.read_ns = self.clock()
        return data

    def recv_into(self, *args: Any) -> int:
        count = super().recv_into(*args)
        self.read_ns = self.clock()
        return count


class _Tap(asyncio.Protocol):
    """Stands between the transport and aiohttp's protocol, and drains the body at every read."""

    def __init__(self, inner: asyncio.Protocol, sock: _StampedSocket, content: aiohttp.StreamReader, sink: Sink) -> None:
        self._inner = inner
        self._sock = sock
        self._content = content
        self._sink = sink
        self._lost: BaseException | None = None
        self.end: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)
        self.drain(self._sock.read_ns, len(data))

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = exc
        self._inner.connection_lost(exc)
        self.drain(self._sock.clock(), 0)
        if not self.end.done():
            self._finish(End(ended="truncated", at_ns=self._sock.clock(), error="the connection was closed"))

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def drain(self, at_ns: int, wire_bytes: int) -> None:
        """Hand over all of the body that is there, then look whether it has ended."""
        if self.end.done():
            return
        error = self._content.exception()
        while error is None:
            data = self._content.read_nowait()
            if not data and not wire_bytes:
                break
            if self._sink.body(at_ns, wire_bytes, data):
                self._finish(End(ended="until", at_ns=at_ns))
                return
            wire_bytes = 0
            error = self._content.exception()
        if error is not None:
            self._finish(_broken(error, self._lost, at_ns))
        elif self._content.is_eof():
            self._finish(End(ended="eof", at_ns=at_ns))

    def _finish(self, end: End) -> None:
        if not self.end.done():
            self.end.set_result(end)


async def fetch(request: Request, sink: Sink, trace: Trace, clock: Clock) -> End:
    """Send one request on a connection of its own and feed its response to the sink until either ends it.

    Never raises for what a server or a network does; that is an End. Cancelling it closes the connection.
    """
    sockets: list[_StampedSocket] = []
    url = urlsplit(request.url)
    if (other := other_version(url.hostname or "", request.family)) is not None:
        return End(ended="error", at_ns=clock(), reason="tcp", error=other)

    def stamped(addr_info: Any) -> socket.socket:
        family, kind, proto, *_ = addr_info
        sock = _StampedSocket(family, kind, proto)
        sock.clock = clock
        sockets.append(sock)
        return sock

    connector = aiohttp.TCPConnector(
        socket_factory=stamped,
        resolver=KnownFirst(request.addresses),
        ssl=request.tls or True,
        force_close=True,
        use_dns_cache=False,
        limit=0,
        family=request.family,
        happy_eyeballs_delay=0.25,
    )
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[_tracing(trace, sockets, clock, tls=request.url.startswith("https:"))],
        trust_env=known_address(request.addresses, url.hostname or "", url.port or (443 if url.scheme == "https" else 80)) is None,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=request.connect_timeout, connect=request.connect_timeout * 2),
        read_bufsize=_READ_BUFFER,
        max_line_size=_MAX_HEADER_BYTES,
        max_field_size=_MAX_HEADER_BYTES,
    )
    try:
        return await _exchange(session, request, sink, trace, clock, sockets)
    except TimeoutError:
        # On a TLS connection the first bytes are the client's hello; what then takes too long is the handshake.
        greeted = url.scheme == "https" and any(s.first_sent_ns is not None for s in sockets)
        what = "TLS handshake" if greeted else "connection"
        return End(
            ended="error", at_ns=clock(), reason="tls" if greeted else "tcp", error=f"no {what} within {request.connect_timeout:g} s"
        )
    except (ClientError, OSError, ssl.SSLError, ValueError) as error:
        return _failed(error, trace, clock())
    finally:
        trace.sent_ns = trace.sent_ns or next((s.request_sent_ns for s in sockets if s.request_sent_ns), None)
        await session.close()


async def _exchange(
    session: aiohttp.ClientSession, request: Request, sink: Sink, trace: Trace, clock: Clock, sockets: list[_StampedSocket]
) -> End:
    response = await session.request(
        request.method, URL(request.url, encoded=True), headers=request.headers, data=request.body, allow_redirects=False
    )
    try:
        sock = next(s for s in sockets if s.request_sent_ns is not None)
        trace.sent_ns, trace.head_ns = sock.request_sent_ns, sock.read_ns
        version = response.version
        head = Head(
            status=response.status,
            # A server may write any bytes here; what is no UTF-8 becomes the replacement character.
            reason=(response.reason or "").encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
            protocol=f"http/{version.major}.{version.minor}" if version else "http/1.1",
            headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers),
        )
        if sink.head(sock.read_ns, head):
            return End(ended="until", at_ns=sock.read_ns)
        connection = response.connection
        if connection is None or connection.transport is None:  # the whole response came with its head
            return _whole(response.content, sink, sock.read_ns)
        tap = _Tap(cast(asyncio.Protocol, connection.protocol), sock, response.content, sink)
        connection.transport.set_protocol(tap)
        tap.drain(sock.read_ns, 0)
        return await tap.end
    finally:
        response.close()


def _whole(content: aiohttp.StreamReader, sink: Sink, at_ns: int) -> End:
    """The response is over already: what its connection brought is in the reader."""
    error = content.exception()
    if error is None:
        while data := content.read_nowait():
            if sink.body(at_ns, len(data), data):
                return End(ended="until", at_ns=at_ns)
        return End(ended="eof", at_ns=at_ns)
    return _broken(error, None, at_ns)


def _tracing(trace: Trace, sockets: list[_StampedSocket], clock: Clock, *, tls: bool) -> aiohttp.TraceConfig:
    """aiohttp's signals for the phases of a connection, written into the trace."""
    config = aiohttp.TraceConfig()

    async def resolved(*_: Any) -> None:
        trace.resolved_ns = clock()

    async def connected(*_: Any) -> None:
        done = clock()
        winner = next((s for s in sockets if s.fileno() != -1), None)
        # The first bytes on a TLS connection are the client's hello: until then it was TCP, from then on TLS.
        trace.connected_ns = (winner.first_sent_ns if tls and winner else None) or done
        trace.tls_ns = done if tls else None
        if winner:
            trace.peer = peer_of(winner)
            winner.armed = True

    config.on_dns_resolvehost_end.append(resolved)
    config.on_connection_create_end.append(connected)
    return config


def peer_of(sock: socket.socket) -> str | None:
    """The address and port of a socket's other side; None where it is not connected any more."""
    try:
        host, port, *_ = sock.getpeername()
    except OSError:
        return None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _broken(error: BaseException, lost: BaseException | None, at_ns: int) -> End:
    """A body that did not come to its end: the connection was reset, or closed too early, or cannot be decoded."""
    if isinstance(lost, ConnectionResetError) or isinstance(error.__cause__, ConnectionResetError):
        return End(ended="reset", at_ns=at_ns, error="the connection was reset")
    if isinstance(error.__cause__, ContentEncodingError):
        return End(ended="error", at_ns=at_ns, reason="decode", error=one_line(error.__cause__))
    if isinstance(error, ClientPayloadError | ClientConnectionError):
        return End(ended="truncated", at_ns=at_ns, error="the connection was closed before the response was complete")
    return End(ended="error", at_ns=at_ns, reason="protocol", error=one_line(error))


def _failed(error: Exception, trace: Trace, at_ns: int) -> End:
    """No response head: why. The order matters, as aiohttp's errors inherit from each other."""
    reason: Reason
    if isinstance(error, ClientProxyConnectionError | ClientHttpProxyError):
        reason = "proxy"
    elif isinstance(error, ClientSSLError | ssl.SSLError):
        cause = error.certificate_error if isinstance(error, ClientConnectorCertificateError) else error
        verify = getattr(cause, "verify_message", None)
        reason, error = "tls", ssl.SSLError(f"the certificate is not accepted: {verify}") if verify else error
    elif isinstance(error, ClientConnectorError):
        # What the system said; aiohttp's own words tell of TLS even where there is none.
        reason, error = ("dns" if isinstance(error.os_error, socket.gaierror) else "tcp"), error.os_error
    elif isinstance(error, ServerDisconnectedError | ConnectionError) or (isinstance(error, OSError) and trace.connected_ns is not None):
        reset = isinstance(error, ConnectionResetError)
        text = "the connection was " + ("reset" if reset else "closed") + " before any answer"
        return End(ended="reset" if reset else "error", at_ns=at_ns, reason="no-response", error=text)
    elif isinstance(error, OSError):
        reason = "tcp"
    else:
        reason = "protocol"
    return End(ended="error", at_ns=at_ns, reason=reason, error=one_line(error))


def one_line(error: BaseException) -> str:
    """What an error says, in one bounded line; its type where it says nothing."""
    return (str(error) or type(error).__name__).replace("\n", " ")[:500]
