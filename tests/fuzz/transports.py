"""What a server sends, from the first byte of its answer: the parser, content codings, HTTP/1.1 and HTTP/2."""

import asyncio
import sys
import zlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from itertools import count
from typing import Any, Final, cast

import brotli

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

from sse_check.eventstream import EventStreamParser
from sse_check.live import LiveStream
from sse_check.plan import StreamPlan
from sse_check.recording import StreamRecording
from sse_check.redaction import Redactor
from sse_check.scenario import Until
from sse_check.transport import End, Request, Trace
from sse_check.transport.arrival import Stamp
from sse_check.transport.decoding import DecodeError, decoder_for
from sse_check.transport.dial import target_of
from sse_check.transport.http1 import _Exchange
from sse_check.transport.http2 import fields_of
from sse_check.transport.http2_connection import Connection
from sse_check.transport.wire import Wire
from tests.fuzz.broken import cut_by_chance, dice, hold
from tests.fuzz.judging import judged_and_reported, kept
from tests.support.reference import parsed, pieces, reference
from tests.support.streams import recording

_PIECE: Final = 2 * 256 * 1024  # twice what is decoded at a time (decoding.py): the bound of brotli is a soft one
_ENOUGH: Final = 4 * 1024 * 1024  # of what a few bytes decode to: the rest of a bomb is more of the same
_MANY_PIECES: Final = 4096  # bytes, up to which an input is also fed one byte at a time

# --- the parser -------------------------------------------------------------------------------------------------------


def parser(data: bytes) -> None:
    """Any bytes, however they are cut, give what the HTML Standard's own algorithm gives; what is held is bounded."""
    chance = dice(data)
    expected = reference(data)
    ways: list[Iterable[bytes]] = [[data], cut_by_chance(data, chance), cut_by_chance(data, chance)]
    if len(data) <= _MANY_PIECES:
        ways.append(pieces(data, 1))
    for way in ways:
        hold(parsed(way) == expected, "the same events as by the standard, however the bytes are cut")

    line, event = chance.randint(1, 40), chance.randint(1, 80)
    bounded = [_bounded(way, line, event) for way in ([data], cut_by_chance(data, chance), pieces(data[:_MANY_PIECES], 1))]
    hold(bounded[0] == bounded[1] or len(data) > _MANY_PIECES, "the same events within the same limits, however the bytes are cut")
    hold(bounded[0] == bounded[2] or len(data) > _MANY_PIECES, "the same events within the same limits, byte by byte")


def _bounded(way: Iterable[bytes], line: int, event: int) -> tuple[object, ...]:
    """All that a parser with small limits says."""
    parser = EventStreamParser(max_line=line, max_event=event)
    events = []
    for piece in way:
        events += parser.feed(piece)
        held = len(parser._unfinished) + sum(len(text) + 1 for text in parser._data)
        hold(held <= line + event + 4, "what is held of an unfinished event is within the limits")
    hold(all(len(one.data) <= event for one in events), "no event is longer than its limit")
    return (
        events,
        parser.last_event_id,
        parser.retry,
        parser.comments,
        parser.unknown_lines,
        parser.oversized,
        parser.mid_event,
        parser.ended_event,
    )


# --- content codings --------------------------------------------------------------------------------------------------

_CODINGS: Final = ("gzip", "deflate", "br", "zstd")


def decoding(data: bytes) -> None:
    """Any bytes after a first one that chooses the coding: bounded pieces, the same whatever the cuts, and what the library says."""
    if not data:
        return
    coding, body = _CODINGS[data[0] % len(_CODINGS)], data[1:]
    chance = dice(data)
    whole, failed = _decoded(coding, [body])
    for way in (cut_by_chance(body, chance), list(pieces(body, 1)) if len(body) <= _MANY_PIECES else [body]):
        out, wrong = _decoded(coding, way)
        if failed or wrong:
            # A broken body breaks at the same byte, but what a read brought before it may be lost with that read.
            hold(out[: len(whole)] == whole[: len(out)], f"{coding}: the beginnings of what was decoded agree")
        else:
            hold(out == whole, f"{coding}: the same bytes, however they are cut")
        near_the_end = max(len(out), len(whole)) > _ENOUGH - _PIECE  # of ours, which one way may have reached before the break
        hold(failed == wrong or near_the_end, f"{coding}: what cannot be decoded cannot be decoded in any pieces")
    expected = _by_library(coding, body)
    hold(expected is None or (not failed and whole[:_ENOUGH] == expected[:_ENOUGH]), f"{coding}: what the library decodes is decoded")


