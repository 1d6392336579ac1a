"""Streams over HTTP/2 against a real server over TLS: what is recorded is what its frames said, and when."""

import asyncio
import gzip
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trustme
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from sse_check.precision import event_errors
from sse_check.probe import Stop
from sse_check.recording import Head, Recording, StreamRecording
from sse_check.redaction import Redactor
from sse_check.scenario import Variables, load
from sse_check.schedule import Run, run
from sse_check.transport import End, Request, Trace
from sse_check.transport.arrival import Stamp
from sse_check.transport.http2 import Http2
from sse_check.transport.tls import offering_http2
from tests.support.http2 import SSE, Handler, Peer, http2_server, server_tls
from tests.support.servers import SSE_HEAD, answering, chunk, greeting_server, raw_server

# How late a stamp may be on a busy machine. The gaps that the tests make are several times this long.
TOLERANCE_S = 0.15


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority of the tests' own."""
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """A server's side of TLS that offers HTTP/2."""
    return server_tls(authority.issue_cert("127.0.0.1", "localhost").configure_cert)


@pytest.fixture(autouse=True)
async def nothing_unhandled() -> AsyncIterator[None]:
    """What asyncio would only log, an exception that nobody handles, fails the test."""
    unhandled: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    yield
    assert unhandled == []


async def observe(base: str, probe: str = "path: /") -> Recording:
    """Run a scenario of one probe over HTTP/2 against a base URL."""
    text = f"version: 1\ntarget: {{url: '{base}', tls: {{verify: false}}}}\nprobes: [{{name: p, protocol: h2, {probe}}}]\n"
    return await run(load(text.encode(), file="test.yml", variables=Variables()), Run(redactor=Redactor(), stop=Stop()))


async def observe_one(base: str, probe: str = "path: /") -> StreamRecording:
    """Run a scenario of one probe of one stream, and give that stream."""
    recording = await observe(base, probe)
    assert len(recording.streams) == 1
    return recording.streams[0]


def serving(*data: bytes, fields: dict[str, str] = SSE, gap: float = 0.0) -> Handler:
    """Answers every request of a connection with these DATA frames and ends the stream properly."""

    async def answer(peer: Peer, stream_id: int) -> None:
        peer.head(stream_id, fields)
        for piece in data:
            peer.data(stream_id, piece)
            await asyncio.sleep(gap)
        peer.data(stream_id, b"", end=True)

    async def handler(peer: Peer) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(answer(peer, await peer.request()))

    return handler


# --- what is stamped --------------------------------------------------------------------------------------------------


async def test_every_read_is_stamped_when_its_bytes_arrived(tls):
    """
    Events carry the stamp of the read that completed them, however many frames it brought; the frames of one read are one.
    """

    async def handler(peer: Peer) -> None:
        stream_id = await peer.request()
        peer.head(stream_id)
        for frames in ([b"data: 1\n\n"], [b"data: 2\n\n", b"data: 3\n\n"], [b"data: 4\n"], [b"\n"]):
            await asyncio.sleep(0.3)
            for frame in frames:
                peer.data(stream_id, frame, flush=False)
            peer.flush()
        peer.data(stream_id, b"", end=True)
        await asyncio.sleep(1)

    async with http2_server(handler, tls=tls) as base:
        stream = await observe_one(base)
    at = [t / 1e9 for t in stream.events.at_ns]
    assert [t - at[0] for t in at] == pytest.approx([0, 0.3, 0.3, 0.9], abs=TOLERANCE_S)
    assert at[1] == at[2]
    assert list(stream.events.read) == [0, 1, 1, 3]
    assert stream.reads.wire_bytes[1] == 2 * (9 + 9)
    assert stream.ended == "eof"
    assert stream.head is not None
    assert (stream.head.status, stream.head.protocol, stream.head.header("content-type")) == (200, "h2", "text/event-stream")


