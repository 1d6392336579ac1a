"""Real servers on loopback whose every byte is the test's: what no framework would send."""

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Converse = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]

SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk of the chunked transfer coding; of nothing, the last one."""
    return b"%x\r\n%s\r\n" % (len(data), data)


@asynccontextmanager
async def connection_server(converse: Converse, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Have each connection served by `converse`, then close it; gives the port. That a client goes is its right."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await converse(reader, writer)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the test is over
        finally:
            writer.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # for the transports to be told


@asynccontextmanager
async def raw_server(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Answer each connection's first request (its head, and the body that came with it) by `handler`, then close."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        await handler(head + await reader.readexactly(length), writer)

    async with connection_server(converse, tls=tls) as port:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"


@asynccontextmanager
async def greeting_server() -> AsyncIterator[int]:
    """A server that speaks first, and no TLS, while the context lasts; gives its port."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 this is not TLS\r\n")

    async with connection_server(greet) as port:
        yield port


def answering(raw: bytes) -> Handler:
    """A handler that sends these bytes and closes."""

    async def handler(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    return handler


class Endless:
    """A handler that sends an event every 50 ms for ever; `begun` is set when the first ten are on their way."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def __call__(self, _: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE_HEAD)
        for number in itertools.count(1):
            writer.write(chunk(b"data: %d\n\n" % number))
            await writer.drain()
            await asyncio.sleep(0.05)
            if number == 10:
                self.begun.set()
