"""Ten streams that say what the standard lets a stream say, each sent to all of its readers at the same moment.

Each is on a port of its own: a browser opens six connections to one host and port, no more (HTTP/1.1).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from sse_check.probe import USER_AGENT

Script = tuple[bytes | float, ...]  # what is written, and pauses in seconds

END: Final = "done"  # the type of every stream's last event
# Of events that are not of the type `message`; a page hears only the types that it knows.
TYPES: Final = ("tick", "naïve ✓", "event", " spaced", END)

_ONE_BYTE: Final = 'id: ü1\ndata: {"seq": 1}\n\ndata: 2\r\rid: 3\r\ndata: 3\r\n\r\n'.encode()
_END: Final = f"event: {END}\ndata: end\n\n".encode()


def _spread(*parts: bytes, pause: float = 0.15) -> Script:
    return tuple(item for part in parts for item in (part, pause))


STREAMS: Final[Mapping[str, Script]] = {
    "ids": _spread(
        b"id: 1\ndata: a\n\n",
        b"data: keeps the id\n\n",
        b"id: 2\n\n",  # an id of its own is no event, and counts
        b"data: has id 2\n\n",
        b"id: no\0good\ndata: a NUL\n\n",
        b"id\ndata: none\n\n",
        b"id:  spaced \ndata: b\n\n",
        "id: 日本-7\ndata: c\n\n".encode(),
    ),
    "lines": _spread(
        b"data: one\ndata: two\ndata: three\n\n",
        b"data:\ndata\ndata: \n\n",
        b"data\n\n",
        b"data:no space\ndata:  two spaces\n\n",
        b"data: torn\nda",
        b"ta: in the name\n",
        b"\n",
        b"data: a: b\ndata:: c\n\n",
    ),
    "line ends": _spread(
        b"data: crlf\r\ndata: again\r\n\r\n",
        b"data: cr\rdata: again\r\r",
        b"data: mixed\r\n\r",  # the blank line is complete here; the line feed belongs to it
        b"\ndata: next\n\r\n",
        b"data: torn\r",
        b"\n\r",
        b"\n",
        b"data: x\n\r",
    ),
    "comments": _spread(
        b": open\n\n",
        b"data: a\n: within\ndata: b\n\n",
        b":\n:\n\n",
        b"unknown: field\nDATA: upper\ndata: c\n\n",
        b"data: not sent, as it has no blank line\n:",
        b" heartbeat\n\n",
        b"event: tick\n\n",  # no data, no event; and its type is forgotten
        b"data: d\n\n",
    ),
    "retry": _spread(
        b"retry: 100\n\n",
        b"retry: 250\ndata: a\n\n",
        b"retry: 1e3\nretry: -5\nretry:\ndata: b\n\n",
        b"retry: 60000\ndata: c\n\n",
    ),
    "types": _spread(
        b"event: tick\ndata: a\n\n",
        b"data: a message again\n\n",
        "event: naïve ✓\ndata: b\n\n".encode(),
        b"event: tick\nevent: event\ndata: c\n\n",
        b"event: tick\nevent:\ndata: d\n\n",
        b"event:  spaced\ndata: e\n\n",
        b"event: message\ndata: f\n\n",
    ),
    "unicode": _spread(
        "data: Grüße, 世界, 👩‍👩‍👧, e\u0301\n\n".encode(),
        b"data: torn \xf0\x9f",
        b"\x98\x80 in a character\n\n",
        b"data: not \xff\xc3( UTF-8 \xed\xa0\x80\n\n",
        "data: \u2028 and \u0085 and \x0b are no line ends\n\n".encode(),
        b"data: a NUL \0 is data\n\n",
    ),
    "large": _spread(
        b"data: " + b"x" * 100_000 + b"\n\n",
        b"data: " + "é".encode() * 500_000,
        b"\n\n",
        b"".join(b"data: line %d\n" % number for number in range(5000)) + b"\n",
        b"data: small\n\n",
    ),
    "bursts": _spread(
        b"".join(b"id: %d\ndata: {}\n\n" % number for number in range(100)),
        b"".join(b"event: tick\ndata: %d\n\n" % number for number in range(100)),
        *(b"data: single\n\n" for _ in range(5)),
    ),
    "bytes": (b"\xef\xbb\xbf", 0.2, *(item for byte in _ONE_BYTE for item in (bytes([byte]), 0.02)), b"data: \xef\xbb\xbf inside\n\n", 0.2),
}

_PAGE: Final = """\
<!doctype html><meta charset="utf-8"><title>reader</title><script>
const streams = %s, types = %s, seen = {};
let open = streams.length;
for (const [name, port] of streams) {
  const source = new EventSource(`http://127.0.0.1:${port}/stream`), events = seen[name] = [];
  const take = event => {
    const at = (performance.timeOrigin + performance.now()) / 1000;
    events.push({at, id: event.lastEventId, type: event.type, data: event.data});
    if (event.type === types.at(-1)) {
      source.close();
      if (--open === 0) fetch("/seen", {method: "POST", body: JSON.stringify(seen)});
    }
  };
  for (const type of ["message", ...types]) source.addEventListener(type, take);
}
</script>
"""


@dataclass(slots=True)
class _Channel:
    """One stream's readers, by who they are."""

    script: Script
    readers: dict[str, web.StreamResponse] = field(default_factory=dict)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def play(self) -> None:
        for item in (*self.script, _END):
            if isinstance(item, float):
                await asyncio.sleep(item)
            else:
                await asyncio.gather(*(reader.write(item) for reader in self.readers.values()), return_exceptions=True)


