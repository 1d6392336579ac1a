"""The embedded server's streams: the correct one, and every fault on demand.

Every event carries its sequence number and the time it was made, before anything could hold it back.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from aiohttp import web


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


class Cut(Exception):
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
    raise Cut


async def _cut_after_silence(options: Options, write: Write) -> None:
    async for part in _up_to_half(options):
        await write(part)
    await asyncio.sleep(options.after)
    raise Cut


async def _cut_at_age(options: Options, write: Write) -> None:
    async def flow() -> None:
        async for part in _emit(options):
            await write(part)

    try:
        await asyncio.wait_for(flow(), options.after)
    except TimeoutError:
        raise Cut from None


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


# --- answers ----------------------------------------------------------------------------------------------------------


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
