"""A response's body on its way to the sink: its content coding undone, its end seen. No I/O, no clock."""

from sse_check.transport import End, Sink
from sse_check.transport.arrival import Stamp
from sse_check.transport.decoding import DecodeError, decoder_for


class Body:
    """The body of one response, whatever version of HTTP it came by."""

    __slots__ = ("_begun", "_decoder", "_sink")

    def __init__(self, sink: Sink, coding: str | None) -> None:
        """`coding` is the response's Content-Encoding."""
        self._sink = sink
        self._decoder = decoder_for(coding)
        self._begun = False

    def take(self, stamp: Stamp, wire_bytes: int, data: bytes) -> End | None:
        """Hand one read on, `data` being its part of the body; the exchange's end where the sink has enough, or cannot be served."""
        if self._decoder is None:
            return End(ended="until", at_ns=stamp.ns) if self._sink.body(stamp, wire_bytes, data) else None
        self._begun = self._begun or bool(data)
        try:
            for piece in self._decoder.feed(data):
                if self._sink.body(stamp, wire_bytes, piece):
                    return End(ended="until", at_ns=stamp.ns)
                wire_bytes = 0
        except DecodeError as error:
            return End(ended="error", at_ns=stamp.ns, reason="decode", error=str(error))
        return End(ended="until", at_ns=stamp.ns) if wire_bytes and self._sink.body(stamp, wire_bytes, b"") else None

    def close(self, at_ns: int) -> End:
        """The body came to its proper end, unless its coding misses a part."""
        try:
            if self._decoder is not None and self._begun:
                self._decoder.close()
        except DecodeError as error:
            return End(ended="error", at_ns=at_ns, reason="decode", error=str(error))
        return End(ended="eof", at_ns=at_ns)
