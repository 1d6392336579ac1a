"""A real HTTP/2 server on loopback, over TLS, whose every frame is the test's: also what no server would send."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamReset
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from tests.support.servers import connection_server

SSE: dict[str, str] = {"content-type": "text/event-stream"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that has come in."""

    stream_id: int
    fields: dict[str, str]


@dataclass(slots=True)
class Peer:
    """The server's side of one connection. What is written goes out at once."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    h2: H2Connection
    requests: "asyncio.Queue[Asked]" = field(default_factory=asyncio.Queue)
    bodies: dict[int, bytes] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    async def request(self) -> int:
        """The next request's stream."""
        return (await self.requests.get()).stream_id

    def head(self, stream_id: int, fields: Mapping[str, str] = SSE, *, status: int = 200, end: bool = False) -> None:
        """A response's head."""
        self.h2.send_headers(stream_id, [(":status", str(status)), *fields.items()], end_stream=end)
        self.flush()

    def data(self, stream_id: int, data: bytes, *, end: bool = False, flush: bool = True) -> None:
        """A DATA frame."""
        self.h2.send_data(stream_id, data, end_stream=end)
        if flush:
            self.flush()

    def reset(self, stream_id: int, code: int) -> None:
        """RST_STREAM."""
        self.h2.reset_stream(stream_id, code)
        self.flush()

    def frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """A frame that h2 might not send."""
        self.flush()
        self.writer.write(len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload)

    def goaway(self, last: int, code: int = 0) -> None:
        """GOAWAY; the connection stays."""
        self.frame(0x7, 0, 0, struct.pack(">II", last, code))

    def flush(self) -> None:
        """Write what h2 has to send."""
        self.writer.write(self.h2.data_to_send())

    def break_off(self) -> None:
        """End the TCP connection with RST."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    @property
    def resets(self) -> list[tuple[int, int]]:
        """The streams that the client has reset, and with which error codes."""
        return [(event.stream_id or 0, int(event.error_code or 0)) for event in self.events if isinstance(event, StreamReset)]

    async def listen(self) -> None:
        """Take what the client sends, until it goes."""
        while data := await self.reader.read(65536):
            for event in self.h2.receive_data(data):
                self.events.append(event)
                if isinstance(event, RequestReceived):
                    fields = {name.decode(): value.decode() for name, value in event.headers or ()}
                    self.requests.put_nowait(Asked(event.stream_id or 0, fields))
                elif isinstance(event, DataReceived):
                    self.bodies[event.stream_id or 0] = self.bodies.get(event.stream_id or 0, b"") + (event.data or b"")
                    self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            self.flush()


Handler = Callable[[Peer], Awaitable[None]]


def server_tls(issue: Callable[[ssl.SSLContext], None], alpn: tuple[str, ...] = ("h2", "http/1.1")) -> ssl.SSLContext:
    """A server's context with a certificate that `issue` puts in."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issue(context)
    context.set_alpn_protocols(list(alpn))
    return context


@asynccontextmanager
async def http2_server(
    handler: Handler, *, tls: ssl.SSLContext, settings: Mapping[SettingCodes, int] | None = None, silent: bool = False
) -> AsyncIterator[str]:
    """Have each connection served by `handler`, then close it; gives the base URL. `silent`: nothing is sent, not even SETTINGS."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        h2 = H2Connection(H2Configuration(client_side=False, validate_outbound_headers=False, normalize_outbound_headers=False))
        h2.local_settings = Settings(client=False, initial_values=dict(settings or {}))
        peer = Peer(reader, writer, h2)
        listening: asyncio.Task[None] | None = None
        try:
            if not silent:
                h2.initiate_connection()
                peer.flush()
                listening = asyncio.ensure_future(peer.listen())
            with suppress(H2Error):
                await handler(peer)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        finally:
            if listening is not None:
                listening.cancel()
                with suppress(ConnectionError, ssl.SSLError, H2Error, asyncio.CancelledError):
                    await listening

    async with connection_server(converse, tls=tls) as port:
        yield f"https://127.0.0.1:{port}"
