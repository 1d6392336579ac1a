"""The embedded server's streams for a search for limits: it sends what an arm asks for, until the client or the way ends it."""

import asyncio
import json
import time
from typing import Final

from aiohttp import web

from sse_check.arms import HEADER, beat, told, understood
from sse_check.recording import Arm

_LONGEST_S: Final = 24 * 3600.0


def asked(request: web.Request) -> Arm | None:
    """The arm that a request asks for, if it is one of a search for limits."""
    return understood(request.headers.get(HEADER, ""))


async def stream(request: web.Request, arm: Arm) -> web.StreamResponse:
    """The stream of an arm. It never ends by itself within a day."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache", HEADER: told(arm)})
    if arm.kind == "first-byte":
        await asyncio.sleep(_LONGEST_S)
    try:
        await response.prepare(request)
        # Many a proxy holds the head until the first byte of the body.
        await response.write(b": open\n\n")
        await _send(response, arm)
    except ConnectionError:
        pass  # cut, as was to be expected
    return response


async def _send(response: web.StreamResponse, arm: Arm) -> None:
    loop = asyncio.get_running_loop()
    due = began = loop.time()
    number = 0
    while loop.time() - began < _LONGEST_S:
        due += arm.every or _LONGEST_S
        await asyncio.sleep(due - loop.time())
        if arm.kind == "heartbeat":
            await response.write(beat(arm.size))
        else:
            number += 1
            data = json.dumps({"seq": number, "sent_at": round(time.time(), 6)})
            await response.write(f"id: {number}\ndata: {data}\n\n".encode())