async def test_of_several_streams_in_one_read_only_the_last_is_exact(tls):
    """
    The stamp of a read is that of its newest byte: what it brought of another stream, or before a frame without data, may be older.
    """

    async def handler(peer: Peer) -> None:
        streams = [await peer.request(), await peer.request()]
        for stream_id in streams:
            peer.head(stream_id)
        await asyncio.sleep(0.2)
        for stream_id in streams:
            peer.data(stream_id, b"data: 1\n\n")
            time.sleep(0.1)  # the reader is in the same loop: it reads both at once
        await asyncio.sleep(0.2)
        for stream_id in streams:
            peer.data(stream_id, b"data: 2\n\n")
            time.sleep(0.1)
            peer.data(stream_id, b"", end=True)
            await asyncio.sleep(0.2)
        await asyncio.sleep(1)

    async with http2_server(handler, tls=tls) as base:
        recording = await observe(base, "path: /, streams: 2")
    errors = [[error / 1e9 for error in event_errors(stream)] for stream in recording.streams]
    assert {stream.clock for stream in recording.streams} == {"kernel"}
    least, most = sorted(error[0] for error in errors)
    assert least == 0.0
    assert most >= 0.1
    assert all(error[1] >= 0.1 for error in errors)


async def test_phases_of_the_connection_are_in_order(tls):
    """
    Look-up, TCP, TLS, request, head and end are stamped in the order in which they happen; sending is zero.
    """

    async def handler(peer: Peer) -> None:
        stream_id = await peer.request()
        await asyncio.sleep(0.3)
        peer.head(stream_id)
        peer.data(stream_id, b"data: 1\n\n", end=True)
        await asyncio.sleep(1)

    async with http2_server(handler, tls=tls) as base:
        stream = await observe_one(base.replace("127.0.0.1", "localhost"))
    times = stream.times
    assert times.resolved_ns is not None
    assert times.connected_ns is not None
    assert times.tls_ns is not None
    assert times.head_ns is not None
    assert times.started_ns <= times.resolved_ns <= times.connected_ns < times.tls_ns <= 0 < times.head_ns <= times.ended_ns
    assert times.head_ns / 1e9 == pytest.approx(0.3, abs=TOLERANCE_S)
    assert stream.peer == base.removeprefix("https://")


# --- streams that share a connection ----------------------------------------------------------------------------------


async def test_the_streams_of_a_group_share_one_connection(tls):
    """
    As in a browser, streams that are opened together go over one connection to their origin.
    """
    connections: list[Peer] = []
    serve = serving(b"data: 1\n\n", b"data: 2\n\n", gap=0.2)

    async def handler(peer: Peer) -> None:
        connections.append(peer)
        await serve(peer)

    async with http2_server(handler, tls=tls) as base:
        recording = await observe(base, "path: /, streams: 3")
    assert len(connections) == 1
    assert [(s.ended, len(s.events), s.max_streams) for s in recording.streams] == [("eof", 2, None)] * 3
    assert all(s.times.head_ns is not None and s.times.head_ns < 150e6 for s in recording.streams)


async def test_streams_over_the_servers_limit_wait_for_a_place(tls):
    """
    SETTINGS_MAX_CONCURRENT_STREAMS is kept and recorded; the wait counts from when the request would have gone out.
    """
    at_once, most = 0, 0

    async def answer(peer: Peer, stream_id: int) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        peer.head(stream_id)
        await asyncio.sleep(0.5)
        at_once -= 1
        peer.data(stream_id, b"data: 1\n\n", end=True)

    async def handler(peer: Peer) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(answer(peer, await peer.request()))

    async with http2_server(handler, tls=tls, settings={SettingCodes.MAX_CONCURRENT_STREAMS: 2}) as base:
        recording = await observe(base, "path: /, streams: 4")
    heads = sorted((s.times.head_ns or 0) / 1e9 for s in recording.streams)
    assert most == 2
    assert heads == pytest.approx([0, 0, 0.5, 0.5], abs=TOLERANCE_S)
    assert [(s.ended, s.max_streams) for s in recording.streams] == [("eof", 2)] * 4


