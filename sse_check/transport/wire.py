"""A connection's bytes: read and stamped as they come, TLS taken off, handed to whoever speaks the protocol above.

It reads the socket itself, in the loop's own callback: between the socket and the stamp there is no buffer, no task and
no transport that would join one read with the next. TLS is the standard library's, without its I/O (ssl.MemoryBIO), so
that a read below it keeps its stamp, and so that a connection costs what it needs: asyncio's own takes 256 KiB for each.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from sse_check.transport.arrival import Arrivals, Stamp, ask_for_stamps, polls_of, receive

# Of one read. Large ones pay for bytes that are not there: 256 KiB, asyncio's own, doubles the cost of a live event.
_READ_BYTES: Final = 64 * 1024
_RECORD_HEAD: Final = 5


class Receiver(Protocol):
    """Speaks a protocol over a wire. It may close the wire from within each of these."""

    def received(self, stamp: Stamp, data: bytes) -> None:
        """One read, without its TLS."""
        ...

    def written(self) -> None:
        """All that was to be written has gone out."""
        ...

    def lost(self, error: OSError | None) -> None:
        """The connection is over, by the other side's FIN (None) or by an error. Nothing follows."""
        ...


class Wire:
    """One connection, over TLS from `secure` on. Its socket is its own from here on."""

    __slots__ = (
        "_arrivals", "_error", "_incoming", "_loop", "_outgoing", "_paused", "_polls", "_receiver", "_records", "_shaken", "_sock", "_tls",
        "_unwritten", "closed",
    )  # fmt: skip

    def __init__(self, sock: socket.socket) -> None:
        """Take over a connected socket, which does not block. Nothing is read before `secure` or `attach`."""
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._polls = polls_of(self._loop)
        self._arrivals = Arrivals(self._polls)
        self._paused = False
        self._unwritten = b""
        self._receiver: Receiver | None = None
        self._tls: ssl.SSLObject | None = None
        self._records = _Records()
        self._incoming: ssl.MemoryBIO
        self._outgoing: ssl.MemoryBIO
        self._shaken: asyncio.Future[None] | None = None
        self._error: OSError | None = None
        self.closed = False
        with suppress(OSError):  # no TCP after all, or gone already: then reading tells
            ask_for_stamps(sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def secure(self, context: ssl.SSLContext, name: str) -> None:
        """Begin TLS with a server that must prove this name. Raises OSError (ssl.SSLError among them), and ValueError for a name that is none."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._shaken = self._loop.create_future()
        self._loop.add_reader(self._sock, self._readable)
        self._shake(self._shaken)
        await self._shaken
        self._shaken = None

    @property
    def alpn(self) -> str | None:
        """The protocol that TLS has agreed on."""
        return None if self._tls is None else self._tls.selected_alpn_protocol()

    @property
    def unwritten(self) -> int:
        """How many bytes the other side has not taken yet."""
        return len(self._unwritten)

    def attach(self, receiver: Receiver) -> None:
        """Hand what is read from now on to this receiver."""
        self._receiver = receiver
        if self.closed:
            self._loop.call_soon(receiver.lost, self._error)
        elif self._tls is None:
            self._loop.add_reader(self._sock, self._readable)
        else:
            # The server's first bytes may have come with the end of the handshake, and are no earlier than it.
            self._loop.call_soon(self._decrypted, self._arrivals.stamp([], emptied=True))

    def write(self, data: bytes) -> None:
        """Send these bytes, at once as far as the socket takes them. Nothing happens on a wire that is closed."""
        if self.closed or not data:
            return
        if self._tls is not None:
            try:
                self._tls.write(data)
            except ssl.SSLError as error:
                self._lose(error)
                return
            data = self._outgoing.read()
        self._send(data)

    def work_off(self, step: Callable[[], bool]) -> None:
        """Read nothing until `step` says that it is done: it is called in the loop's turns, as long as they have time for it."""
        if not self._paused:
            self._paused = True
            if not self.closed:
                self._loop.remove_reader(self._sock)
        self._loop.call_soon(self._step, step)

    def _step(self, step: Callable[[], bool]) -> None:
        if (self._polls is not None and self._polls.overdue()) or not step():
            self._loop.call_soon(self._step, step)
            return
        self._paused = False
        if not self.closed:
            self._arrivals.left_behind()
            self._loop.add_reader(self._sock, self._readable)

    def close(self) -> None:
        """End the connection; its receiver hears nothing more."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        if self._tls is not None and self._shaken is None:
            with suppress(OSError):
                self._tls.unwrap()  # close_notify; what the server answers is not waited for
            with suppress(OSError):
                self._sock.send(self._outgoing.read())
        self._sock.close()

    # --- the socket ---------------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        if self._polls is not None and self._polls.overdue():
            self._arrivals.left_behind()
            return
        try:
            self._read()
        except MemoryError:
            # In the loop's callback nobody else would hear of it, and a stream would go on with a gap.
            self._lose(OSError(errno.ENOMEM, "this machine has no memory left"))

    def _read(self) -> None:
        try:
            data, ancillary = receive(self._sock, _READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        if not data:
            self._lose(None)
            return
        stamp = self._arrivals.stamp(ancillary, emptied=len(data) < _READ_BYTES)
        if self._tls is None:
            if self._receiver is not None:
                self._receiver.received(stamp, data)
            return
        self._incoming.write(data)
        if not self._records.end_with(data):
            stamp = stamp.followed()
        if self._shaken is not None:
            self._shake(self._shaken)
        else:
            self._decrypted(stamp)

    def _send(self, data: bytes) -> None:
        if not self._unwritten:
            try:
                data = data[self._sock.send(data) :]
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                self._lose(error)
                return
            if data:
                self._loop.add_writer(self._sock, self._writable)
        self._unwritten += data

    def _writable(self) -> None:
        data, self._unwritten = self._unwritten, b""
        self._loop.remove_writer(self._sock)
        self._send(data)
        if not self._unwritten and not self.closed and self._receiver is not None:
            self._receiver.written()

    def _lose(self, error: OSError | None) -> None:
        if self.closed:
            return
        self._error = error
        self.close()
        if self._shaken is not None and not self._shaken.done():
            self._shaken.set_exception(error or ConnectionResetError("the connection was closed during the TLS handshake"))
        elif self._receiver is not None:
            self._receiver.lost(error)

    # --- TLS ----------------------------------------------------------------------------------------------------------

    def _shake(self, shaken: "asyncio.Future[None]") -> None:
        """The handshake's next step; what comes of it, the last step's alert too, goes out."""
        assert self._tls is not None
        failed: OSError | None = None
        done = False
        try:
            self._tls.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            pass
        except OSError as error:
            failed = error
        self._send(self._outgoing.read())
        if failed is not None:
            self._lose(failed)
        elif done and not shaken.done():
            shaken.set_result(None)

    def _decrypted(self, stamp: Stamp) -> None:
        """Hand on what can be read of TLS now. A record can be read once it is whole: its events came with its last byte."""
        assert self._tls is not None
        pieces: list[bytes] = []
        over, broken = False, None
        while not over and not self.closed:
            try:
                piece = self._tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                piece = b""
            except OSError as error:
                piece, broken = b"", error
            over = not piece
            pieces.append(piece)
        if self.closed:
            return
        self._send(self._outgoing.read())  # an answer to a key update
        if (data := b"".join(pieces)) and self._receiver is not None:
            self._receiver.received(stamp.followed() if over else stamp, data)
        if over:
            self._lose(broken)


class _Records:
    """Follows the TLS records of one direction: five bytes of head, the last two the length of the rest (RFC 8446, section 5.1)."""

    __slots__ = ("_head", "_rest")

    def __init__(self) -> None:
        self._head = b""  # as far as that of the next has come
        self._rest = 0  # bytes to come of the one under way

    def end_with(self, data: bytes) -> bool:
        """Take the next bytes; whether a record ends with them."""
        data = self._head + data
        at = self._rest
        while at + _RECORD_HEAD <= len(data):
            at += _RECORD_HEAD + int.from_bytes(data[at + 3 : at + _RECORD_HEAD], "big")
        self._head = data[at:]
        self._rest = max(0, at - len(data))
        return at == len(data)
