"""What a server makes too large, or too slow: every bound is kept, named, and no fault of a good stream. All cases: tests/hostile/sizes.py."""

import asyncio
import gzip
import ssl
import time
from itertools import pairwise
from typing import Any, Final

import pytest

from sse_check import bounds
from sse_check.bounds import Account, run_bytes
from sse_check.live import LiveStream
from sse_check.pipeline import Audience, check
from sse_check.plan import StreamPlan
from sse_check.recording import Head, Recording, StreamRecording
from sse_check.scenario import Until, load
from sse_check.transport import Request
from sse_check.transport.arrival import Loop, Stamp
from sse_check.transport.body import Body
from tests.hostile import sizes
from tests.support.flood import flood, flooding
from tests.support.process import ROOT
from tests.support.servers import answering, raw_server
from tests.support.streams import every, judged, probe, scenario, stream

MIB = 1024 * 1024


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in sizes.CASES if case.quick])
def test_a_server_without_measure_is_judged_within_the_stated_bounds(case: sizes.Case):
    """
    In a process of its own: in time, within the memory that is stated, with every report, and with the bound's name and value.
    """
    assert sizes.broken(case, sizes.measured(case)) == []


# --- what is kept -----------------------------------------------------------------------------------------------------


def live(account: Account, *headers: tuple[str, str]) -> LiveStream:
    """A stream whose head has come."""
    request = Request(method="GET", url="http://127.0.0.1/", headers=())
    made = LiveStream(StreamPlan(probe="p", stream=1, phase="stream", request=request, until=Until(), timeout=5.0), account=account)
    made.head(0, Head(status=200, reason="OK", protocol="http/1.1", headers=(("Content-Type", "text/event-stream"), *headers)))
    return made


def fed(of: LiveStream, read: bytes, most: int) -> None:
    """Feed it with this again and again, until it has enough, or so many bytes."""
    for _ in range(most // len(read)):
        if of.body(Stamp(0, 0, kernel=False, exact=False), len(read), read):
            return


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(b"x" * 65_536, id="an unfinished line"),
        pytest.param(b"data:ab\n" * 8192, id="an unfinished event of many lines"),
        pytest.param(b"data: 1\n\n" * 8192, id="events"),
        pytest.param(b":\n" * 8192, id="comments"),
        pytest.param(
            b'data: {"a": 1e300, "b": 9007199254740993}\n\ndata: {"a": 9007199254740993, "b": 0.5}\n\n' * 500, id="numbers as objects"
        ),
    ],
)
def test_all_streams_together_keep_no_more_than_the_run_may(read: bytes):
    """
    Streams that are each within their own bounds are ended once their sum is not, and what they kept is known to a few MiB.
    """
    account = Account(24 * MIB)
    streams = [live(account) for _ in range(40)]
    for one in streams:
        fed(one, read, MIB)

    assert {one.over_limit for one in streams} == {None, "more than 25,165,824 bytes to keep of all streams together"}
    assert account.held <= 24 * MIB + len(streams) * 2 * MIB


def test_what_was_unfinished_is_free_once_a_stream_is_over():
    """
    A stream that is over gives back the line that it never ended, so that others have room for theirs.
    """
    account = Account(8 * MIB)
    for _ in range(10):
        one = live(account)
        fed(one, b"x" * 65_536, 3 * MIB)
        assert one.over_limit is None
        one.finish()
        assert account.held < MIB


def test_heads_alone_fill_no_memory():
    """
    Streams of large heads and no body are ended, too.
    """
    account = Account(MIB)
    streams = [live(account, *[(f"X-{number}", "y" * 50) for number in range(900)]) for _ in range(10)]

    assert streams[0].over_limit is None
    assert streams[-1].over_limit == "more than 1,048,576 bytes to keep of all streams together"


