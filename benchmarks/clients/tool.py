"""sse-check's own recording, read as the other clients' output is: counts, and the error of each event's stamp.

    python tool.py recording.ndjson [--errors FILE] [--stated FILE]

An event's error is its arrival by the recording less the server's stamp in its data; `sent_at` is a float, so to 0.25 us.
--stated gets for each event what the recording says of its own error, where it says so.
"""

import argparse
import array
import json
import time
from pathlib import Path

from sse_check.precision import event_errors
from sse_check.recording import Calibration, StreamRecording, from_lines, to_lines


def errors(stream: StreamRecording) -> list[int]:
    """Arrival less sending, ns, of each event that says when it was sent."""
    zero = round(stream.sent_at * 1e9)
    return [zero + at - int(ts) for at, ts in zip(stream.events.at_ns, stream.events.numbers.get("ts", ()), strict=False) if ts is not None]


def stated(stream: StreamRecording, calibration: Calibration | None) -> list[int]:
    """The error that is stated for each of these events, ns; nothing where the recording states none."""
    pairs = zip(event_errors(stream, calibration), stream.events.numbers.get("ts", ()), strict=False)
    return [error for error, ts in pairs if ts is not None]


def main() -> None:
    """Read a recording, print its counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("recording", type=Path)
    parser.add_argument("--errors", type=Path)
    parser.add_argument("--stated", type=Path)
    args = parser.parse_args()
    with args.recording.open("rb") as lines:
        recording = from_lines(lines, file=args.recording.name)
    streams, environment = recording.streams, recording.environment
    if args.errors:
        args.errors.write_bytes(array.array("q", (e for s in streams for e in errors(s))).tobytes())
    if args.stated:
        args.stated.write_bytes(array.array("q", (e for s in streams for e in stated(s, environment.calibration))).tobytes())
    began = time.process_time()
    for _ in to_lines(recording):
        pass
    writing_s = time.process_time() - began
    figures = {
        "events": sum(len(errors(s)) for s in streams),
        "complete": sum(s.planned_end == "event" for s in streams),
        # What the process took while streams were open, and to write what it had recorded.
        "recording_s": environment.cpu_seconds + writing_s,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
