"""One request over HTTP/2 and what comes back: frames' contents in, the sink's calls and the end out. No I/O, no clock."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from sse_check.recording import Head
from sse_check.transport import End, Sink, Trace
from sse_check.transport.arrival import Stamp
from sse_check.transport.body import Body


@dataclass(slots=True, eq=False)
class Exchange:
    """A request, and its response as far as it has come.

    `end` is None where the request was never sent, and may be sent on another connection. `fields` are the request's
    header fields with the pseudo ones first, `unsent` is what is left of its body.
    """

    fields: list[tuple[str, str]]
    unsent: memoryview
    sink: Sink
    trace: Trace
    end: "asyncio.Future[End | None]"
    stream_id: int | None = None
    response: Body | None = None
    content_length: int | None = None
    received: int = 0
    # What the read under way has brought: the body's bytes, and how many there were on the wire with their frames' heads.
    pieces: list[bytes] = field(default_factory=list)
    wire_bytes: int = 0
    complete: bool = False
    reset: str | None = None

    def head(self, at_ns: int, fields: Iterable[tuple[bytes, bytes]]) -> End | None:
        """The response's head is here; the exchange's end where that is all that was wanted."""
        texts = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
        status = dict(texts).get(":status", "")
        if not (status.isascii() and status.isdigit()):
            return End(ended="error", at_ns=at_ns, reason="protocol", error="a response without a status")
        head = Head(
            status=int(status[:4]),
            reason="",  # RFC 9113, section 8.3.2: HTTP/2 has none
            protocol="h2",
            headers=tuple((name, value) for name, value in texts if not name.startswith(":")),
        )
        self.trace.head_ns = at_ns
        # RFC 9110, section 8.6: what has no body may give the length that it would have.
        if dict(self.fields)[":method"] != "HEAD" and head.status not in (204, 304):
            length = head.header("content-length") or ""
            self.content_length = int(length[:20]) if length.isascii() and length.isdigit() else None
        self.response = Body(self.sink, head.header("content-encoding"))
        return End(ended="until", at_ns=at_ns) if self.sink.head(at_ns, head) else None

    @property
    def answered(self) -> bool:
        """Whether the response's head is here."""
        return self.response is not None

    @property
    def busy(self) -> bool:
        """Whether there is more of what was handed over: `go_on` is to be called, and nothing else is handed over before."""
        return self.response is not None and self.response.busy

    def hand_over(self, stamp: Stamp) -> End | None:
        """Give the sink what one read has brought; the exchange's end where it has come to one."""
        data, wire_bytes = b"".join(self.pieces), self.wire_bytes
        self.pieces.clear()
        self.wire_bytes = 0
        self.received += len(data)
        end = self.response.take(stamp, wire_bytes, data) if wire_bytes and self.response is not None else None
        return end if end is not None or self.busy else self._end(stamp.ns)

    def go_on(self, at_ns: int) -> End | None:
        """Give the sink the next step of what the read has brought; the same end. `at_ns` is the stamp of that read."""
        end = self.response.go_on() if self.response is not None else None
        return end if end is not None or self.busy else self._end(at_ns)

    def _end(self, at_ns: int) -> End | None:
        """What the read says of the end of the response."""
        if self.complete:
            return self._proper_end(at_ns)
        return None if self.reset is None else self._reset(at_ns, self.reset)

    def _proper_end(self, at_ns: int) -> End:
        """END_STREAM is the end where the body is as long as was said (RFC 9113, section 8.1.1), and can be decoded."""
        if self.content_length is not None and self.received < self.content_length:
            error = f"the response ended after {self.received:,} of {self.content_length:,} bytes"
            return End(ended="truncated", at_ns=at_ns, error=error)
        if self.content_length is not None and self.received > self.content_length:
            return End(ended="error", at_ns=at_ns, reason="protocol", error="the body is longer than its Content-Length")
        return self.response.close(at_ns) if self.response is not None else End(ended="eof", at_ns=at_ns)

    def _reset(self, at_ns: int, code: str) -> End:
        if self.answered:
            return End(ended="reset", at_ns=at_ns, error=f"the server reset the stream: {code}")
        return End(ended="reset", at_ns=at_ns, reason="no-response", error=f"the server reset the stream before any answer: {code}")
