"""The embedded server over HTTP: its streams with what the query asks for, and what stands beside them."""

import asyncio
import socket
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from typing import Final

import msgspec
from aiohttp import web

from sse_check.arms import HEADER
from sse_check.origin import arms
from sse_check.origin.fallbacks import ROUTES, listing
from sse_check.origin.faults import ANSWERS, DELIVERIES, FAULTS, Cut, Options
from sse_check.units import parse_duration

_MAX_COUNT: Final = 1_000_000
_MAX_SIZE: Final = 1024 * 1024
# Connections that wait to be accepted; the system allows fewer (net.core.somaxconn). Where they find no place, a client asks again
# after a second (RFC 6298, section 2.1), and the stream looks as if the deployment had held it back.
_BACKLOG: Final = 4096

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
    return msgspec.convert(values, Options)


async def _events(request: web.Request) -> web.StreamResponse:
    if (arm := arms.asked(request)) is not None:
        return await arms.stream(request, arm)
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
    except Cut:
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
  with the request header {HEADER}: the streams of a search for limits (`limits` in a scenario)
Faults (POST and Last-Event-ID are understood everywhere):
{faults}
  with: block=4096 (buffered-block)  flush=1s (buffered-time)  after=2s (idle-timeout, duration-limit, no-heartbeat)
        limit=1 (concurrency-limited)
{listing(base)}"""


def application() -> web.Application:
    """The server as an aiohttp application."""
    app = web.Application()
    app[_OPEN] = {}
    app.add_routes([web.get("/", _index), web.get("/health", _health), web.route("*", "/events", _events), *ROUTES])
    return app


@asynccontextmanager
async def serving(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Run the server while the context lasts; gives its base URL. Port 0 takes a free one.

    Raises OSError where the port cannot be had.
    """
    runner = web.AppRunner(application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
        await site.start()
        bound = runner.addresses[0]
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        yield f"http://{shown}:{bound[1]}"
    finally:
        await runner.cleanup()
