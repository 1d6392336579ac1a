"""A response's body on its way to the sink: its content coding undone, its end seen. No I/O, no clock."""

from collections.abc import Iterator

from sse_check.transport import End, Sink
from sse_check.transport.arrival import Stamp
from sse_check.transport.decoding import PIECE_BYTES, DecodeError, decoder_for


class Body:
    """The body of one response, whatever version of HTTP it came by.

    What a read decodes to can be a thousand times as much, and is taken in steps: `busy` says that there is more of the last
    read, and `go_on` takes the next step of it. Nothing else may be taken before. So who reads can do other things in between.
    """

    __slots__ = ("_begun", "_decoder", "_pieces", "_sink", "_stamp", "_wire_bytes", "busy")

    def __init__(self, sink: Sink, coding: str | None) -> None:
        """`coding` is the response's Content-Encoding."""
        self._sink = sink
        self._decoder = decoder_for(coding)
        self._begun = False
        self._pieces: Iterator[bytes]
        self._stamp: Stamp
        self._wire_bytes = 0  # of the read under way, until the sink has been told
        self.busy = False

    def take(self, stamp: Stamp, wire_bytes: int, data: bytes) -> End | None:
        """Hand one read on, `data` being its part of the body; the exchange's end where the sink has enough, or cannot be served."""
        if self._decoder is None:
            return End(ended="until", at_ns=stamp.ns) if self._sink.body(stamp, wire_bytes, data) else None
        self._begun = self._begun or bool(data)
        self._stamp, self._wire_bytes, self._pieces = stamp, wire_bytes, self._decoder.feed(data)
        self.busy = True
        return self.go_on()

    def go_on(self) -> End | None:
        """Hand on what the read decodes to, up to about as much as a plain read holds; the same end."""
        handed = 0
        try:
            while handed < PIECE_BYTES:
                piece = next(self._pieces, b"")
                self.busy = bool(piece)
                if not piece and not self._wire_bytes:
                    return None
                wire_bytes, self._wire_bytes = self._wire_bytes, 0
                if self._sink.body(self._stamp, wire_bytes, piece):
                    self.busy = False
                    return End(ended="until", at_ns=self._stamp.ns)
                if not piece:
                    return None
                handed += len(piece)
        except DecodeError as error:
            self.busy = False
            return End(ended="error", at_ns=self._stamp.ns, reason="decode", error=str(error))
        return None

    def close(self, at_ns: int) -> End:
        """The body came to its proper end, unless its coding misses a part."""
        try:
            if self._decoder is not None and self._begun:
                self._decoder.close()
        except DecodeError as error:
            return End(ended="error", at_ns=at_ns, reason="decode", error=str(error))
        return End(ended="eof", at_ns=at_ns)