def _decoded(coding: str, way: Iterable[bytes]) -> tuple[bytes, bool]:
    """What a body in these pieces decodes to, up to an end of our own, and whether it could not be decoded."""
    decoder = decoder_for(coding)
    assert decoder is not None
    out = bytearray()
    try:
        for piece in way:
            for part in decoder.feed(piece):
                hold(0 < len(part) <= _PIECE, f"{coding}: pieces are neither empty nor large")
                out += part
                if len(out) >= _ENOUGH:
                    return bytes(out[:_ENOUGH]), False
        decoder.close()
    except DecodeError:
        return bytes(out), True
    return bytes(out), False


def _by_library(coding: str, body: bytes) -> bytes | None:
    """What the standard library, or the coding's own, makes of a whole body at once; None where it is broken, or a bomb."""
    try:
        if coding in ("gzip", "deflate"):
            state = zlib.decompressobj(zlib.MAX_WBITS + (16 if coding == "gzip" else 0))
            out = state.decompress(body, _ENOUGH)
            return out if state.eof and not state.unused_data else None
        if coding == "br":
            with_bound = brotli.Decompressor()
            out = with_bound.process(body, output_buffer_limit=_ENOUGH)
            return out if with_bound.is_finished() else None
        frame = ZstdDecompressor()
        out = frame.decompress(body, _ENOUGH)
        return out if frame.eof and not frame.unused_data else None
    except (zlib.error, brotli.error, ZstdError):
        return None


# --- HTTP -------------------------------------------------------------------------------------------------------------

_LOOP = asyncio.new_event_loop()
_WALL_NS: Final = 1_768_473_000 * 10**9  # the wall clock when the clock here shows 0
_URL: Final = "https://app.example.test/events"
_EMPTY: Final = StreamPlan(
    probe="wallet", stream=1, phase="stream", request=Request(method="GET", url=_URL, headers=()), until=Until(), timeout=30.0
)


class _NoWire:
    """A wire without a socket: what is written is counted, and after it is closed nothing more is heard."""

    unwritten = 0

    def __init__(self) -> None:
        self.closed = False
        self.written = 0

    def attach(self, receiver: object) -> None:
        """Nothing comes by itself."""

    def write(self, data: bytes) -> None:
        """Count what goes out."""
        self.written += len(data)

    def close(self) -> None:
        """Hear nothing more."""
        self.closed = True


def _clock() -> Callable[[], int]:
    """Time that passes by a microsecond at each look."""
    ticks = count(1_000, 1_000)
    return lambda: next(ticks)


def _run(work: Coroutine[Any, Any, Sequence["_Seen"]]) -> Sequence["_Seen"]:
    return _LOOP.run_until_complete(work)


class _Seen:
    """One exchange as it was recorded, and what of it does not depend on how its bytes were cut."""

    def __init__(self, live: LiveStream, trace: Trace, end: End) -> None:
        self.end = end
        live.traces, live.end, live.wall_distance_ns = [trace], end, -_WALL_NS
        frozen = live.freeze(end, redactor=Redactor(), run_started_ns=0)
        self.recorded: StreamRecording = frozen
        events = frozen.events
        # Of a body that cannot be decoded, what the last read brought before the break is lost with it.
        self.meaning = (end.ended, end.reason, frozen.head) if end.reason == "decode" else (
            *(end.ended, end.reason, frozen.head, frozen.retry_ms, frozen.last_event_id, frozen.unknown_lines, frozen.oversized),
            *(list(events.type), list(events.id), list(events.size), {name: list(column) for name, column in events.numbers.items()}),
            *(len(frozen.comments_ns), sum(frozen.reads.body_bytes)),
        )  # fmt: skip


