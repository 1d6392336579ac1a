"""Writes a recording of many events, a stream at a time, so that its length costs no memory.

python -m benchmarks.recordings FILE EVENTS
"""

import random
import sys
from pathlib import Path
from typing import Final

import msgspec

from sse_check.columns import stored
from sse_check.recording import Environment, Events, Head, Reads, Recording, StreamRecording, Times, to_lines
from sse_check.scenario import Probe, Scenario, Target, Until

_STREAMS: Final = 1000
_EVERY_NS: Final = 10_000_000
_WALL_S: Final = 1_700_000_000
_EVENT_BYTES: Final = 290


def stream(number: int, events: int) -> StreamRecording:
    """A healthy stream: an event every 10 ms, each in a read of its own, up to 2 ms late; then its end."""
    late = random.Random(number)
    at = [i * _EVERY_NS + late.randrange(2_000_000) for i in range(1, events + 1)]
    head = Head(status=200, reason="OK", protocol="HTTP/1.1", headers=(("Content-Type", "text/event-stream"),))
    return StreamRecording(
        probe="streams",
        stream=number,
        phase="concurrency",
        method="GET",
        url="http://127.0.0.1:8080/events",
        sent_at=float(_WALL_S),
        run_ns=number * 1000,
        times=Times(started_ns=-1000, connected_ns=-500, head_ns=1_000_000, ended_ns=at[-1]),
        head=head,
        reads=Reads(at_ns=at, wire_bytes=[_EVENT_BYTES + 7] * events, body_bytes=[_EVENT_BYTES] * events, mid_event=[False] * events),
        events=Events(
            at_ns=at,
            read=list(range(events)),
            type=[*["message"] * (events - 1), "complete"],
            id=[str(i) for i in range(events)],
            size=[_EVENT_BYTES] * events,
            numbers={"seq": list(range(events)), "ts": [_WALL_S * 10**9 + i * _EVERY_NS for i in range(1, events + 1)]},
        ),
        ended="until",
        planned_end="event",
    )


def write(path: Path, events: int) -> None:
    """A recording of so many events in 1,000 streams."""
    probe = Probe(name="streams", path="/events", streams=_STREAMS, until=Until(event="complete"))
    scenario = Scenario(version=1, target=Target(url="http://127.0.0.1:8080"), probes=(probe,))
    frame = Recording(
        started_at="2023-11-14T22:13:20Z", scenario=scenario, environment=Environment(version="0", python="3", platform="Linux")
    )
    header, end = to_lines(frame)
    with path.open("wb") as file:
        file.write(header)
        for number in range(1, _STREAMS + 1):
            file.write(msgspec.json.encode(stream(number, events // _STREAMS), enc_hook=stored) + b"\n")
        file.write(msgspec.json.encode({**msgspec.json.decode(end), "streams": _STREAMS}) + b"\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
