"""aiperf: its own HTTP client and its reader of event streams, as its workers use them, without its services.

It reads an event stream only in answer to a POST.
"""

import asyncio
import ssl
from typing import Any

from aiperf.transports.aiohttp_client import AioHttpClient
from common import Kept, main


async def client(url: str, streams: int, tls: ssl.SSLContext | None, kept: Kept) -> None:
    """All streams from one client, whose connector bounds their number no more; it stamps each read (`perf_counter`)."""
    options: dict[str, Any] = {"limit": 0}
    if tls:
        options["ssl"] = tls
    session = AioHttpClient(tcp_kwargs=options)

    async def stream() -> None:
        record = await session.post_request(url, b"{}", {"Accept": "text/event-stream"})
        if record.error is not None:
            raise SystemExit(f"aiperf: {record.error}")
        kept.extend((message.perf_ns, message.extract_data_content()) for message in record.responses)

    await asyncio.gather(*(stream() for _ in range(streams)))
    await session.close()


main(client)