async def test_a_stream_that_is_ended_by_the_scenario_is_reset_and_gives_its_place_to_the_next(tls):
    """
    What is not wanted any more, by an event or by its time, is cancelled on the server, and the next stream is sent.
    """
    peers: list[Peer] = []

    async def handler(peer: Peer) -> None:
        peers.append(peer)
        while True:
            stream_id = await peer.request()
            peer.head(stream_id)
            peer.data(stream_id, b"data: 1\n\n")

    one = {SettingCodes.MAX_CONCURRENT_STREAMS: 1}
    async with http2_server(handler, tls=tls, settings=one) as base:
        by_event = await observe(base, "path: /, streams: 2, until: {events: 1}")
        by_time = await observe(base, "path: /, streams: 2, until: {duration: 500ms}")
    assert [s.planned_end for s in by_event.streams] == ["events"] * 2
    assert peers[0].resets == [(1, ErrorCodes.CANCEL), (3, ErrorCodes.CANCEL)]
    assert [s.planned_end for s in by_time.streams] == ["duration"] * 2
    assert (1, ErrorCodes.CANCEL) in peers[1].resets


async def test_a_stream_of_another_origin_gets_another_connection(tls):
    """
    A redirect within the origin stays on the connection; one to another origin opens another.
    """
    here: list[Peer] = []
    there: list[Peer] = []
    serve = serving(b"data: 1\n\n")

    async def elsewhere(peer: Peer) -> None:
        there.append(peer)
        await serve(peer)

    async with http2_server(elsewhere, tls=tls) as other:

        async def handler(peer: Peer) -> None:
            here.append(peer)
            peer.head(await peer.request(), {"location": "/second"}, status=307, end=True)
            peer.head(await peer.request(), {"location": f"{other}/third"}, status=307, end=True)
            await peer.request()

        async with http2_server(handler, tls=tls) as base:
            stream = await observe_one(base)
    assert (len(here), len(there)) == (1, 1)
    assert (stream.ended, len(stream.events), len(stream.redirects)) == ("eof", 1, 2)


async def test_what_is_not_asked_over_tls_goes_over_http_1(tls):
    """
    A redirect to an http URL is followed over HTTP/1.1: no browser speaks HTTP/2 without TLS.
    """
    async with raw_server(answering(SSE_HEAD + chunk(b"data: 1\n\n") + chunk(b""))) as plain:

        async def handler(peer: Peer) -> None:
            peer.head(await peer.request(), {"location": plain}, status=307, end=True)
            await peer.request()

        async with http2_server(handler, tls=tls) as base:
            stream = await observe_one(base)
    assert stream.head is not None
    assert (stream.head.protocol, stream.ended, len(stream.events)) == ("http/1.1", "eof", 1)


async def test_a_server_that_refuses_http_2_is_told_from_one_that_is_not_there(tls, authority):
    """
    Where TLS agrees on HTTP/1.1, the stream ends with that; over HTTP/1.1 the same server is asked without ALPN.
    """
    old = server_tls(authority.issue_cert("127.0.0.1").configure_cert, alpn=("http/1.1",))
    async with raw_server(answering(SSE_HEAD + chunk(b"data: 1\n\n") + chunk(b"")), tls=old) as base:
        text = f"version: 1\ntarget: {{url: '{base}', tls: {{verify: false}}}}\nprobes: [{{name: p, protocol: both, path: /}}]\n"
        scenario = load(text.encode(), file="test.yml", variables=Variables())
        first, second = (await run(scenario, Run(redactor=Redactor(), stop=Stop()))).streams
    assert (first.ended, len(first.events)) == ("eof", 1)
    assert (second.ended, second.reason) == ("error", "protocol")
    assert second.error == "the server does not speak HTTP/2 (ALPN chose http/1.1)"


async def test_asking_for_http_2_does_not_change_how_http_1_is_asked(tls):
    """
    A server that prefers HTTP/2 is spoken to in HTTP/1.1 where the scenario says so, before and after a probe over HTTP/2.
    """
    seen: list[str | None] = []

    async def either(peer: Peer) -> None:
        seen.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())

    async with http2_server(either, tls=tls, silent=True) as base:
        text = (
            f"version: 1\ntarget: {{url: '{base}', tls: {{verify: false}}}}\nfollow_up: false\n"
            "probes: [{name: a, protocol: h2, path: /}, {name: b, path: /}]\n"
        )
        await run(load(text.encode(), file="test.yml", variables=Variables()), Run(redactor=Redactor(), stop=Stop()))
    assert seen[0] == "h2"
    assert set(seen[1:]) == {None}  # aiohttp asks twice where there is no answer


