"""The embedded server: a correct SSE endpoint, and every fault a server can produce, on demand.

It is what `sse-check demo` checks, what `sse-check serve` puts behind a user's own proxy, and the known truth of the
tests: every event carries its sequence number and the time it was made, before anything could hold it back.
"""

import asyncio
import json
import socket
import struct
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from sse_check.units import parse_duration

_MAX_COUNT: Final = 1_000_000
_MAX_SIZE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the query of `/events` asks for. Times are in seconds; `count` 0 is endless."""

    count: int = 20
    every: float = 1.0
    first: float = 0.0
    size: int = 0
    heartbeat: float = 0.0
    retry: int = 3000
    end: str = "complete"
    fault: str = ""
    block: int = 4096
    flush: float = 1.0
    after: float = 2.0
    limit: int = 1
    start: int = 1  # from Last-Event-ID

    @property
    def halfway(self) -> int:
        """The event after which a fault in mid-stream strikes."""
        return self.start + max(1, (self.count or 10) // 2) - 1


class _Cut(Exception):
    """The fault ends the response here, without its proper end."""


# --- the stream -------------------------------------------------------------------------------------------------------


def _event(number: int, options: Options) -> bytes:
    data: dict[str, object] = {"seq": number, "sent_at": round(time.time(), 6)}
    if options.size:
        data["pad"] = "x" * options.size
    return f"id: {number}\ndata: {json.dumps(data)}\n\n".encode()


async def _emit(options: Options, *, silence: float = 0.0) -> AsyncIterator[bytes]:
    """The correct stream: retry, events on their schedule, heartbeats in longer silences, the terminal event.

    `silence` is a pause of so many seconds, without a heartbeat, after the event half way.
    """
    yield f"retry: {options.retry}\n\n".encode()
    began = asyncio.get_running_loop().time()
    number = options.start
    while not options.count or number <= options.count:
        if silence and number == options.halfway + 1:
            await asyncio.sleep(silence)
            began += silence
        async for beat in _wait(began + options.first + (number - options.start) * options.every, options.heartbeat):
            yield beat
        yield _event(number, options)
        number += 1
    if options.end:
        data = json.dumps({"count": options.count, "sent_at": round(time.time(), 6)})
        yield f"event: {options.end}\ndata: {data}\n\n".encode()


async def _wait(until: float, heartbeat: float) -> AsyncIterator[bytes]:
    """Sleep until a moment of the loop's clock; a comment every `heartbeat` seconds of it."""
    loop = asyncio.get_running_loop()
    while (left := until - loop.time()) > 0:
        if heartbeat and heartbeat < left:
            await asyncio.sleep(heartbeat)
            yield b": heartbeat\n\n"
        else:
            await asyncio.sleep(left)


# --- the faults -------------------------------------------------------------------------------------------------------
# Each delivers the correct stream wrongly. A fault that answers otherwise than with a stream is in ANSWERS below.

Write = Callable[[bytes], Awaitable[None]]
Delivery = Callable[[Options, Write], Awaitable[None]]


async def _deliver(options: Options, write: Write) -> None:
    async for part in _emit(options):
        await write(part)


async def _hold_all(options: Options, write: Write) -> None:
    await write(b"".join([part async for part in _emit(options)]))


async def _hold_blocks(options: Options, write: Write) -> None:
    held = b""
    async for part in _emit(options):
        held += part
        while len(held) >= options.block:
            await write(held[: options.block])
            held = held[options.block :]
    await write(held)


async def _hold_time(options: Options, write: Write) -> None:
    loop = asyncio.get_running_loop()
    held, since = b"", loop.time()
    async for part in _emit(options):
        held += part
        if loop.time() - since >= options.flush:
            await write(held)
            held, since = b"", loop.time()
    await write(held)


async def _one_behind(options: Options, write: Write) -> None:
    held = b""
    async for part in _emit(options):
        await write(held)
        held = part
    await write(held)


async def _cut_midway(options: Options, write: Write) -> None:
    async for part in _up_to_half(options):
        await write(part)
    await write(b'id: 0\ndata: {"seq"')
    raise _Cut


