"""What the clients in Python share: their command line, their streams at once, and what they print.

    python CLIENT.py URL STREAMS [--ca FILE] [--errors FILE] [--lines]

Each prints {"events": …, "complete": …}. With --errors it writes, once all streams have ended, for each event its arrival
less the time at which the server sent it: int64, ns, by CLOCK_MONOTONIC, which both read.
"""

import argparse
import array
import asyncio
import json
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path

# When it came, ns, and its data. What a client keeps of an event is the least that any use of it needs.
Kept = list[tuple[int, str | bytes]]
Client = Callable[[str, int, ssl.SSLContext | None, Kept], Coroutine[None, None, None]]

_END = ("done", b"done")


def main(client: Client) -> None:
    """Run a client that opens so many streams of a URL and keeps every event."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("streams", type=int)
    parser.add_argument("--ca")
    parser.add_argument("--errors", type=Path)
    parser.add_argument("--lines", action="store_true")
    args = parser.parse_args()
    kept: Kept = []
    asyncio.run(client(args.url, args.streams, ssl.create_default_context(cafile=args.ca) if args.ca else None, kept))
    ends = sum(data in _END for _, data in kept)
    if args.errors:
        errors = array.array("q", (at - json.loads(data)["mono"] for at, data in kept if data not in _END))
        args.errors.write_bytes(errors.tobytes())
    print(json.dumps({"events": len(kept) - ends, "complete": ends}))