# --- how streams end --------------------------------------------------------------------------------------------------


async def _eof(peer: Peer, stream_id: int) -> None:
    peer.data(stream_id, b"data: 1\n\n", end=True)
    await asyncio.sleep(1)


async def _close(peer: Peer, stream_id: int) -> None:
    peer.data(stream_id, b"data: 1\n\n")


async def _break_off(peer: Peer, stream_id: int) -> None:
    peer.data(stream_id, b"data: 1\n\n")
    await asyncio.sleep(0.2)
    peer.break_off()


async def _reset(peer: Peer, stream_id: int) -> None:
    peer.data(stream_id, b"data: 1\n\n", flush=False)
    peer.reset(stream_id, ErrorCodes.INTERNAL_ERROR)
    await asyncio.sleep(1)


async def _goaway_and_close(peer: Peer, stream_id: int) -> None:
    peer.data(stream_id, b"data: 1\n\n")
    peer.goaway(stream_id)


async def _goaway_with_error(peer: Peer, stream_id: int) -> None:
    peer.data(stream_id, b"data: 1\n\n")
    peer.goaway(stream_id, ErrorCodes.ENHANCE_YOUR_CALM)


async def _goaway_without_it(peer: Peer, stream_id: int) -> None:
    peer.data(stream_id, b"data: 1\n\n")
    peer.goaway(0)
    await asyncio.sleep(1)


async def _unknown_reset(peer: Peer, stream_id: int) -> None:
    peer.data(stream_id, b"data: 1\n\n")
    peer.frame(0x3, 0, stream_id, b"\x00\x00\x12\x34")
    await asyncio.sleep(1)


@pytest.mark.parametrize(
    ("ending", "ended", "said"),
    [
        (_eof, "eof", None),
        (_close, "truncated", "closed before the response was complete"),
        (_break_off, "reset", "the connection was reset"),
        (_reset, "reset", "INTERNAL_ERROR"),
        (_unknown_reset, "reset", "0x1234"),
        (_goaway_and_close, "truncated", "GOAWAY NO_ERROR"),
        (_goaway_with_error, "reset", "GOAWAY ENHANCE_YOUR_CALM"),
        (_goaway_without_it, "reset", "GOAWAY NO_ERROR"),
    ],
)
async def test_how_a_stream_ended_is_told(tls, ending, ended, said):
    """
    END_STREAM, RST_STREAM with its code, GOAWAY with its code, and a connection that closes or breaks are told apart.
    """

    async def handler(peer: Peer) -> None:
        stream_id = await peer.request()
        peer.head(stream_id)
        await ending(peer, stream_id)

    async with http2_server(handler, tls=tls) as base:
        stream = await observe_one(base)
    assert (stream.ended, stream.reason, len(stream.events)) == (ended, None, 1)
    assert (said is None and stream.error is None) or (said is not None and said in (stream.error or ""))


@pytest.mark.parametrize("refusal", [ErrorCodes.REFUSED_STREAM, ErrorCodes.INTERNAL_ERROR])
async def test_a_stream_that_is_reset_before_any_answer_names_the_code(tls, refusal):
    """
    RST_STREAM instead of a head is no answer, and says why there is none.
    """

    async def handler(peer: Peer) -> None:
        peer.reset(await peer.request(), refusal)
        await asyncio.sleep(1)

    async with http2_server(handler, tls=tls) as base:
        stream = await observe_one(base)
    assert (stream.ended, stream.reason, stream.head) == ("reset", "no-response", None)
    assert refusal.name in (stream.error or "")


@pytest.mark.parametrize("broken", [False, True])
async def test_a_connection_that_ends_before_any_answer_is_no_response(tls, broken):
    """
    Closed or reset before the head, the connection is no answer.
    """

    async def handler(peer: Peer) -> None:
        await peer.request()
        if broken:
            peer.break_off()

    async with http2_server(handler, tls=tls) as base:
        stream = await observe_one(base)
    assert (stream.ended, stream.reason) == ("reset" if broken else "error", "no-response")


