"""The obvious loop: aiohttp, one session, `async for line in response.content`."""

import asyncio
import ssl
import time

import aiohttp
from common import Kept, main


async def client(url: str, streams: int, tls: ssl.SSLContext | None, kept: Kept) -> None:
    """All streams in one session; each event is stamped when its line is there."""

    async def stream(session: aiohttp.ClientSession) -> None:
        async with session.get(url, headers={"Accept": "text/event-stream"}) as response:
            async for line in response.content:
                if line.startswith(b"data: "):
                    kept.append((time.monotonic_ns(), line[6:].strip()))

    connector = aiohttp.TCPConnector(limit=0, ssl=tls or True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        await asyncio.gather(*(stream(session) for _ in range(streams)))


main(client)
