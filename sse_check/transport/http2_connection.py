"""One HTTP/2 connection (RFC 9113) and the streams on it, on h2, which does no I/O of its own.

Each read is stamped as it arrives; what it brought of one stream is handed over as one piece, whatever frames it came in.

Frames are told apart here, before h2 sees them, for two reasons. After a GOAWAY h2 takes no further frame, although the
streams that were begun go on (section 6.8), and a stream that lives for long meets one whenever a proxy is reloaded. And
h2 would wait for the whole of a frame that is longer than allowed.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RemoteSettingsChanged, ResponseReceived, StreamEnded, StreamReset, WindowUpdated
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from sse_check.transport import Clock, End, Sink, Trace
from sse_check.transport.arrival import Stamp
from sse_check.transport.dial import one_line
from sse_check.transport.http2_exchange import Exchange
from sse_check.transport.local import is_local
from sse_check.transport.wire import Wire

# What Chrome grants: no stream is held back for want of room that would not be in a browser.
_STREAM_WINDOW: Final = 6 * 1024 * 1024
_CONNECTION_WINDOW: Final = 15 * 1024 * 1024
_DEFAULT_WINDOW: Final = 65_535  # RFC 9113, section 6.9.2
_MAX_FRAME: Final = 16_384  # RFC 9113, section 6.5.2: SETTINGS_MAX_FRAME_SIZE, left as it is
_MAX_HEADER_BYTES: Final = 64 * 1024  # as over HTTP/1.1
_FRAME_HEAD: Final = 9
_GOAWAY: Final = 0x7
# A peer that asks for answers (PING, SETTINGS) and reads none of them is left.
_MAX_UNREAD: Final = 1024 * 1024


class _Broken(Exception):
    """The server does not speak HTTP/2 as it must; the message says how."""


class Connection:
    """Speaks HTTP/2 over a wire on which TLS has agreed on it, and spreads what arrives over the exchanges.

    `ready` is None once the server's SETTINGS are here, else why they never came. `leaving`: no further request is taken.
    """

    def __init__(self, wire: Wire, clock: Clock) -> None:
        loop = asyncio.get_running_loop()
        self._clock = clock
        self._h2 = _client()
        self._wire = wire
        self._unframed = bytearray()
        self._waiting: deque[Exchange] = deque()
        self._open: dict[int, Exchange] = {}
        self._stamp: Stamp
        self._wider = False  # the read under way has made room for the requests' bodies
        self._touched: dict[Exchange, None] = {}  # of the read under way, in their order
        self._last: Exchange | None = None  # whose data its last frame is
        self._busy: deque[Exchange] = deque()  # of whose last read there is more to hand over
        self._lost: Callable[[], None] | None = None  # what is to be done when there is nothing more
        self._farewell: str | None = None  # the code of the server's GOAWAY
        self.max_streams: int | None = None
        self.leaving = False
        self.ready: asyncio.Future[End | None] = loop.create_future()
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_CONNECTION_WINDOW - _DEFAULT_WINDOW)
        self._flush()
        wire.attach(self)

    # --- the wire's side -------------------------------------------------------------------------------------------

    def received(self, stamp: Stamp, data: bytes) -> None:
        """Take one read."""
        self._stamp = stamp
        broken: str | None = None
        try:
            for frame in self._frames(data):
                self._frame(frame)
        except _Broken as error:
            broken = str(error)
        touched, self._touched = self._touched, {}
        last = None if self._unframed else self._last
        for exchange in touched:
            of_it = stamp if exchange is last else stamp.followed()
            if exchange.end.done():
                continue
            if (end := exchange.hand_over(of_it)) is not None:
                self._finish(exchange, end)
            elif exchange.busy:
                self._busy.append(exchange)
        if self._busy:
            self._wire.work_off(self._go_on)
        if broken is None and self._wire.unwritten > _MAX_UNREAD:
            broken = "the server asks for answers and reads none of them"
        if broken is not None:
            self._give_up(broken)
        if self._wider:
            self._wider = False
            self._send_bodies()
        self._move_on()

    def _go_on(self) -> bool:
        """The next step of what the last read has brought, of one exchange; whether it was the last of all."""
        if self._busy:
            exchange = self._busy.popleft()
            if not exchange.end.done():
                if (end := exchange.go_on(self._stamp.ns)) is not None:
                    self._finish(exchange, end)
                    self._move_on()
                elif exchange.busy:
                    self._busy.append(exchange)
        if self._busy:
            return False
        if self._lost is not None:
            self._lost()
        return True

    def written(self) -> None:
        """The server takes more."""
        self._send_bodies()
        self._flush()

    def lost(self, error: OSError | None) -> None:
        """The connection is over."""
        reset = isinstance(error, ConnectionResetError)
        local = error if error is not None and is_local(error) else None
        lose = partial(self._lose, what="reset" if reset else "closed", at_ns=self._clock(), reset=reset, local=local)
        if self._busy:
            self._lost = lose
        else:
            lose()

    # --- the exchanges' side --------------------------------------------------------------------------------------

    async def exchange(self, fields: list[tuple[str, str]], body: bytes | None, sink: Sink, trace: Trace) -> End | None:
        """Send a request as soon as the server has a place for one more stream, and feed what comes back to the sink.

        It counts as sent at once: the wait for a place is the page's wait as well. None: it was not sent, and may be
        sent on another connection. Cancelling it resets the stream, which gives its place to the next.
        """
        done: asyncio.Future[End | None] = asyncio.get_running_loop().create_future()
        exchange = Exchange(fields=fields, unsent=memoryview(body or b""), sink=sink, trace=trace, end=done)
        trace.sent_ns, trace.max_streams = self._clock(), self.max_streams
        self._waiting.append(exchange)
        try:
            self._move_on()
            return await done
        finally:
            self._finish(exchange, None)
            self._move_on()

    def close(self) -> None:
        """Say good-bye, and end the connection."""
        self.leaving = True
        self._attempt(self._h2.close_connection)
        self._flush()
        self._wire.close()

    # --- what arrives ---------------------------------------------------------------------------------------------

    def _frames(self, data: bytes) -> Iterator[bytes]:
        """The frames that are whole. Raises _Broken at the head of one that is longer than allowed."""
        self._unframed += data
        while len(self._unframed) >= _FRAME_HEAD:
            length = int.from_bytes(self._unframed[:3], "big")
            if length > _MAX_FRAME:
                raise _Broken(f"a frame of {length:,} bytes, where {_MAX_FRAME:,} are allowed")
            if len(self._unframed) < _FRAME_HEAD + length:
                return
            frame = bytes(self._unframed[: _FRAME_HEAD + length])
            del self._unframed[: _FRAME_HEAD + length]
            yield frame

    def _frame(self, frame: bytes) -> None:
        self._last = None
        if frame[3] == _GOAWAY:
            self._goaway(frame[_FRAME_HEAD:])
            return
        try:
            events = self._h2.receive_data(frame)
        except Exception as error:  # noqa: BLE001  # whatever h2 and hpack make of a peer's bytes, it is the peer's fault
            raise _Broken(one_line(error)) from None
        for event in events:
            self._event(event)

    def _event(self, event: Event) -> None:
        match event:
            case RemoteSettingsChanged():
                self._settings(event)
            case WindowUpdated():
                self._wider = True
            case DataReceived():
                self._data(event)
            case ResponseReceived() if exchange := self._touch(event.stream_id):
                end = exchange.head(self._stamp.ns, event.headers or ())
                # h2 ends the whole connection over a wrong Content-Length; to a browser it is that one stream's fault.
                self._h2.streams[exchange.stream_id or 0]._expected_content_length = None
                if end is not None:
                    self._finish(exchange, end)
            case StreamEnded() if exchange := self._touch(event.stream_id):
                exchange.complete = True
            case StreamReset() if exchange := self._touch(event.stream_id):
                exchange.reset = _name_of(int(event.error_code or 0))

    def _touch(self, stream_id: int | None) -> Exchange | None:
        exchange = self._open.get(stream_id or 0)
        if exchange is not None:
            self._touched[exchange] = None
        return exchange

    def _data(self, event: DataReceived) -> None:
        size = event.flow_controlled_length or 0
        # Also where nobody wants the stream any more: the connection's window is everybody's.
        self._attempt(lambda: self._h2.acknowledge_received_data(size, event.stream_id or 0))
        exchange = self._touch(event.stream_id)
        if exchange is not None:
            exchange.pieces.append(event.data or b"")
            self._last = exchange if event.data else None
            exchange.wire_bytes += _FRAME_HEAD + size

    def _settings(self, event: RemoteSettingsChanged) -> None:
        limit = event.changed_settings.get(SettingCodes.MAX_CONCURRENT_STREAMS)
        if limit is not None:
            self.max_streams = limit.new_value
            for exchange in (*self._open.values(), *self._waiting):
                exchange.trace.max_streams = limit.new_value
        self._wider = True  # the streams' windows may have grown
        if not self.ready.done():
            self.ready.set_result(None)

    def _goaway(self, payload: bytes) -> None:
        """No request from now on; of those that were sent, the ones after the last that the server names are lost (section 6.8)."""
        if len(payload) < 8:
            raise _Broken("a GOAWAY frame that is too short")
        last = int.from_bytes(payload[:4], "big") & 0x7FFF_FFFF
        self.leaving = True
        self._farewell = _name_of(int.from_bytes(payload[4:8], "big"))
        for stream_id in [number for number in self._open if number > last]:
            if exchange := self._touch(stream_id):
                exchange.reset = f"GOAWAY {self._farewell}, and this stream is not among those that it still serves"

    # --- what is sent ---------------------------------------------------------------------------------------------

    def _move_on(self) -> None:
        """Open the streams that there is a place for, or send them elsewhere, and write what there is to write."""
        while self._waiting and not self.leaving and len(self._open) < (self.max_streams if self.max_streams is not None else 2**31):
            self._begin(self._waiting.popleft())
        while self._waiting and self.leaving:
            exchange = self._waiting.popleft()
            if not exchange.end.done():
                exchange.end.set_result(None)
        self._flush()

    def _begin(self, exchange: Exchange) -> None:
        try:
            stream_id = self._h2.get_next_available_stream_id()
            self._h2.send_headers(stream_id, exchange.fields, end_stream=not exchange.unsent)
        except (H2Error, ValueError) as error:
            self._finish(exchange, End(ended="error", at_ns=self._clock(), reason="protocol", error=one_line(error)))
            return
        exchange.stream_id = stream_id
        self._open[stream_id] = exchange
        self._send_bodies()

    def _send_bodies(self) -> None:
        """As much of the requests' bodies as the server has room for (section 6.9), and the socket."""
        for stream_id, exchange in list(self._open.items()):
            while exchange.unsent and not self._wire.unwritten:
                room = min(self._room(stream_id), _MAX_FRAME, len(exchange.unsent))
                if room <= 0:
                    break
                piece, exchange.unsent = bytes(exchange.unsent[:room]), exchange.unsent[room:]
                with suppress(H2Error):
                    self._h2.send_data(stream_id, piece, end_stream=not exchange.unsent)
                self._flush()

    def _room(self, stream_id: int) -> int:
        try:
            return self._h2.local_flow_control_window(stream_id)
        except H2Error:  # the stream is closed on the server's side
            return 0

    def _flush(self) -> None:
        self._wire.write(self._h2.data_to_send())

    def _attempt(self, send: Callable[[], None]) -> None:
        """Queue something that makes no difference where the stream or the connection is over already."""
        with suppress(H2Error):
            send()

    # --- ends -----------------------------------------------------------------------------------------------------

    def _finish(self, exchange: Exchange, end: End | None) -> None:
        """The exchange is over, and its place is free: also on the server's side, which is told where it does not know."""
        if not exchange.end.done():
            exchange.end.set_result(end)
        with suppress(ValueError):
            self._waiting.remove(exchange)
        stream_id = exchange.stream_id
        if stream_id is None or self._open.pop(stream_id, None) is None:
            return
        stream = self._h2.streams.get(stream_id)
        if stream is not None and not stream.closed:
            self._attempt(lambda: self._h2.reset_stream(stream_id, ErrorCodes.CANCEL))

    def _give_up(self, error: str) -> None:
        """The server broke the protocol: that ends every exchange, and the connection."""
        end = End(ended="error", at_ns=self._stamp.ns, reason="protocol", error=error)
        self.leaving = True
        for exchange in list(self._open.values()):
            self._finish(exchange, end)
        if not self.ready.done():
            self.ready.set_result(end)
        self._flush()
        self._wire.close()

    def _lose(self, *, what: str, at_ns: int, reset: bool, local: OSError | None) -> None:
        """The connection is gone, and with it all that was under way; `local` is the error of this machine that ended it."""
        said = f" (GOAWAY {self._farewell})" if self._farewell else ""
        unanswered = End(
            ended="reset" if reset else "error",
            at_ns=at_ns,
            reason="no-response",
            error=f"the connection was {what} before any answer{said}",
        )
        broken_off = reset or self._farewell not in (None, ErrorCodes.NO_ERROR.name)
        answered = End(
            ended="reset" if broken_off else "truncated",
            at_ns=at_ns,
            error=f"the connection was {what}{'' if reset else ' before the response was complete'}{said}",
        )
        if local is not None:
            answered = unanswered = End(ended="error", at_ns=at_ns, reason="machine", error=one_line(local))
        self.leaving = True
        for exchange in list(self._open.values()):
            self._finish(exchange, answered if exchange.answered else unanswered)
        if not self.ready.done():
            self.ready.set_result(unanswered)
        self._move_on()


def _client() -> H2Connection:
    """h2's side of a connection, with the settings of a browser that takes no pushed responses."""
    h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    h2.local_settings = Settings(
        client=True,
        initial_values={
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
            SettingCodes.MAX_HEADER_LIST_SIZE: _MAX_HEADER_BYTES,
        },
    )
    h2.decoder.max_header_list_size = _MAX_HEADER_BYTES
    return h2


def _name_of(code: int) -> str:
    """What RFC 9113, section 7, calls an error code."""
    try:
        return ErrorCodes(code).name
    except ValueError:
        return f"0x{code:x}"
