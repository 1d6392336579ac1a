"""A server that resumes as it should, and each way in which servers get it wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

COUNT = 12
# How the first number after a reconnect follows from the last event ID.
RESUMES: dict[str, Callable[[int], int]] = {
    "correct": lambda last: last + 1,
    "restarts": lambda last: 0,
    "skips": lambda last: last + 4,
    "repeats": lambda last: last,
    "ignores": lambda last: 1,
}
INSTANCES = ("a", "b")
VISITS = web.AppKey("visits", dict[str, int])


async def _events(request: web.Request) -> web.StreamResponse:
    kind = request.match_info["kind"]
    query = request.query
    last = request.headers.get("Last-Event-ID")
    visits = request.app[VISITS]
    visits[request.path_qs] = visits.get(request.path_qs, 0) + 1
    instance = INSTANCES[visits[request.path_qs] // 2 % 2]  # the second connection lands where the first did, the third elsewhere
    if last is not None and "status" in query:
        return web.Response(status=int(query["status"]))
    if last is not None and "redirect" in query:
        raise web.HTTPTemporaryRedirect(f"/moved/{kind}")
    if last is not None and "type" in query:
        return web.Response(text="<p>", content_type="text/html")
    number = 1 if last is None else RESUMES[kind](int(last.rpartition("-")[2]))
    if query.get("instances") == "apart" and instance == INSTANCES[0] and last is not None:
        number = 1
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    if "instances" in query:
        response.headers["X-Instance"] = instance
    await response.prepare(request)
    await response.write(f"retry: {query.get('retry', '200')}\n\n".encode())
    prefix = query.get("prefix", "")
    while number <= COUNT:
        await response.write(f"id: {prefix}{number}\ndata: {number}\n\n".encode() if "no_id" not in query else b"data: x\n\n")
        await asyncio.sleep(0.05)
        number += 1
    await response.write(b"event: complete\ndata: {}\n\n")
    return response


@asynccontextmanager
async def resuming() -> AsyncIterator[str]:
    """The server while the context lasts; gives host:port. `/correct`, `/skips`, …; the query asks for what else goes wrong."""
    app = web.Application()
    app[VISITS] = {}
    app.router.add_get("/moved/{kind}", _events)
    app.router.add_get("/{kind}", _events)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()
