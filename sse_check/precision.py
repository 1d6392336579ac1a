"""How exactly events are timed: an instrument states its error.

The stamp of a read is that of its newest byte, if the kernel set it, and later than all of its bytes, if this process did.
So an event may have arrived before its stamp, never after it, and a recording says by how much at most.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, islice, repeat
from typing import Final

from msgspec import Struct

from sse_check.recording import Calibration, StreamRecording

# Errors are counted to three digits, rounded up: so a run of any length has no more than some thousands of them.
_DIGITS: Final = 3
_LONGEST_NS: Final = 24 * 3600 * 10**9  # no stream lasts longer
_PART: Final = 65_536  # errors that are counted at once


class MeasurementError(Struct, frozen=True, kw_only=True):
    """How much earlier than their stamps the events of a run may have arrived, in seconds: half of them, 99 of 100, and all at most.

    `first_p99` is that of 99 of 100 first events of a stream: it has no part in what came together later.
    """

    p50: float
    p99: float
    max: float
    first_p99: float


def event_errors(stream: StreamRecording, calibration: Calibration | None = None) -> "Sequence[int]":
    """How many nanoseconds before its stamp each event may have arrived, at most. Empty where that is not known.

    The last event of a read is exact where the kernel stamped it and nothing followed it in the read, not even a comment: the stamp
    is that of its last byte. None is taken to be more exact than what `calibration` showed of 99 of 100.
    """
    reads, read = stream.reads, stream.events.read
    if not reads.error_ns:
        return ()
    # A file may hold any number; no error is longer than a stream can last.
    least = 0 if calibration is None else round(min(max(calibration.error_p99, 0.0) * 1e9, _LONGEST_NS))
    whole = array("q", (least if error < least else min(error, _LONGEST_NS) for error in reads.error_ns))
    last = array("q", (least if exact else error for error, exact in zip(whole, reads.exact or repeat(0), strict=False)))
    known = range(len(whole))
    following = chain(islice(read, 1, None), [None])
    errors = ((last if now != later else whole)[now] if now in known else least for now, later in zip(read, following, strict=False))
    return array("q", errors)


def measurement_error(streams: Iterable[StreamRecording], calibration: Calibration | None = None) -> MeasurementError | None:
    """The error over all events of these streams; None where there is no event, or one of which it is not known."""
    counted: Counter[int] = Counter()
    first: Counter[int] = Counter()
    for stream in streams:
        errors = event_errors(stream, calibration)
        if len(errors) < len(stream.events):
            return None
        first.update(map(_rounded_up, errors[:1]))
        for begin in range(0, len(errors), _PART):
            for error, count in Counter(errors[begin : begin + _PART]).items():
                counted[_rounded_up(error)] += count
    if not counted:
        return None
    return MeasurementError(p50=_rank(counted, 50), p99=_rank(counted, 99), max=max(counted) / 1e9, first_p99=_rank(first, 99))


def _rank(counted: Counter[int], p: int) -> float:
    """The smallest error that at least `p` of 100 do not exceed, in seconds."""
    wanted, passed = -(-p * counted.total() // 100), 0
    for error, count in sorted(counted.items()):
        passed += count
        if passed >= wanted:
            return error / 1e9
    return 0.0


def _rounded_up(error: int) -> int:
    """To three digits: 12,341 -> 12,400."""
    step = int(10.0 ** max(0, len(str(error)) - _DIGITS))
    return -(-error // step) * step
