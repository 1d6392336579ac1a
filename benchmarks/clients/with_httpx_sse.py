"""httpx-sse: one client, `aconnect_sse` and `aiter_sse`, as its documentation shows them."""

import asyncio
import ssl
import time

import httpx
from common import Kept, main
from httpx_sse import aconnect_sse


async def client(url: str, streams: int, tls: ssl.SSLContext | None, kept: Kept) -> None:
    """All streams in one client; each event is stamped when it is handed over."""

    async def stream(session: httpx.AsyncClient) -> None:
        async with aconnect_sse(session, "GET", url) as source:
            async for event in source.aiter_sse():
                kept.append((time.monotonic_ns(), event.data))

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=None, verify=tls or True) as session:
        await asyncio.gather(*(stream(session) for _ in range(streams)))


main(client)