async def _cut_after_silence(options: Options, write: Write) -> None:
    async for part in _up_to_half(options):
        await write(part)
    await asyncio.sleep(options.after)
    raise _Cut


async def _cut_at_age(options: Options, write: Write) -> None:
    async def flow() -> None:
        async for part in _emit(options):
            await write(part)

    try:
        await asyncio.wait_for(flow(), options.after)
    except TimeoutError:
        raise _Cut from None


async def _stall(options: Options, write: Write) -> None:
    async for part in _up_to_half(options):
        await write(part)
    await asyncio.sleep(24 * 3600)


async def _stay_silent(options: Options, write: Write) -> None:
    async for part in _emit(options, silence=options.after):
        await write(part)


async def _lose(options: Options, write: Write) -> None:
    lost = {f"id: {options.halfway}\n".encode(), f"id: {options.halfway + 1}\n".encode()}
    async for part in _emit(options):
        if not any(part.startswith(number) for number in lost):
            await write(part)


async def _up_to_half(options: Options) -> AsyncIterator[bytes]:
    async for part in _emit(options):
        yield part
        if part.startswith(f"id: {options.halfway}\n".encode()):
            return


DELIVERIES: Final[dict[str, Delivery]] = {
    "": _deliver,
    "buffered-full": _hold_all,
    "buffered-block": _hold_blocks,
    "buffered-time": _hold_time,
    "one-behind": _one_behind,
    "compressed-buffered": _deliver,  # held by the compressor, below
    "delayed-headers": _deliver,  # the head waits, below
    "idle-timeout": _cut_after_silence,
    "duration-limit": _cut_at_age,
    "truncated": _cut_midway,
    "stalled": _stall,
    "concurrency-limited": _deliver,
    "lost-events": _lose,
    "resume-broken": _cut_midway,  # and Last-Event-ID is ignored, below
    "no-heartbeat": _stay_silent,
    "slow-first-event": _deliver,
}


# --- HTTP -------------------------------------------------------------------------------------------------------------


def _http_error(options: Options) -> web.Response:
    return web.json_response({"error": "the service is unavailable"}, status=503, headers={"Retry-After": "30"})


def _not_sse(options: Options) -> web.Response:
    return web.Response(text="<!doctype html><title>App</title><div id=root></div>", content_type="text/html")


def _redirected(options: Options) -> web.Response:
    query = {"count": options.count, "every": f"{options.every}s", "end": options.end}
    return web.Response(status=307, headers={"Location": f"/events?{urlencode(query)}"})


def _cached(options: Options) -> web.Response:
    """What a cache would replay: the events of a stream that ended a minute ago, all at once."""
    events = []
    for number in range(options.start, options.count + 1):
        sent_at = time.time() - 60 + number * options.every
        events.append(f"id: {number}\ndata: {json.dumps({'seq': number, 'sent_at': round(sent_at, 6)})}\n\n")
    if options.end:
        events.append(f"event: {options.end}\ndata: {{}}\n\n")
    return web.Response(text="".join(events), content_type="text/event-stream", headers={"Age": "60", "X-Cache": "HIT"})


ANSWERS: Final[dict[str, Callable[[Options], web.Response]]] = {
    "http-error": _http_error,
    "not-sse": _not_sse,
    "redirected": _redirected,
    "cached": _cached,
}

FAULTS: Final = tuple(sorted({*DELIVERIES, *ANSWERS, "refused"} - {""}))

_OPEN: Final = web.AppKey("open streams", dict[str, int])