@pytest.mark.parametrize(("length", "ended", "reason"), [("9", "eof", None), ("100", "truncated", None), ("3", "error", "protocol")])
async def test_a_body_of_another_length_than_was_said_is_that_streams_fault_alone(tls, length, ended, reason):
    """
    A body shorter than its Content-Length is truncated, a longer one a fault; the other streams go on.
    """

    async def handler(peer: Peer) -> None:
        first, second = await peer.request(), await peer.request()
        peer.head(second)
        peer.head(first, {**SSE, "content-length": length})
        peer.data(first, b"data: 1\n\n", end=True)
        await asyncio.sleep(0.3)
        peer.data(second, b"data: 1\n\n", end=True)
        await asyncio.sleep(1)

    async with http2_server(handler, tls=tls) as base:
        one, other = (await observe(base, "path: /, streams: 2")).streams
    assert (one.ended, one.reason) == (ended, reason)
    assert (other.ended, len(other.events)) == ("eof", 1)


async def test_a_stream_goes_on_after_a_goaway_and_what_was_not_sent_goes_elsewhere(tls):
    """
    A proxy that is reloaded says good-bye and serves what it has begun; the stream that waited gets a new connection.
    """
    connections: list[Peer] = []

    async def handler(peer: Peer) -> None:
        connections.append(peer)
        stream_id = await peer.request()
        peer.head(stream_id)
        if len(connections) == 1:
            peer.goaway(stream_id)
            await asyncio.sleep(0.3)
        peer.data(stream_id, b"data: 1\n\n", end=True)
        await asyncio.sleep(1)

    one = {SettingCodes.MAX_CONCURRENT_STREAMS: 1}
    async with http2_server(handler, tls=tls, settings=one) as base:
        recording = await observe(base, "path: /, streams: 2")
    assert [(s.ended, len(s.events)) for s in recording.streams] == [("eof", 1)] * 2
    assert len(connections) == 2


async def test_a_request_that_no_connection_takes_is_given_up(tls):
    """
    A server without a place that says good-bye again and again is no answer, not an endless loop.
    """

    async def handler(peer: Peer) -> None:
        await asyncio.sleep(0.1)
        peer.goaway(0)

    none = {SettingCodes.MAX_CONCURRENT_STREAMS: 0}
    async with http2_server(handler, tls=tls, settings=none) as base:
        stream = await observe_one(base)
    assert (stream.ended, stream.reason, stream.max_streams) == ("error", "no-response", 0)


async def test_informational_heads_and_trailers_are_passed_over(tls):
    """
    103 before the head and fields after the body are HTTP, and change nothing.
    """

    async def handler(peer: Peer) -> None:
        stream_id = await peer.request()
        peer.head(stream_id, {"link": "</app.css>"}, status=103)
        peer.head(stream_id)
        peer.data(stream_id, b"data: 1\n\n")
        peer.h2.send_headers(stream_id, [("x-checksum", "1")], end_stream=True)
        peer.flush()
        await asyncio.sleep(1)

    async with http2_server(handler, tls=tls) as base:
        stream = await observe_one(base)
    assert stream.head is not None
    assert (stream.head.status, stream.ended, len(stream.events)) == (200, "eof", 1)


# --- what is decoded --------------------------------------------------------------------------------------------------


