"""HTTP/1.1 as EventSource speaks it: one request on a connection of its own, and its response as it comes.

Responses are read by llhttp (httptools), the parser of node, as lenient as aiohttp's client and browsers are. It does no
I/O, so that each read keeps the stamp that it got in the socket (wire.py), and what it brought of the body goes to the
sink in one piece, whatever chunks it came in.
"""

import asyncio
import ssl
from typing import Final
from urllib.parse import SplitResult

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from sse_check.recording import Head
from sse_check.transport import Clock, End, Request, Sink, Trace
from sse_check.transport.arrival import Stamp
from sse_check.transport.body import Body
from sse_check.transport.dial import DialError, Target, basic_credentials, dial, one_line, path_of, target_of
from sse_check.transport.local import is_local
from sse_check.transport.tls import default_context
from sse_check.transport.wire import Wire

# RFC 9110 sets no limit; servers commonly allow 8 to 16 KiB in all.
_MAX_HEAD_BYTES: Final = 64 * 1024
_MAX_FIELDS: Final = 1000
_FIELD_FRAME: Final = 4  # the colon, the space and the line's end around a field
# Of a body's framing without any of the body: the extensions of a chunk and the trailers, which the parser keeps to itself.
_MAX_FRAMING_BYTES: Final = 64 * 1024


class _Whole(Exception):
    """The response is whole, and whatever follows is none of it."""


class _TooLong(Exception):
    """The response's head is beyond its bounds."""


async def fetch(request: Request, sink: Sink, trace: Trace, clock: Clock) -> End:
    """Send one request on a connection of its own and feed its response to the sink until either ends it.

    Never raises for what a server or a network does; that is an End. Cancelling it closes the connection.
    """
    try:
        target = target_of(request.url)
    except ValueError as error:
        return End(ended="error", at_ns=clock(), reason="protocol", error=one_line(error))
    tls = None if target.scheme == "http" else request.tls or default_context()
    try:
        wire, proxy = await dial(target, request, trace, clock, tls=tls)
    except DialError as error:
        return error.end
    try:
        exchange = _Exchange(wire, sink, trace, clock, bodiless=request.method == "HEAD")
        trace.sent_ns = clock()
        wire.write(_head_of(request, target, proxy) + (request.body or b""))
        wire.attach(exchange)
        return await exchange.end
    finally:
        wire.close()


def _head_of(request: Request, target: Target, proxy: SplitResult | None) -> bytes:
    """The request's head (RFC 9112, section 3). A proxy that takes it gets the whole URL, and its own credentials."""
    path = path_of(request.url)
    lines = [f"{request.method} {f'http://{target.authority}{path}' if proxy else path} HTTP/1.1"]
    given = {name.lower() for name, _ in request.headers}
    if "host" not in given:
        lines.append(f"Host: {target.authority}")
    lines += [f"{name}: {value}" for name, value in request.headers if not (name.lower() == "authorization" and target.credentials)]
    if target.credentials:
        lines.append(f"Authorization: {target.credentials}")
    if proxy is not None and (credentials := basic_credentials(proxy)):
        lines.append(f"Proxy-Authorization: {credentials}")
    if (request.body is not None or request.method in ("POST", "PUT", "PATCH")) and "content-length" not in given:
        lines.append(f"Content-Length: {len(request.body or b'')}")
    if "connection" not in given:
        lines.append("Connection: close")  # the connection carries no second request
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


