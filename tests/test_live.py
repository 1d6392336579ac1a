"""A stream as it is being recorded, fed without a server: what it keeps stays within bounds."""

import pytest

from sse_check.live import LiveStream
from sse_check.plan import StreamPlan
from sse_check.recording import Head
from sse_check.scenario import Until
from sse_check.transport import Request
from sse_check.transport.arrival import Stamp

READ = 256 * 1024
NAMES = b"".join(b'data: {"n%d": 1}\n\n' % number for number in range(100))
# So many different ones that they are kept as bytes, then a long one that holds for all events after it.
IDS = b"".join(b"id: %d\ndata: 1\n\n" % number for number in range(400)) + b"id: " + "\U0001f600".encode() * 256 + b"\n"


def fed(first: bytes, again: bytes, *, most: int) -> LiveStream:
    """A stream of which this came first and then that, up to so many bytes, or until it had enough."""
    request = Request(method="GET", url="http://127.0.0.1/", headers=())
    live = LiveStream(StreamPlan(probe="p", stream=1, phase="stream", request=request, until=Until(), timeout=5.0))
    live.head(0, Head(status=200, reason="OK", protocol="http/1.1", headers=(("Content-Type", "text/event-stream"),)))
    stamp = Stamp(0, 0, kernel=False, exact=False)
    read = again * (READ // len(again))
    live.body(stamp, len(first), first)
    for _ in range(most // READ):
        if live.body(stamp, len(read), read):
            break
    return live


@pytest.mark.parametrize(
    ("first", "again", "said"),
    [
        pytest.param(b"", b":\n", "more than 2,000,000 comments", id="comments"),
        pytest.param(IDS, b"data: 1\n\n", "more than 33,554,432 bytes to keep of one stream", id="an ID that holds for all"),
        pytest.param(NAMES, b"data: 1\n\n", "more than 33,554,432 bytes to keep of one stream", id="a hundred numbers"),
    ],
)
def test_a_few_bytes_of_a_server_do_not_fill_the_memory(first: bytes, again: bytes, said: str, monkeypatch: pytest.MonkeyPatch):
    """
    Sixteen megabytes, which compressed are some kilobytes on the wire, end the stream before it keeps much more of them.
    """
    monkeypatch.setattr("sse_check.bounds._MAX_STREAM_BYTES", 32 * 1024 * 1024)  # as in a run, but sooner
    live = fed(first, again, most=16 * 1024 * 1024)
    assert live.over_limit == said
    assert live.event_types.room + live.event_ids.room + 8 * sum(map(len, live.numbers.values())) < 80 * 1024 * 1024
