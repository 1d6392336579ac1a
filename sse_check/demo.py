"""The demo: the embedded server, and the scenario that checks it."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Final

from sse_check.origin import serving
from sse_check.scenario import Expect, Probe, Scenario, Target, Until

# What makes a fault show within the demo's few seconds, beside the fault itself.
_DEMO_QUERY: Final = {
    "buffered-block": "&size=300&block=1500",
    "buffered-time": "&flush=600ms",
    "duration-limit": "&after=1s",
    "no-heartbeat": "&after=4s",
    "one-behind": "&every=500ms",  # faster, it cannot be told from Nagle's algorithm
}


@contextlib.contextmanager
def demo_server(fault: str | None) -> Iterator[str]:
    """The embedded server, in a thread of its own as it would be a machine of its own; or a port where nothing listens."""
    if fault == "refused":
        with socket.socket() as bound:  # bound, so that nobody else takes it, and not listening
            bound.bind(("127.0.0.1", 0))
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        return
    started, base = threading.Event(), ""
    loop = asyncio.new_event_loop()
    finish = asyncio.Event()

    async def serve() -> None:
        nonlocal base
        async with serving() as base:
            started.set()
            await finish.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield base
    finally:
        loop.call_soon_threadsafe(finish.set)
        thread.join(10)
        loop.close()


def demo_scenario(base: str, fault: str | None) -> Scenario:
    """Ten events alone, then three at once, with a fault if one is to be shown."""
    query = f"&fault={fault}{_DEMO_QUERY.get(fault, '')}" if fault and fault != "refused" else ""
    path = f"/events?count=10&every=200ms{query}"
    expect = Expect(heartbeat=1.0) if fault == "no-heartbeat" else Expect()
    until = Until(event="complete")
    return Scenario(
        version=1,
        name="Demo: the embedded server" + (f" with the fault {fault}" if fault else ""),
        target=Target(url=base),
        probes=(
            Probe(name="ten events", path=path, until=until, expect=expect, timeout=7.0),
            Probe(name="three at once", path=path, until=until, expect=expect, timeout=7.0, concurrent=True),
        ),
    )
