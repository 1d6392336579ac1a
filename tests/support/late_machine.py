"""What a late machine makes of a recording: the same streams, as they would have been stamped, and what it says of itself.

A machine that stands still for a while reads nothing meanwhile; afterwards it finds together what came. Where the kernel stamps and
lives on, a read has the time of its newest byte; where this process stamps, or the whole machine stood still, that of the end of the
standstill. The recording says so in the same way as a real one: by `error_ns` and `exact`, `clock`, and the lag of the loop.
"""

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from sse_check.recording import Calibration, Environment, Events, Reads, Recording, StreamRecording

_NS = 1_000_000_000
_SAMPLE_S = 0.02  # between two samples of the loop's lag
_TINY_NS = 50_000  # the error of a read that was not late


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """How a machine is late. `frozen` are its standstills: from when to when, in seconds since the run began, in order.

    `kernel`: the kernel stamps. `paused`: it stands still as well. `requests`: what was to be sent at that moment is late, too.
    `own_s` is what each stamp of this process is late by, at most. `calibration` is the error that was found before the run.
    """

    frozen: tuple[tuple[float, float], ...] = ()
    kernel: bool = True
    paused: bool = False
    requests: bool = False
    own_s: float = 0.0
    calibration: float | None = None


def seen_by(late: Late, recording: Recording, rng: random.Random) -> Recording:
    """The recording that this machine would have made."""
    streams = tuple(_seen(stream, late, rng) for stream in recording.streams)
    seen = msgspec.structs.replace(recording, streams=streams)
    return msgspec.structs.replace(seen, environment=_environment(seen, late))


def _environment(recording: Recording, late: Late) -> Environment:
    lasts = max((s.run_ns + s.times.ended_ns for s in recording.streams), default=0) / _NS
    lags = sorted(min(end, lasts) - begin for begin, end in late.frozen if begin < lasts)
    awake = max(0.0, lasts - sum(lags))
    samples = [late.own_s / 2] * max(1, int(awake / _SAMPLE_S)) + lags
    old, calibration = recording.environment, None
    if late.calibration is not None:
        e = late.calibration
        calibration = Calibration(samples=150, error_p50=e / 2, error_p99=e, error_max=e * 2, clock="kernel" if late.kernel else "user")
    samples.sort()
    return msgspec.structs.replace(
        old,
        loop_lag_p50=samples[len(samples) // 2],
        loop_lag_p99=samples[min(len(samples) - 1, int(len(samples) * 0.99))],
        loop_lag_max=max(samples[-1], late.own_s),
        loop_lag_samples=len(samples),
        calibration=calibration,
    )


def _seen(stream: StreamRecording, late: Late, rng: random.Random) -> StreamRecording:
    begins = [round(begin * _NS) for begin, _ in late.frozen]
    ends = [round(end * _NS) for _, end in late.frozen]
    zero = stream.run_ns

    def standstill(at: int) -> int | None:
        """The number of the standstill in which a moment of the run lies."""
        number = bisect_right(begins, at) - 1
        return number if number >= 0 and at < ends[number] else None

    at_zero = standstill(zero)
    shift = ends[at_zero] - zero if late.requests and at_zero is not None else 0
    # The head is read as the body is: as a read without an index.
    times = [] if stream.times.head_ns is None else [stream.times.head_ns]
    body = len(times)
    times += list(stream.reads.at_ns)
    groups: list[tuple[int | None, list[int]]] = []  # what is found together: in which standstill it came, and its numbers
    for number, at in enumerate(times):
        within = standstill(zero + at + shift)
        if within is not None and groups and groups[-1][0] == within:
            groups[-1][1].append(number)
        else:
            groups.append((within, [number]))
    stamps, before = dict[int, int](), zero
    columns: dict[str, list[int]] = {name: [] for name in Reads.__struct_fields__}
    index = dict[int, int]()
    for within, numbers in groups:
        came = zero + times[numbers[-1]] + shift
        since = came - _TINY_NS if within is None else begins[within]
        stamp = came
        if within is not None and (late.paused or not late.kernel):
            stamp = ends[within]
        if not late.kernel:
            stamp += rng.randrange(round(late.own_s * _NS) + 1)
            since = min(since, came - _TINY_NS)
        stamp = max(stamp, before)
        error = max(0, stamp - max(since, before))
        before = stamp
        reads = [number - body for number in numbers if number >= body]
        stamps |= dict.fromkeys(numbers, stamp - zero)
        if not reads:
            continue
        index |= dict.fromkeys(reads, len(columns["at_ns"]))
        of = stream.reads
        cut = bool(of.mid_event[reads[-1]]) if len(of.mid_event) else False
        columns["at_ns"].append(stamp - zero)
        columns["wire_bytes"].append(sum(of.wire_bytes[read] for read in reads))
        columns["body_bytes"].append(sum(of.body_bytes[read] for read in reads))
        columns["mid_event"].append(cut)
        columns["error_ns"].append(error)
        columns["exact"].append(late.kernel and not cut and within is None)
    end = zero + stream.times.ended_ns + shift
    end_within = standstill(end)
    ended = max(end if end_within is None else ends[end_within], before) - zero
    moved = {old: stamps[number] for number, old in enumerate(times)}
    return msgspec.structs.replace(
        stream,
        clock="kernel" if late.kernel else "user",
        times=msgspec.structs.replace(stream.times, head_ns=None if stream.times.head_ns is None else stamps[0], ended_ns=ended),
        reads=Reads(**columns),
        events=_moved(stream.events, columns["at_ns"], index),
        comments_ns=sorted(moved.get(at, at + shift) for at in stream.comments_ns),
    )


def _moved(events: Events, stamps: Sequence[int], index: dict[int, int]) -> Events:
    reads = [index.get(read, 0) for read in events.read]
    return msgspec.structs.replace(events, read=reads, at_ns=[stamps[read] for read in reads])