async def test_a_decompression_bomb_stays_within_bounds_and_is_named(tls):
    """
    A body that grows a thousandfold when decoded is read within the parser's bounds, and counted as oversized.
    """
    bomb = gzip.compress(b"data: " + b"x" * 50_000_000)
    pieces = [bomb[at : at + 16_000] for at in range(0, len(bomb), 16_000)]
    async with http2_server(serving(*pieces, fields={**SSE, "content-encoding": "gzip"}), tls=tls) as base:
        stream = await observe_one(base)
    assert (stream.ended, stream.oversized, len(stream.events)) == ("eof", 1, 0)
    assert sum(stream.reads.body_bytes) == 50_000_006
    assert sum(stream.reads.wire_bytes) == len(bomb) + 9 * (len(pieces) + 1)  # with the head of each frame


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_a_body_that_is_not_what_its_encoding_says_is_a_decoding_error(tls, encoding):
    """
    Plain text under a Content-Encoding is recorded as a decoding error, not as a broken connection.
    """
    async with http2_server(serving(b"data: 1\n\n" * 3, fields={**SSE, "content-encoding": encoding}), tls=tls) as base:
        stream = await observe_one(base)
    assert (stream.ended, stream.reason) == ("error", "decode")


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_the_request_is_what_the_scenario_says(tls):
    """
    Method, path, fields and a body larger than the server's window arrive; what belongs to a connection is not sent.
    """
    seen: dict[str, str] = {}
    body = b""

    async def handler(peer: Peer) -> None:
        nonlocal body
        asked = await peer.requests.get()
        seen.update(asked.fields)
        while len(body) < int(seen["content-length"]):
            await asyncio.sleep(0.02)
            body = peer.bodies.get(asked.stream_id, b"")
        await asyncio.sleep(0.1)  # for the last, empty-handed look at the window
        peer.head(asked.stream_id)
        peer.data(asked.stream_id, b"data: 1\n\n", end=True)
        await asyncio.sleep(1)

    async with http2_server(handler, tls=tls) as base:
        probe = f"path: '/a?b=%20c', method: post, headers: {{X-Probe: '2', Connection: keep-alive}}, body: {'x' * 200_000}"
        stream = await observe_one(base.replace("https://", "https://user:pass%20word@"), probe)
    assert (stream.ended, len(stream.events), body) == ("eof", 1, b"x" * 200_000)
    assert (seen[":method"], seen[":path"], seen[":scheme"]) == ("POST", "/a?b=%20c", "https")
    assert seen[":authority"] == base.removeprefix("https://")
    assert (seen["x-probe"], seen["accept"], seen["authorization"]) == ("2", "text/event-stream", "Basic dXNlcjpwYXNzIHdvcmQ=")
    assert "zstd" in seen["accept-encoding"]
    assert not {"connection", "host"} & seen.keys()


async def test_the_windows_are_a_browsers(tls):
    """
    The server may send as much unasked as to a browser: what is held back is not held back by sse-check.
    """
    windows: list[int] = []

    async def handler(peer: Peer) -> None:
        stream_id = await peer.request()
        await asyncio.sleep(0.2)
        windows.extend([peer.h2.remote_settings.initial_window_size, peer.h2.outbound_flow_control_window])
        assert not peer.h2.remote_settings.enable_push
        peer.head(stream_id)
        for _ in range(2000):  # 32 MB, which needs both windows to be renewed
            while peer.h2.local_flow_control_window(stream_id) < 16_000:
                await asyncio.sleep(0.01)
            peer.data(stream_id, b": " + b"x" * 15_997 + b"\n")
            await peer.writer.drain()
        peer.data(stream_id, b"data: 1\n\n", end=True)
        await asyncio.sleep(1)

    async with http2_server(handler, tls=tls) as base:
        stream = await observe_one(base)
    assert windows == [6 * 1024 * 1024, 15 * 1024 * 1024]
    assert (stream.ended, len(stream.events)) == ("eof", 1)


# --- connections that are not made ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "reason"), [("https://127.0.0.1:1", "tcp"), ("https://name.invalid", "dns"), ("https://127.0.0.1:{plain}", "tls")]
)
async def test_no_connection_says_which_step_failed(url: str, reason: str):
    """
    Name look-up, TCP and TLS failures are recorded as such, for each stream that waited for the connection.
    """
    async with greeting_server() as port:
        recording = await observe(url.format(plain=port), "path: /, streams: 2")
    assert [(s.ended, s.reason, s.head) for s in recording.streams] == [("error", reason, None)] * 2
    assert all(s.error for s in recording.streams)


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.heads: list[Head] = []
        self.data = b""

    def head(self, at_ns: int, head: Head) -> bool:
        """Take the head."""
        self.heads.append(head)
        return False

    def body(self, stamp: Stamp, wire_bytes: int, data: bytes) -> bool:
        """Take a read."""
        self.data += data
        return False


