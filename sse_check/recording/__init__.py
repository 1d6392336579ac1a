"""What was observed: frozen, without secrets, and on disk as NDJSON with a format version.

A recording holds no opinion. It is the seam between the two halves of sse-check: everything that judges is a function
of a recording and the scenario inside it, so `judge` needs no network.
"""

from sse_check.recording.lines import FORMAT_VERSION, from_lines, to_lines
from sse_check.recording.model import (
    CUT_SHORT,
    ENDED_EARLY,
    Arm,
    Calibration,
    Ended,
    Environment,
    Events,
    Factor,
    FallbackRecording,
    Head,
    Phase,
    Reads,
    Reason,
    Recording,
    RecordingError,
    Redirect,
    ServiceRecording,
    Shard,
    StampedBy,
    StreamRecording,
    Times,
)
from sse_check.recording.unfinished import Opened, Rows, beat_line, opened_line, rows_line

__all__ = [
    "CUT_SHORT",
    "ENDED_EARLY",
    "FORMAT_VERSION",
    "Arm",
    "Calibration",
    "Ended",
    "Environment",
    "Events",
    "Factor",
    "FallbackRecording",
    "Head",
    "Opened",
    "Phase",
    "Reads",
    "Reason",
    "Recording",
    "RecordingError",
    "Redirect",
    "Rows",
    "ServiceRecording",
    "Shard",
    "StampedBy",
    "StreamRecording",
    "Times",
    "beat_line",
    "from_lines",
    "opened_line",
    "rows_line",
    "to_lines",
]