@pytest.mark.parametrize(("free", "most"), [(None, 512 * MIB), (64 * 1024 * MIB, 512 * MIB), (1024 * MIB, 256 * MIB), (10 * MIB, 64 * MIB)])
def test_a_run_keeps_a_quarter_of_what_is_free(free: int | None, most: int):
    """
    Between 64 and 512 MiB, as docs/own-limits.md states.
    """
    assert run_bytes(free) == most


# --- how long one read keeps the loop ---------------------------------------------------------------------------------


class Counting:
    """A sink that notes how much it was given."""

    def __init__(self) -> None:
        self.size = self.wire = 0

    def head(self, at_ns: int, head: Head) -> bool:
        return False

    def body(self, stamp: Stamp, wire_bytes: int, data: bytes) -> bool:
        self.size += len(data)
        self.wire += wire_bytes
        return False


def test_a_read_that_grows_a_thousandfold_is_handed_on_in_steps():
    """
    Each step is about as large as a plain read; the bytes on the wire count once.
    """
    sink, data = Counting(), gzip.compress(b"data: x\n\n" * 1_000_000)
    body = Body(sink, "gzip")
    stamp = Stamp(0, 0, kernel=False, exact=False)
    steps, before = [], 0
    body.take(stamp, len(data), data)
    while body.busy:
        steps.append(sink.size - before)
        before = sink.size
        body.go_on()

    assert max(steps) <= 128 * 1024
    assert (sink.size, sink.wire) == (9_000_000, len(data))


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_the_end_of_a_connection_waits_for_what_came_before_it(secure: bool):
    """
    A body whose last read takes many steps is whole, though the connection was closed right behind it.
    """
    body = gzip.compress(b"data: x\n\n" * 100_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\r\n"

    async def checked(tls: ssl.SSLContext | None) -> StreamRecording:
        async with raw_server(answering(head + body), tls=tls) as base:
            verify = ", tls: {verify: false}" if tls else ""
            text = f"version: 1\nfollow_up: false\ntarget: {{url: '{base}'{verify}}}\nprobes: [{{name: p, path: /, timeout: 20s}}]\n"
            return (await check(load(text.encode(), file="test.yml"))).recording.streams[0]

    with asyncio.Runner(loop_factory=Loop) as runner:
        seen = runner.run(checked(sizes.server_context() if secure else None))
    assert (len(seen.events), seen.ended) == (100_000, "eof")


async def test_over_http2_what_a_read_decodes_to_is_whole_and_all_streams_get_theirs():
    """
    The response's end came with its data, which took many steps to be taken apart: nothing of it is lost.
    """
    body = gzip.compress(b"data: x\n\n" * 100_000)
    assert len(body) < 16_384
    tls = sizes.server_context(h2=True)
    with flooding(sizes.framed(sizes.response(("content-encoding", "gzip")) + sizes.frame(0, 1, 1, body)), tls=tls, ask=False) as base:
        text = f"version: 1\nfollow_up: false\ntarget: {{url: '{base}', tls: {{verify: false}}}}\nprobes: [{{name: p, path: /, protocol: h2, timeout: 20s}}]\n"
        (seen,) = (await check(load(text.encode(), file="test.yml"))).recording.streams
    assert (len(seen.events), seen.ended) == (100_000, "eof")


async def test_a_run_ends_a_stream_where_all_of_them_have_no_room(monkeypatch: pytest.MonkeyPatch):
    """
    The bound of the run is that of its streams, and the stream's error names it.
    """
    monkeypatch.setattr("sse_check.pipeline.run_bytes", lambda free: MIB)
    with flooding(flood(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", b"data: x\n\n")) as base:
        text = f"version: 1\nfollow_up: false\ntarget: {{url: '{base}'}}\nprobes: [{{name: p, path: /, timeout: 20s}}]\n"
        checked = await check(load(text.encode(), file="test.yml"))
    assert checked.recording.streams[0].error == "more than 1,048,576 bytes to keep of all streams together"
    assert checked.result.verdict == "inconclusive"


def test_timers_are_served_while_a_bomb_is_taken_apart():
    """
    While one read decodes to a million comments and more, the loop goes on: its longest turn is a small part of the whole.
    """
    bomb = gzip.compress(b":\n" * 1_500_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    turns: list[float] = []
    lives: list[LiveStream] = []

    class Watching(Audience):
        def watch(self, probe: str, stream: LiveStream) -> None:
            lives.append(stream)

    async def ticking() -> None:
        # From the head on: modules are loaded before. How the stream is put away and judged after it is another matter.
        while not (lives and lives[0].finished):
            if lives and lives[0].head_seen is not None:
                turns.append(time.process_time())
            await asyncio.sleep(0)

    async def checked() -> Recording:
        ticks = asyncio.ensure_future(ticking())
        async with raw_server(answering(head + bomb)) as base:
            text = f"version: 1\nfollow_up: false\ntarget: {{url: '{base}'}}\nprobes: [{{name: p, path: /, timeout: 30s}}]\n"
            recording = (await check(load(text.encode(), file="test.yml"), audience=Watching())).recording
        await ticks
        return recording

    with asyncio.Runner(loop_factory=Loop) as runner:
        (seen,) = runner.run(checked()).streams
    busy = [later - turn for turn, later in pairwise(turns)]
    assert len(seen.comments_ns) == 1_500_000
    assert len(busy) > 10  # in one go there would be none
    assert max(busy) < sum(busy) / 4


# --- what it comes to -------------------------------------------------------------------------------------------------

OVER: Final[dict[str, Any]] = {"ended": "error", "reason": "limit", "error": "more than 2,000,000 events"}


def test_a_good_stream_that_sse_check_ended_is_not_judged():
    """
    Inconclusive, with the limit's name and value first, and no fault of the deployment.
    """
    outcome = judged(stream(every(0.1, 50), **OVER))

    assert (outcome.verdict, [(f.code, f.severity) for f in outcome.findings]) == ("inconclusive", [("own-limit", "warning")])
    assert "more than 2,000,000 events" in outcome.reasons[0]


@pytest.mark.parametrize("plan", [{"expect": {"events": 60}}, {"until": {"event": "done"}}, {"until": {"events": 60}}])
def test_what_had_not_come_when_sse_check_ended_a_stream_is_not_missed(plan: dict[str, Any]):
    """
    Events, or an end, that were still to come within their deadline count neither way.
    """
    assert judged(stream(every(0.1, 50), **OVER), of=scenario(probe(**plan))).verdict == "inconclusive"


def test_what_was_missed_before_sse_check_ended_a_stream_is_missed():
    """
    A first event that was late stays late.
    """
    outcome = judged(stream(every(0.1, 50, first=9.0), **OVER))
    assert outcome.verdict == "not-viable"


def test_an_event_that_was_too_large_is_told_and_decides_only_what_may_hang_on_it():
    """
    Viable with a note where the others suffice; inconclusive where what is missing may be what was passed over.
    """
    enough = judged(stream(every(1.0, 20), oversized=1), of=scenario(probe(expect={"events": 20})))
    missing = judged(
        stream(every(1.0, 15), oversized=5, ended="until", planned_end="duration"),
        of=scenario(probe(expect={"events": 20}, until={"duration": 16.0})),
    )

    assert (enough.verdict, [(f.code, f.severity) for f in enough.findings]) == ("viable", [("own-limit", "note")])
    assert (missing.verdict, missing.findings[-1].code) == ("inconclusive", "own-limit")


def test_the_bounds_are_documented():
    """
    docs/own-limits.md states the values that are used.
    """
    text = (ROOT / "docs/own-limits.md").read_text(encoding="utf-8")
    for number in (bounds._MAX_EVENTS, bounds._MAX_READS, bounds._MAX_COMMENTS):
        assert f"{number:,}" in text
    for size in (bounds._MAX_STREAM_BYTES, bounds._MAX_RUN_BYTES, bounds._MIN_RUN_BYTES):
        assert f"{size // MIB} MiB" in text
    assert f"{sizes.PEAK_MIB:,} MiB" in text
