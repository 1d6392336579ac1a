"""A server of which every byte is an attack: each slot that a server controls, over plain HTTP, TLS, HTTP/2 and WebSockets.

What is asked says which attack is wanted where: `/stream/7` is the seventh as an event stream.
"""

import asyncio
import base64
import datetime
import hashlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.hostile.attacks import ATTACKS, marked, one_line
from tests.support.http2 import Peer, http2_server, server_tls
from tests.support.servers import chunk, connection_server, raw_server

_HEAD_BYTES: Final = 1500  # of an attack in a head, which has several of it
_NAMES: Final = list(ATTACKS)


def _head(status: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join((b"HTTP/1.1 " + status, *lines)) + b"\r\n\r\n"


def _whole(status: bytes, body: bytes, *lines: bytes) -> bytes:
    return _head(status, *lines, b"Content-Length: %d" % len(body), b"Connection: close") + body


def _json(message: bytes) -> bytes:
    """A JSON string of an attack's bytes, as a server that takes no care writes it."""
    return b'"' + message.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n").replace(b"\r", b"\\r") + b'"'


def _stream(attack: bytes) -> bytes:
    line = one_line(attack)
    head = line[:_HEAD_BYTES]
    field = attack.replace(b"\r", b"\ndata: ").replace(b"\n", b"\ndata: ")
    event = b"event: %s\nid: %s\ndata: %s\nretry: %s\n%s: %s\n\n: %s\n" % (line, line, field, line, line, line, line)
    number = b'id: %s\ndata: {%s: 1, "ts": %s}\n\ndata: %s\n\n' % (line, _json(attack), _json(attack), attack)
    names = bytes(byte if chr(byte).isalnum() else 0x5F for byte in head[:80])
    return (
        _head(
            b"200 " + head,
            b"Content-Type: text/event-stream; charset=" + head,
            *(name + head for name in (b"Server: ", b"Via: 1.1 ", b"X-Cache: HIT ", b"X-Instance: ", b"X-Accel-Buffering: ", b"CF-Ray: ")),
            b"Set-Cookie: " + head + b"=" + head,
            names + b": " + head,
            b"Transfer-Encoding: chunked",
        )
        + b"%x;%s=\"%s\"\r\n%s\r\n" % (len(event), names, names, event)
        + chunk(number)
        + chunk(event)
        + b"0\r\nX-Trailer: " + head + b"\r\n\r\n"
    )  # fmt: skip


def _rpc(error: bytes) -> bytes:
    return _whole(
        b"200 OK", b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":%s}}' % _json(error), b"Content-Type: application/json"
    )


def _tool(attack: bytes, request: bytes) -> bytes:
    kind = b"Content-Type: application/json"
    if b'"initialize"' in request:
        made = b'{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":%s,"version":"1"}}' % _json(attack)
        return _whole(b"200 OK", b'{"jsonrpc":"2.0","id":1,"result":%s}' % made, kind)
    if b'"tools/call"' in request:
        result = b'{"isError":true,"content":[{"type":"text","text":%s}]}' % _json(attack)
        return _whole(b"200 OK", b'{"jsonrpc":"2.0","id":2,"result":%s}' % result, kind)
    return _whole(b"202 Accepted", b"")


def _socket(attack: bytes, request: bytes, *, says: bool) -> bytes:
    """An upgrade, and then a message (`says`) or a close whose reason is the attack (RFC 6455)."""
    key = next(line[18:].strip() for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest())
    head = _head(b"101 Switching", b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: " + accept)
    message, reason = attack.decode("utf-8", "replace").encode()[:125], attack.decode("utf-8", "ignore").encode()[:120]
    reason = reason.decode("utf-8", "ignore").encode()
    message = message.decode("utf-8", "ignore").encode()
    return (
        head
        + (bytes((0x81, len(message))) + message if says else b"")
        + bytes((0x88, len(reason) + 2))
        + (4001).to_bytes(2, "big")
        + reason
    )


# Each slot, by the path that asks for it: what is answered to a request, with an attack.
ANSWERS: Final[dict[str, Callable[[bytes, bytes], bytes]]] = {
    "stream": lambda attack, _: _stream(attack),
    "error": lambda attack, _: _whole(b"500 " + one_line(attack)[:_HEAD_BYTES], attack),
    "error-page": lambda attack, _: _whole(b"403 Forbidden", attack, b"Content-Type: " + one_line(attack)[:_HEAD_BYTES]),
    "type": lambda attack, _: _whole(b"200 OK", attack, b"Content-Type: " + one_line(attack)[:_HEAD_BYTES]),
    "no-events": lambda attack, _: _whole(b"200 OK", attack, b"Content-Type: text/event-stream"),
    "moved": lambda attack, _: _whole(b"307 x", b"", b"Location: /error/moved/" + one_line(attack)[:_HEAD_BYTES]),
    "moved-away": lambda attack, _: _whole(b"302 x", b"", b"Location: " + one_line(attack)[:_HEAD_BYTES]),
    "moved-host": lambda attack, _: _whole(b"302 x", b"", b"Location: http://" + one_line(attack)[:_HEAD_BYTES] + b"/"),
    "no-http": lambda attack, _: attack + b"\r\n\r\n",
    "no-header": lambda attack, _: _head(b"200 OK", one_line(attack)[:_HEAD_BYTES], b": " + one_line(attack)[:_HEAD_BYTES]),
    "no-chunk": lambda attack, _: _head(b"200 OK", b"Content-Type: text/event-stream", b"Transfer-Encoding: chunked") + attack + b"\r\n",
    "encoding": lambda attack, _: _whole(b"200 OK", attack, b"Content-Type: text/event-stream", b"Content-Encoding: " + one_line(attack)[:500]),
    "rpc": lambda attack, _: _rpc(attack),
    "rpc-status": lambda attack, _: _whole(b"400 " + one_line(attack)[:500], attack),
    "tool": _tool,
    "endpoint": lambda attack, _: _head(b"200 OK", b"Content-Type: text/event-stream") + b"event: endpoint\ndata: http://" + one_line(attack) + b"/\n\n",
    "health": lambda attack, _: _whole(b"200 " + one_line(attack)[:500], attack, b"Server: " + one_line(attack)[:500]),
    "socket-closes": lambda attack, request: _socket(attack, request, says=False),
    "socket-says": lambda attack, request: _socket(attack, request, says=True),
    "socket-refuses": lambda attack, _: _whole(b"403 " + one_line(attack)[:500], attack),
    "batch": lambda attack, _: _whole(b"503 " + one_line(attack)[:500], attack, b"Retry-After: " + one_line(attack)[:500]),
    "batch-not-http": lambda attack, _: attack + b"\r\n\r\n",
}  # fmt: skip
STREAMS: Final = tuple(ANSWERS)[: tuple(ANSWERS).index("health")]
CONVERSATIONS: Final = {"rpc": "mcp", "rpc-status": "mcp", "tool": "mcp", "endpoint": "mcp-sse"}
# These break TLS, or what is spoken over it, each on a server of its own.
SECURED: Final = ("certificate", "no-tls", "h2-stream", "h2-farewell", "proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the servers are. `secured` has a base URL for each of `SECURED`, whose attack is the one that it was started with."""

    base: str
    secured: dict[str, str]


def _certificate(attack: bytes) -> tuple[bytes, bytes]:
    """A certificate that nobody signed, whose names are the attack, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    text = attack.decode("utf-8", "replace")
    name = x509.Name([x509.NameAttribute(oid, text[:60] or "x") for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)])
    ascii_name = "".join(char for char in text[:60] if char.isascii())
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(ascii_name or "x"), x509.RFC822Name("a@b.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return made.public_bytes(pem), key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


async def _h2_stream(peer: Peer, attack: str, *, farewell: bool) -> None:
    stream = await peer.request()
    if farewell:
        peer.frame(0x7, 0, 0, (0).to_bytes(4, "big") + (13).to_bytes(4, "big") + attack.encode())  # GOAWAY with debug data
        return
    shown = "".join(char for char in attack if char.isprintable())[:500].strip() or "x"
    peer.head(stream, {"content-type": "text/event-stream", "server": shown, "x-cache": f"HIT {shown}"})
    peer.data(stream, _stream(attack.encode())[-300:] + b"\nevent: " + one_line(attack.encode()) + b"\ndata: 1\n\n", end=True)
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), 1)


@asynccontextmanager
async def origin(secured: str, ca: Path) -> AsyncIterator[Origin]:
    """The servers while the context lasts; `secured` names the attack of those that speak TLS.

    `ca` becomes the file of the authority that vouches for those that are to be understood.
    """

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        if request.startswith(b"CONNECT "):  # it is the proxy of the environment as well
            writer.write(b"HTTP/1.1 503 " + attack + b"\r\n\r\n")
            return
        slot, number = [*request.split(b" ")[1].decode("latin-1").split("/"), "", ""][1:3]
        wanted = marked(_NAMES[int(number) if number.isdecimal() else 0])
        writer.write(ANSWERS.get(slot, ANSWERS["error"])(wanted, request))

    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(attack)

    attack = marked(secured)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca))
    async with AsyncExitStack() as stack:
        with tempfile.TemporaryDirectory() as directory:
            chain = Path(directory, "chain.pem")
            chain.write_bytes(b"".join(_certificate(attack)))

            def issue(context: ssl.SSLContext) -> None:
                context.load_cert_chain(chain)

            plain, h2 = server_tls(issue, alpn=("http/1.1",)), server_tls(authority.issue_cert("127.0.0.1").configure_cert)
        text = attack.decode("utf-8", "replace")
        base = await stack.enter_async_context(raw_server(answer))
        certificate = await stack.enter_async_context(raw_server(answer, tls=plain))
        stream = await stack.enter_async_context(http2_server(lambda peer: _h2_stream(peer, text, farewell=False), tls=h2))
        farewell = await stack.enter_async_context(http2_server(lambda peer: _h2_stream(peer, text, farewell=True), tls=h2))
        port = await stack.enter_async_context(connection_server(no_tls))
        yield Origin(
            base=base,
            secured={
                "certificate": certificate,
                "no-tls": f"https://127.0.0.1:{port}",
                "h2-stream": stream,
                "h2-farewell": farewell,
                "proxy": "https://proxied.example",
            },
        )