def http1(data: bytes) -> None:
    """Any bytes of a server end in a recorded end, the same however they are cut, and what was recorded is judged."""
    chance = dice(data)
    reset, bodiless = chance.random() < 0.2, chance.random() < 0.1
    ways = [[data], cut_by_chance(data, chance), list(pieces(data, 1)) if len(data) <= _MANY_PIECES else [data]]
    (whole,), *others = (_run(_over_http1(way, reset=reset, bodiless=bodiless)) for way in ways)
    for (other,) in others:
        hold(other.meaning == whole.meaning, f"the same response, however its bytes are cut: {other.meaning} and {whole.meaning}")
    value = recording(whole.recorded)
    hold(kept(value) == value, "what was recorded can be written and read")
    judged_and_reported(value, lightly=True)


async def _over_http1(way: Sequence[bytes], *, reset: bool, bodiless: bool) -> Sequence[_Seen]:
    wire, clock, live = _NoWire(), _clock(), LiveStream(_EMPTY)
    trace = Trace(started_ns=clock())
    exchange = _Exchange(cast(Wire, wire), live, trace, clock, bodiless=bodiless)
    trace.sent_ns = clock()
    for piece in way:
        if piece and not wire.closed:
            exchange.received(Stamp(clock(), 500, kernel=True, exact=True), piece)
    if not wire.closed:
        exchange.lost(ConnectionResetError() if reset else None)
    hold(exchange.end.done(), "every response has its end")
    return [_Seen(live, trace, exchange.end.result())]


def http2(data: bytes) -> None:
    """Any bytes of a server on an HTTP/2 connection of two streams: both end, and little is answered to it."""
    chance = dice(data)
    reset = chance.random() < 0.2
    ways = [[data], cut_by_chance(data, chance), list(pieces(data, 1)) if len(data) <= _MANY_PIECES else [data]]
    whole, *others = (_run(_over_http2(way, reset=reset)) for way in ways)
    for other in others:
        for one, same in zip(whole, other, strict=True):
            hold(one.meaning == same.meaning, f"the same responses, however their bytes are cut: {one.meaning} and {same.meaning}")
    value = recording(*(seen.recorded for seen in whole))
    hold(kept(value) == value, "what was recorded can be written and read")
    judged_and_reported(value, lightly=True)


async def _over_http2(way: Sequence[bytes], *, reset: bool) -> Sequence[_Seen]:
    wire, clock = _NoWire(), _clock()
    connection = Connection(cast(Wire, wire), clock)
    begun = wire.written
    lives = [LiveStream(_EMPTY), LiveStream(_EMPTY)]
    traces = [Trace(started_ns=clock()), Trace(started_ns=clock())]
    fields = fields_of(_EMPTY.request, target_of(_URL))
    bodies = (None, b"a body of some length")
    exchanges = [
        asyncio.ensure_future(
            connection.exchange([(n, v if n != ":method" or body is None else "POST") for n, v in fields], body, live, trace)
        )
        for live, trace, body in zip(lives, traces, bodies, strict=True)
    ]
    await asyncio.sleep(0)
    for piece in way:
        if piece and not wire.closed:
            connection.received(Stamp(clock(), 500, kernel=True, exact=True), piece)
    if not wire.closed:
        connection.lost(ConnectionResetError() if reset else None)
    for _ in range(3):
        await asyncio.sleep(0)
    hold(all(exchange.done() for exchange in exchanges), "every exchange has its end")
    hold(connection.ready.done(), "whoever waits for the connection is told")
    size = sum(map(len, way))
    hold(wire.written - begun <= 4096 + 16 * size, f"little is answered: {wire.written - begun} bytes to {size}")
    not_sent = End(ended="error", at_ns=clock(), reason="no-response")
    ends = [exchange.result() or not_sent for exchange in exchanges]
    return [_Seen(live, trace, end) for live, trace, end in zip(lives, traces, ends, strict=True)]