class _Exchange:
    """A response as far as it has come: the wire's receiver, and what llhttp calls."""

    __slots__ = (
        "_bodiless", "_body", "_broken", "_clock", "_complete", "_delimited", "_fields", "_fields_bytes", "_framing_bytes", "_head_bytes",
        "_lost", "_parser", "_pieces", "_reason", "_sink", "_stamp", "_too_long", "_trace", "_wire", "end", "on_body",
    )  # fmt: skip

    def __init__(self, wire: Wire, sink: Sink, trace: Trace, clock: Clock, *, bodiless: bool) -> None:
        self._wire = wire
        self._sink = sink
        self._trace = trace
        self._clock = clock
        self._bodiless = bodiless
        self._body: Body | None = None  # once the head is here
        self._delimited = False  # whether the body says where it ends; else the connection's end is its own
        self._complete = False
        self._broken: End | None = None
        self._lost: tuple[OSError | None, int] | None = None  # how and when the connection was, while a read was still being handed on
        self._too_long = False
        self._head_bytes = 0  # of all heads, those of interim responses too
        self._fields_bytes = 0  # of this one's fields
        self._framing_bytes = 0  # since there was some of the body
        self._reason = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []  # of the body, from the read under way
        self.on_body = self._pieces.append
        self._stamp: Stamp
        self._parser = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self.end: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    # --- the wire's side ----------------------------------------------------------------------------------------------

    def received(self, stamp: Stamp, data: bytes) -> None:
        """Take one read."""
        self._stamp = stamp
        with_body = self._body is not None
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._complete = True  # what follows is no HTTP
        except HttpParserError as error:
            if not (self._complete or self._too_long):  # else _Whole, or _TooLong
                self._broken = _broken(stamp, one_line(error))
        if self.end.done():
            return
        if self._body is None:
            self._head_bytes += len(data)
            if self._too_long or (self._broken is None and self._head_bytes > _MAX_HEAD_BYTES):
                self._broken = _broken(stamp, f"a head of more than {_MAX_HEAD_BYTES:,} bytes or {_MAX_FIELDS:,} fields")
        elif self._pieces or with_body:
            pieces = self._pieces
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            # What follows the last piece, but for the end of its chunk, may have come later.
            if pieces and stamp.exact and not data.endswith((pieces[-1], pieces[-1] + b"\r\n")):
                stamp = stamp.followed()
            pieces.clear()
            self._framing_bytes = 0 if body else self._framing_bytes + len(data)
            if self._broken is None and self._framing_bytes > _MAX_FRAMING_BYTES:
                self._broken = _broken(stamp, f"more than {_MAX_FRAMING_BYTES:,} bytes of chunk extensions or trailers")
            # What came with the head is counted without it.
            self._finish(self._body.take(stamp, len(data) if with_body else len(body), body))
            if self._body.busy:
                self._wire.work_off(self._go_on)
                return
        self._read_out()

    def _go_on(self) -> bool:
        """The next step of what the read decodes to; whether it was the last."""
        assert self._body is not None
        if self.end.done():
            return True
        self._finish(self._body.go_on())
        if self._body.busy:
            return False
        self._read_out()
        return True

    def _read_out(self) -> None:
        """The read has been handed on: what it says of the end of the response, and what came of the connection meanwhile."""
        if self._complete and self._body is not None:
            self._finish(self._body.close(self._stamp.ns))
        self._finish(self._broken)
        if self._lost is not None:
            self._finish(self._end_of(*self._lost))

    def written(self) -> None:
        """The request is out."""

    def lost(self, error: OSError | None) -> None:
        """The connection is over: the response's end where it names none of its own, else before it."""
        self._lost = error, self._clock()
        if self._body is None or not self._body.busy:
            self._finish(self._end_of(*self._lost))

    def _end_of(self, error: OSError | None, at_ns: int) -> End:
        reset = isinstance(error, ConnectionResetError)
        if error is not None and is_local(error):
            return End(ended="error", at_ns=at_ns, reason="machine", error=one_line(error))
        # Before an answer that is TLS refusing; after it a connection that breaks off: some servers end theirs in mid-record.
        if isinstance(error, ssl.SSLError) and self._body is None:
            return End(ended="error", at_ns=at_ns, reason="tls", error=one_line(error))
        if self._body is None:
            said = f"the connection was {'reset' if reset else 'closed'} before any answer"
            return End(ended="reset" if reset else "error", at_ns=at_ns, reason="no-response", error=said)
        if reset:
            return End(ended="reset", at_ns=at_ns, error="the connection was reset")
        # Also of TLS that ends without its close_notify, which RFC 9112, section 9.8, would have incomplete: too many servers send none,
        # and browsers take it for the end.
        if error is None and not self._delimited:
            return self._body.close(at_ns)
        return End(ended="truncated", at_ns=at_ns, error="the connection was closed before the response was complete")

    # --- the parser's side --------------------------------------------------------------------------------------------

    def on_status(self, text: bytes) -> None:
        """A piece of the reason phrase."""
        self._reason += text

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field; of those behind the body, the trailers, nothing is made. Raises _TooLong, which ends the parser."""
        if self._body is None:
            self._fields.append((name, value))
            self._fields_bytes += len(name) + len(value) + _FIELD_FRAME
            if len(self._fields) > _MAX_FIELDS or self._fields_bytes > _MAX_HEAD_BYTES:
                self._too_long = True
                raise _TooLong

    def on_headers_complete(self) -> None:
        """The head is here, or that of an interim response (RFC 9110, section 15.2), which is passed over."""
        status = self._parser.get_status_code()
        if status < 200 and status != 101:
            self._fields.clear()
            self._fields_bytes = 0
            self._reason = b""
            return
        head = Head(
            status=status,
            # A server may write any bytes here; what is no UTF-8 becomes the replacement character.
            reason=self._reason.decode("utf-8", "replace"),
            protocol=f"http/{self._parser.get_http_version()}",
            headers=tuple((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")) for name, value in self._fields),
        )
        self._trace.head_ns = self._stamp.ns
        codings = (head.header("transfer-encoding") or "").lower()
        self._delimited = codings.rpartition(",")[2].strip() == "chunked" or head.header("content-length") is not None
        self._body = Body(self._sink, head.header("content-encoding"))
        self._fields.clear()
        if self._sink.head(self._stamp.ns, head):
            self._finish(End(ended="until", at_ns=self._stamp.ns))
        elif self._bodiless:
            self._finish(End(ended="eof", at_ns=self._stamp.ns))

    def on_message_complete(self) -> None:
        """The response is whole, unless it was an interim one. Raises _Whole, which ends the parser: a second response is nobody's."""
        self._complete = self._body is not None
        if self._complete:
            raise _Whole

    def _finish(self, end: End | None) -> None:
        if end is not None and not self.end.done():
            self.end.set_result(end)
            self._wire.close()


def _broken(stamp: Stamp, error: str) -> End:
    return End(ended="error", at_ns=stamp.ns, reason="protocol", error=error)
