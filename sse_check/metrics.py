"""Arrivals into figures: pure functions of a recording. All results are in seconds unless their name says otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from sse_check.recording import StreamRecording
from sse_check.scenario import Criteria, Probe
from sse_check.stamps import Stamps, find_stamps

_NS: Final = 1e9


@dataclass(frozen=True, slots=True)
class Reach:
    """What the events of a stream can come to: those on time, those that are not and never will be, and those that still may be.

    `open` is None where any number of events may still come on time; it is 0 for a stream that had its end.
    """

    on_time: int
    missed: int
    open: int | None = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamMetrics:
    """The figures of one stream; times count from the moment its request was sent.

    `expected` has no events that were not due yet when the run was ended early; `reach` has them.
    `gaps` are the times between events that follow each other. Signs of life are events and comments: `pause` is the
    longest time between two of them, `silence` that between the last (else the head) and the stream's end.
    """

    stream: StreamRecording
    probe: Probe
    stamps: Stamps | None
    total: int
    expected: int
    on_time: int
    reach: Reach
    connection: float | None
    first_event: float | None
    last_event: float | None
    ended: float
    gaps: tuple[float, ...]
    pause: float
    silence: float

    @property
    def success_rate(self) -> float:
        """On-time events of the expected ones, in percent: 19 of 20 -> 95.0. Nothing expected: 0.0."""
        return percent(self.on_time, self.expected)

    @property
    def median_gap(self) -> float | None:
        """The middle gap: of 0.1, 0.1, 5.0 -> 0.1. None with fewer than two events."""
        return sorted(self.gaps)[len(self.gaps) // 2] if self.gaps else None

    @property
    def delay_p99(self) -> float | None:
        """How much longer than the fastest event 99 of 100 took, by the server's own stamps. None without stamps."""
        return None if self.stamps is None else percentile(self.stamps.delays(), 99)

    @property
    def token_times(self) -> tuple[float, ...]:
        """When the events came that bring generated text, or a call's progress; of probes with a preset only.

        Events at 0.2, 0.9, 1.0 with 0, 3, 4 characters -> 0.9, 1.0.
        """
        pairs = zip(self.stream.events.at_ns, self.stream.events.tokens, strict=False)
        return tuple(at / _NS for at, characters in pairs if characters > 0)

    @property
    def token_gap_median(self) -> float | None:
        """The middle time between two such events: at 0.9, 1.0, 1.1, 3.1 -> 0.1. None with fewer than two."""
        return percentile(_gaps(self.token_times), 50)

    @property
    def token_gap_p99(self) -> float | None:
        """What 99 of 100 of these times do not exceed: at 0.9, 1.0, 1.1, 3.1 -> 2.0. None with fewer than two."""
        return percentile(_gaps(self.token_times), 99)


