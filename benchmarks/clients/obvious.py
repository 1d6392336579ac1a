"""The obvious loop: aiohttp, one session, `async for line in response.content`.

Each event is stamped, and its data read as JSON, as a script does that wants to know which event it was and when it was sent.
With --lines the data is left as it came: the least that the loop can cost.
"""

import asyncio
import json
import ssl
import sys
import time

import aiohttp
from common import Kept, main


async def client(url: str, streams: int, tls: ssl.SSLContext | None, kept: Kept) -> None:
    """All streams in one session; each event is stamped when its line is there."""
    lines_only = "--lines" in sys.argv

    async def stream(session: aiohttp.ClientSession) -> None:
        async with session.get(url, headers={"Accept": "text/event-stream"}) as response:
            async for line in response.content:
                if lines_only:
                    if line.startswith(b"data: "):
                        kept.append((time.monotonic_ns(), line[6:].strip()))
                    continue
                text = line.decode().strip()
                if text.startswith("data:"):
                    now, data = time.monotonic_ns(), text[5:].strip()
                    if data.startswith("{"):
                        json.loads(data)
                    kept.append((now, data))

    connector = aiohttp.TCPConnector(limit=0, ssl=tls or True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        await asyncio.gather(*(stream(session) for _ in range(streams)))


main(client)