def _options(request: web.Request) -> Options:
    """The query as Options. Raises HTTPBadRequest, whose text says what would be right."""
    query = request.query
    values: dict[str, object] = {}
    for name, value in query.items():
        try:
            if name in ("every", "first", "heartbeat", "flush", "after"):
                values[name] = parse_duration(value)
            elif name in ("count", "size", "retry", "block", "limit"):
                most = _MAX_SIZE if name in ("size", "block") else _MAX_COUNT
                if not value.isdecimal() or int(value) > most:
                    raise ValueError(f'{name}: "{value}" is no number from 0 to {most:,}.')
                values[name] = int(value)
            elif name == "fault":
                if value not in FAULTS:
                    raise ValueError(f'fault: "{value}" is not known. Known: {", ".join(FAULTS)}.')
                values[name] = value
            elif name == "end":
                if "\n" in value or "\r" in value:
                    raise ValueError("end: an event's type has no line break.")
                values[name] = value
            else:
                known = ", ".join(field.name for field in fields(Options) if field.name != "start")
                raise ValueError(f'"{name}" is not known. Known: {known}.')
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
    last = request.headers.get("Last-Event-ID", "")
    fault = values.get("fault")
    if last.isdecimal() and len(last) <= 9 and fault != "resume-broken":
        values["start"] = int(last) + 1
    if fault in ("slow-first-event", "delayed-headers"):
        values.setdefault("first", 3.0)
    return Options(**values)  # type: ignore[arg-type]  # checked one by one above


async def _events(request: web.Request) -> web.StreamResponse:
    options = _options(request)
    if options.fault == "refused":
        _drop(request, reset=True)
        return web.Response()
    if options.fault in ANSWERS:
        return ANSWERS[options.fault](options)
    streams = request.app[_OPEN]
    key = request.path_qs
    if options.fault == "concurrency-limited" and streams.get(key, 0) >= options.limit:
        return web.json_response({"error": "too many streams"}, status=503, headers={"Retry-After": "5"})
    streams[key] = streams.get(key, 0) + 1
    try:
        return await _stream(request, options)
    finally:
        streams[key] -= 1


async def _stream(request: web.Request, options: Options) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    compress = options.fault == "compressed-buffered" and "gzip" in request.headers.get("Accept-Encoding", "")
    if compress:
        response.headers["Content-Encoding"] = "gzip"
    compressor = zlib.compressobj(wbits=31)

    async def write(data: bytes) -> None:
        data = compressor.compress(data) if compress else data
        if data:
            await response.write(data)

    try:
        if options.fault == "delayed-headers":
            await asyncio.sleep(options.first)
            options = replace(options, first=0.0)
        await response.prepare(request)
        # The head goes out at once, not with the first event: an EventSource's `open` must not wait for it.
        opening = b": open\n\n"
        await response.write(compressor.compress(opening) + compressor.flush(zlib.Z_SYNC_FLUSH) if compress else opening)
        await DELIVERIES[options.fault](options, write)
        if compress:
            await response.write(compressor.flush())
        await response.write_eof()
    except _Cut:
        _drop(request)
    except ConnectionError:
        pass  # the client has gone; that is its right
    return response


def _drop(request: web.Request, *, reset: bool = False) -> None:
    """Close the connection without ending the response: FIN, or RST."""
    transport = request.transport
    if transport is None:
        return
    if reset:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()


async def _health(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _index(request: web.Request) -> web.Response:
    return web.Response(text=endpoints(str(request.url.origin())))


def endpoints(base: str) -> str:
    """What the server offers, in words, for a terminal and for `GET /`."""
    faults = "\n".join(f"  {base}/events?fault={fault}" for fault in FAULTS)
    return f"""\
{base}/health                        answers 200
{base}/events                        20 events, one a second, then `event: complete`
{base}/events?count=100&every=50ms   count=0 is endless
  also: first=3s size=1000 heartbeat=5s retry=3000 end=done (end= for no terminal event)
Faults (POST and Last-Event-ID are understood everywhere):
{faults}
  with: block=4096 (buffered-block)  flush=1s (buffered-time)  after=2s (idle-timeout, duration-limit, no-heartbeat)
        limit=1 (concurrency-limited)
"""


def application() -> web.Application:
    """The server as an aiohttp application."""
    app = web.Application()
    app[_OPEN] = {}
    app.router.add_get("/", _index)
    app.router.add_get("/health", _health)
    app.router.add_route("*", "/events", _events)
    return app


@asynccontextmanager
async def serving(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Run the server while the context lasts; gives its base URL. Port 0 takes a free one.

    Raises OSError where the port cannot be had.
    """
    runner = web.AppRunner(application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0]
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        yield f"http://{shown}:{bound[1]}"
    finally:
        await runner.cleanup()