def percentile(values: Sequence[float], p: int) -> float | None:
    """The smallest value that at least `p` of 100 do not exceed (nearest rank: the value of rank ceil(p * n / 100)).

    The 50th of 1, 2, 3, 4 is 2, the 99th is 4. None of no values.
    """
    return sorted(values)[max(0, -(-p * len(values) // 100) - 1)] if values else None


def _gaps(times: Sequence[float]) -> tuple[float, ...]:
    return tuple(later - earlier for earlier, later in pairwise(times))


def percent(part: int, whole: int) -> float:
    """`part` of `whole` in percent, down to a tenth: (19, 20) -> 95.0; (9999, 10000) -> 99.9; of nothing: 0.0.

    Never rounded up: all is said of all only.
    """
    return 1000 * part // whole / 10 if whole else 0.0


def measure(stream: StreamRecording, probe: Probe, criteria: Criteria) -> StreamMetrics:
    """The figures of one stream."""
    at = [t / _NS for t in stream.events.at_ns]
    stamps = find_stamps(stream, probe.timestamps)
    head = None if stream.times.head_ns is None else stream.times.head_ns / _NS
    ended = stream.times.ended_ns / _NS
    in_time = sum(late <= criteria.event_deadline for late in lateness(at, stamps, criteria))
    if stream.reason == "decided":
        reach = reach_of(probe, criteria, came=len(at), on_time=in_time, age=ended)
        expected = max(reach.on_time + reach.missed, min(len(at), known_events(probe) or len(at)))
    else:
        expected = expected_events(stream, probe)
        reach = Reach(min(in_time, expected), max(0, expected - in_time))
    alive = sorted([*at, *(t / _NS for t in stream.comments_ns)])
    return StreamMetrics(
        stream=stream,
        probe=probe,
        stamps=stamps,
        total=len(at),
        expected=expected,
        on_time=reach.on_time,
        reach=reach,
        connection=head,
        first_event=at[0] if at else None,
        last_event=at[-1] if at else None,
        ended=ended,
        gaps=tuple(later - earlier for earlier, later in pairwise(at)),
        pause=max((later - earlier for earlier, later in pairwise(alive)), default=0.0),
        silence=ended - max([head or 0.0, *alive[-1:]]),
    )


def may_still_be_due(m: StreamMetrics) -> bool:
    """Whether what is missing may only not have been due yet: sse-check itself ended the stream while it was alive."""
    return m.stream.ended == "timeout" and m.silence <= max(m.pause, 1.0) * 3


def lateness(at: list[float], stamps: Stamps | None, criteria: Criteria) -> list[float]:
    """What the event deadline is compared with, for each event.

    Counted from the `request`, from the `previous` event (the first from the request), or from when it was `sent` by
    the server's own stamp: then relative to the fastest event, and from the request where there are no stamps.

        request:   arrivals 1, 2, 30 -> 1, 2, 30
        previous:  arrivals 1, 2, 30 -> 1, 1, 28
    """
    if criteria.deadline_from == "previous":
        return [now - before for before, now in zip([0.0, *at], at, strict=False)]
    if criteria.deadline_from == "sent" and stamps is not None:
        unstamped = len(at) - len(stamps.sent)
        return [*stamps.delays(), *[0.0] * unstamped]
    return at


def known_events(probe: Probe) -> int | None:
    """How many events a stream of this probe owes, whatever comes of it; None where that depends on what comes."""
    if probe.expect.events is not None:
        return probe.expect.events
    return probe.until.events if probe.until.duration is None else None


def owes_an_event(probe: Probe) -> bool:
    """Whether a stream of this probe that brings no event misses one, however it ends; else it may just have nothing to tell."""
    return known_events(probe) is not None or (probe.until.terminal is not None and probe.until.duration is None)


def reach_of(probe: Probe, criteria: Criteria, *, came: int, on_time: int, age: float, over: bool = False) -> Reach:
    """What the events of a stream can come to that has been open for `age` seconds; `over` where it had its end.

    Counted from the request, what comes after the deadline is late. Counted from the event before, any event may be on time,
    up to `until.events` of them. By the server's stamps nothing is sure before the end: a faster event makes others late.

        20 due within 25 s, 10 came in time, after 30 s: 10 on time, 10 missed, none open
        the same after 20 s:                             10 on time, none missed, 10 open
    """
    due = known_events(probe)
    over = over or (criteria.deadline_from == "request" and age > criteria.event_deadline)
    if due is None:
        return Reach(on_time, came - on_time, 0 if over else None)
    on_time = min(on_time, due)
    if criteria.deadline_from == "sent" and not over:
        return Reach(on_time, 0, due - on_time)
    left = due - on_time if probe.until.events is None else min(due - on_time, max(0, probe.until.events - came))
    still = 0 if over else left
    return Reach(on_time, due - on_time - still, still)


def expected_events(stream: StreamRecording, probe: Probe) -> int:
    """How many events the stream should have had: those that are missing count as late.

    What the scenario says (`expect.events`, else `until.events`). Otherwise what came, and one more where the stream
    owes one: its terminal event that never arrived, or a first event where there was none and an answer was due.
    """
    if probe.expect.events is not None:
        return probe.expect.events
    came = len(stream.events)
    if probe.until.events is not None and stream.planned_end != "duration":
        return max(came, probe.until.events)
    owes_terminal = probe.until.terminal is not None and stream.planned_end is None
    broken = stream.ended in ("truncated", "reset", "error") or stream.head is None or (stream.ended == "eof" and came == 0)
    return came + 1 if owes_terminal or broken else came