async def fetch(url: str, *, connect_timeout: float = 5.0, verify: trustme.CA | None = None) -> tuple[End, Kept]:
    """One request on a connection of its own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if verify is not None:
        context = ssl.create_default_context()
        verify.configure_trust(context)
    request = Request(method="GET", url=url, headers=(), tls=offering_http2(context), connect_timeout=connect_timeout)
    sink = Kept()
    async with Http2() as http2:
        return await http2.fetch(request, sink, Trace(started_ns=time.monotonic_ns()), time.monotonic_ns), sink


async def test_certificates_are_verified(tls, authority):
    """
    An unknown authority, and a certificate for another name, are TLS failures.
    """
    other = server_tls(authority.issue_cert("other.test").configure_cert)
    async with http2_server(serving(b"x"), tls=tls) as good, http2_server(serving(b"x"), tls=other) as wrong:
        known, _ = await fetch(good, verify=authority)
        unknown, _ = await fetch(good, verify=trustme.CA())
        misnamed, _ = await fetch(wrong, verify=authority)
    assert (known.ended, unknown.reason, misnamed.reason) == ("eof", "tls", "tls")


@pytest.mark.parametrize(("spoken", "reason"), [("nothing", "tls"), ("tls", "protocol")])
async def test_a_server_that_says_nothing_is_given_up(tls, spoken, reason):
    """
    Neither a TLS handshake nor the server's SETTINGS are waited for longer than for a connection.
    """

    async def wait(_: object) -> None:
        await asyncio.sleep(5)

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    async with server, http2_server(wait, tls=tls, silent=True) as silent:
        deaf = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        began = time.monotonic()
        end, _ = await fetch(deaf if spoken == "nothing" else silent, connect_timeout=0.4)
        took = time.monotonic() - began
    assert (end.ended, end.reason) == ("error", reason)
    assert "within 0.4 s" in (end.error or "")
    assert took < 2


# --- the environment's proxy ------------------------------------------------------------------------------------------


@asynccontextmanager
async def connect_proxy(answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> AsyncIterator[tuple[str, list[bytes]]]:
    """A proxy that takes CONNECT, answers so, and passes bytes on; gives its host:port, and what it was asked."""
    asked: list[bytes] = []
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        there = None
        try:
            if b" 200 " in answer:
                host, _, port = asked[-1].split(b" ")[1].rpartition(b":")
                back, there = await asyncio.open_connection(host.decode(), int(port))
                await asyncio.gather(pump(reader, there), pump(back, writer), return_exceptions=True)
        finally:
            for end in (writer, there):
                if end is not None:
                    end.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)  # whoever asked has gone, or goes now
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Sets HTTPS_PROXY and NO_PROXY, and nothing else of the kind."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def put(proxy: str, exempt: str = "") -> None:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("NO_PROXY", exempt)

    return put


async def test_the_environments_proxy_is_used(tls, environment):
    """
    HTTPS_PROXY is asked with CONNECT, with the credentials in its URL, and what it gives is spoken to as the server.
    """
    async with http2_server(serving(b"data: 1\n\n"), tls=tls) as base, connect_proxy() as (proxy, asked):
        environment(f"http://me:secret@{proxy}")
        stream = await observe_one(base)
    assert (stream.ended, len(stream.events), stream.peer) == ("eof", 1, proxy)
    assert asked[0].startswith(b"CONNECT " + base.removeprefix("https://").encode() + b" HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic bWU6c2VjcmV0\r\n" in asked[0]


async def test_no_proxy_is_honoured(tls, environment):
    """
    A host that NO_PROXY names is reached without the proxy.
    """
    async with http2_server(serving(b"data: 1\n\n"), tls=tls) as base, connect_proxy() as (proxy, asked):
        environment(f"http://{proxy}", "127.0.0.1")
        stream = await observe_one(base)
    assert (stream.ended, asked, stream.peer) == ("eof", [], base.removeprefix("https://"))


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"220 smtp\r\n\r\n", None])
async def test_a_proxy_that_does_not_let_us_through_is_named(tls, environment, answer):
    """
    A refusal, something that is no HTTP, and a proxy that is not there are failures of the proxy.
    """
    async with http2_server(serving(b"x"), tls=tls) as base, connect_proxy(answer or b"") as (proxy, _):
        environment(f"http://{proxy if answer else '127.0.0.1:1'}")
        stream = await observe_one(base)
    assert (stream.ended, stream.reason) == ("error", "proxy")


# --- hostile peers ----------------------------------------------------------------------------------------------------


async def _long_frame(peer: Peer, stream_id: int) -> None:
    peer.writer.write((16_385).to_bytes(3, "big") + b"\x00\x00" + stream_id.to_bytes(4, "big"))


async def _header_bomb(peer: Peer, stream_id: int) -> None:
    peer.h2.send_headers(stream_id, [(":status", "200"), *((f"x-{number}", "x" * 1000) for number in range(100))])
    peer.flush()


async def _endless_head(peer: Peer, stream_id: int) -> None:
    peer.frame(0x1, 0, stream_id, b"")
    for _ in range(200):
        peer.frame(0x9, 0, stream_id, b"x" * 16_000)
        await peer.writer.drain()


async def _push(peer: Peer, stream_id: int) -> None:
    peer.frame(0x5, 0x4, stream_id, b"\x00\x00\x00\x02\x82")


async def _too_much_data(peer: Peer, stream_id: int) -> None:
    peer.head(stream_id)
    for _ in range(700):
        peer.frame(0x0, 0, 5, b"x" * 16_000)  # of a stream that was never opened


async def _window_overflow(peer: Peer, _: int) -> None:
    peer.frame(0x8, 0, 0, b"\x7f\xff\xff\xff")


async def _no_status(peer: Peer, stream_id: int) -> None:
    peer.frame(0x1, 0x4, stream_id, b"\x00\x01x\x01y")


async def _words_for_a_status(peer: Peer, stream_id: int) -> None:
    peer.h2.send_headers(stream_id, [(":status", "fine")])
    peer.flush()


async def _short_goaway(peer: Peer, _: int) -> None:
    peer.frame(0x7, 0, 0, b"\x00")


async def _http_1(peer: Peer, _: int) -> None:
    peer.writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    "misbehave",
    [
        _long_frame,
        _header_bomb,
        _endless_head,
        _push,
        _too_much_data,
        _window_overflow,
        _no_status,
        _words_for_a_status,
        _short_goaway,
        _http_1,
    ],
)
async def test_what_is_no_http_2_is_a_protocol_error(tls, misbehave):
    """
    Frames that are too long, heads that are too large or never end, pushed responses and the like end the stream, and nothing else.
    """

    async def handler(peer: Peer) -> None:
        await misbehave(peer, await peer.request())
        await asyncio.sleep(3)

    async with http2_server(handler, tls=tls) as base:
        stream = await observe_one(base, "path: /, timeout: 2s")
    assert (stream.ended, stream.reason) == ("error", "protocol"), stream.error
    assert 0 < len(stream.error or "") <= 500


async def test_a_peer_that_reads_no_answer_is_left(tls):
    """
    Pings are answered only as long as somebody reads the answers: what is not read does not pile up.
    """

    async def handler(peer: Peer) -> None:
        await peer.request()
        assert isinstance(peer.writer.transport, asyncio.Transport)
        peer.writer.transport.pause_reading()
        pings = (b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + b"12345678") * 10_000
        for _ in range(400):  # 68 MB
            peer.writer.write(pings)
            await peer.writer.drain()
        await asyncio.sleep(3)

    async with http2_server(handler, tls=tls) as base:
        stream = await observe_one(base, "path: /, timeout: 120s")
    assert (stream.ended, stream.reason) == ("error", "protocol")
    assert "reads none of them" in (stream.error or "")


@pytest.mark.parametrize("seed", range(20))
async def test_no_bytes_whatever_raise(tls, seed):
    """
    Frames of any kind with any content end the stream in one of the ways there are, and nothing escapes.
    """
    chance = random.Random(seed)

    async def handler(peer: Peer) -> None:
        stream_id = await peer.request()
        if chance.random() < 0.7:
            peer.head(stream_id)
        for _ in range(chance.randint(1, 12)):
            kind, flags = chance.randint(0, 12), chance.choice([0, 1, 4, 5, 8, 0x20, 0xFF])
            peer.frame(kind, flags, chance.choice([0, 1, 1, 1, 2, 3]), chance.randbytes(chance.choice([0, 1, 4, 5, 8, 9, 40])))
            await asyncio.sleep(0.005)

    async with http2_server(handler, tls=tls) as base:
        stream = await observe_one(base, "path: /, timeout: 2s")
    assert stream.ended in ("eof", "truncated", "reset", "error")
