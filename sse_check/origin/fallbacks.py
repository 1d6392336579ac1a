"""What the embedded server offers beside its streams: a WebSocket and a plain JSON answer, to try fallbacks on."""

import asyncio
import json
import time
from contextlib import suppress
from typing import Final

from aiohttp import WSMsgType, web

from sse_check.units import parse_duration

_MAX_COUNT: Final = 100_000
_MAX_MESSAGE: Final = 1024 * 1024


def _count(request: web.Request, default: int) -> int:
    """The query's `count`. Raises HTTPBadRequest."""
    text = request.query.get("count", str(default))
    if not text.isdecimal() or int(text) > _MAX_COUNT:
        raise web.HTTPBadRequest(text=f'count: "{text}" is no number from 0 to {_MAX_COUNT:,}.\n')
    return int(text)


def _every(request: web.Request) -> float | None:
    """The query's `every`, in seconds. Raises HTTPBadRequest."""
    try:
        return parse_duration(request.query["every"]) if "every" in request.query else None
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"every: {error}\n") from None


def _known(request: web.Request, *names: str) -> None:
    """Raises HTTPBadRequest where the query has another name."""
    for name in request.query:
        if name not in names:
            raise web.HTTPBadRequest(text=f'"{name}" is not known. Known: {", ".join(names)}.\n')


def _item(number: int) -> dict[str, float]:
    return {"seq": number, "sent_at": round(time.time(), 6)}


async def _websocket(request: web.Request) -> web.WebSocketResponse:
    """Send every message back. `every=1s`: also messages with a sequence number, `count` of them (0: without end)."""
    _known(request, "every", "count")
    every, count = _every(request), _count(request, 0)
    socket = web.WebSocketResponse(max_msg_size=_MAX_MESSAGE)  # it answers pings by itself
    await socket.prepare(request)
    sending = None if every is None else asyncio.ensure_future(_send(socket, every, count))
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
    except ConnectionError:
        pass  # the client has gone; that is its right
    finally:
        if sending is not None:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    return socket


async def _send(socket: web.WebSocketResponse, every: float, count: int) -> None:
    number = 0
    with suppress(ConnectionError):
        while not count or number < count:
            await asyncio.sleep(every)
            number += 1
            await socket.send_str(json.dumps(_item(number)))


async def _batch(request: web.Request) -> web.Response:
    """What a stream would have told, in one answer."""
    _known(request, "count")
    count = _count(request, 20)
    return web.json_response({"status": "complete", "count": count, "items": [_item(number) for number in range(1, count + 1)]})


ROUTES: Final = (web.get("/ws", _websocket), web.route("*", "/batch", _batch))


def listing(base: str) -> str:
    """The endpoints in words, as `sse-check serve` prints them."""
    return f"""\
To fall back to:
{"ws" + base.removeprefix("http")}/ws                              a WebSocket that sends every message back; every=1s count=20: and its own
{base}/batch                         20 items as JSON in one answer; count=100
"""