@dataclass(slots=True)
class Broadcast:
    """The server: its streams' ports by name, the page that reads them, and what the page has seen, once it has."""

    ports: dict[str, int] = field(default_factory=dict)
    page: str = ""
    browser_is_there: asyncio.Event = field(default_factory=asyncio.Event)
    seen: asyncio.Future[dict[str, list[dict[str, Any]]]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    channels: dict[str, _Channel] = field(default_factory=dict)
    everybody: asyncio.Event = field(default_factory=asyncio.Event)

    def came(self, name: str, who: str, reader: web.StreamResponse) -> None:
        """A reader is connected; when the last of all has come, the streams begin."""
        self.channels[name].readers[who] = reader
        readers = [channel.readers for channel in self.channels.values()]
        if all("browser" in found for found in readers):
            self.browser_is_there.set()
        if all(len(found) == 2 for found in readers):
            self.everybody.set()

    async def play(self) -> None:
        """All streams at once, when everybody is there and has had the time to notice it."""
        await self.everybody.wait()
        await asyncio.sleep(0.5)
        await asyncio.gather(*(channel.play() for channel in self.channels.values()))


@asynccontextmanager
async def broadcasting(streams: Mapping[str, Script] = STREAMS) -> AsyncIterator[Broadcast]:
    """The server while the context lasts."""
    server = Broadcast()
    runners: list[web.AppRunner] = []

    async def serve(app: web.Application) -> int:
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port: int = runner.addresses[0][1]
        return port

    for name, script in streams.items():
        server.channels[name] = _Channel(script)
        app = web.Application()
        app.router.add_get("/stream", _reading(server, name))
        server.ports[name] = await serve(app)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_get("/", _page(server))
    app.router.add_post("/seen", _seen(server))
    server.page = f"http://127.0.0.1:{await serve(app)}/"
    playing = asyncio.ensure_future(server.play())
    try:
        yield server
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        for runner in runners:
            await runner.cleanup()


def _reading(server: Broadcast, name: str):
    async def reading(request: web.Request) -> web.StreamResponse:
        who = "sse-check" if request.headers["User-Agent"] == USER_AGENT else "browser"
        if who in server.channels[name].readers:
            return web.Response(status=204)  # a reconnect, which would spoil the comparison: it ends an EventSource
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "Access-Control-Allow-Origin": "*"}
        )
        await response.prepare(request)
        server.came(name, who, response)
        await asyncio.sleep(3600)  # until the reader goes
        return response

    return reading


def _page(server: Broadcast):
    async def page(_: web.Request) -> web.Response:
        return web.Response(text=_PAGE % (json.dumps(list(server.ports.items())), json.dumps(TYPES)), content_type="text/html")

    return page


def _seen(server: Broadcast):
    async def seen(request: web.Request) -> web.Response:
        if not server.seen.done():
            server.seen.set_result(await request.json())
        return web.Response()

    return seen
