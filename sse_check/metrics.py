"""Arrivals into figures: pure functions of a recording. All results are in seconds unless their name says otherwise."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from operator import sub
from typing import Final

from sse_check.columns import Seconds
from sse_check.precision import event_errors
from sse_check.recording import ENDED_EARLY, Calibration, StreamRecording
from sse_check.scenario import Criteria, Probe
from sse_check.stamps import Stamps, find_both

_NS: Final = 1e9


@dataclass(frozen=True, slots=True)
class Reach:
    """What the events of a stream can come to: those on time, those that are not and never will be, and those that still may be.

    On time is what may have been, by the error with which it was measured. `open` is None where any number of events may still come on time; it is 0 for a stream that had its end.
    """

    on_time: int
    missed: int
    open: int | None = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamMetrics:
    """The figures of one stream; times count from the moment its request was sent.

    `expected` has no events that were not due yet when the run was ended early; `reach` has them.
    `longest_gap` is the longest time between two events that follow each other. Signs of life are events and comments:
    `pause` is the longest time between two of them, `silence` that between the last (else the head) and the stream's end.
    A server may answer before it is asked: what came before the request counts as come with it.
    `replayed` are time stamps which show that the events were made before they were asked for.

    An event may have arrived before its stamp: the first by `first_event_error`, 99 of 100 by no more than `error_p99`; None
    where that is not known. Counted from the earliest moments, `maybe_on_time` events are on time.
    """

    stream: StreamRecording
    probe: Probe
    stamps: Stamps | None
    replayed: Stamps | None
    total: int
    expected: int
    on_time: int
    reach: Reach
    maybe_on_time: int
    connection: float | None
    first_event: float | None
    last_event: float | None
    ended: float
    longest_gap: float | None
    pause: float
    silence: float
    first_event_error: float | None
    error_p99: float | None

    @property
    def success_rate(self) -> float:
        """On-time events of the expected ones, in percent: 19 of 20 -> 95.0. Nothing expected: 0.0."""
        return percent(self.on_time, self.expected)

    @property
    def median_gap(self) -> float | None:
        """The middle gap: of 0.1, 0.1, 5.0 -> 0.1. None with fewer than two events."""
        gaps = sorted(_gaps(self.stream.events.at_ns))
        return gaps[len(gaps) // 2] / _NS if gaps else None

    @property
    def span(self) -> float:
        """Seconds between the first and the last event: of 0.5, 1.5, 4.0 -> 3.5."""
        return (self.last_event or 0.0) - (self.first_event or 0.0)

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
        return tuple(max(0.0, at / _NS) for at, characters in pairs if characters > 0)

    @property
    def token_gap_median(self) -> float | None:
        """The middle time between two such events: at 0.9, 1.0, 1.1, 3.1 -> 0.1. None with fewer than two."""
        return percentile(tuple(_gaps(self.token_times)), 50)

    @property
    def token_gap_p99(self) -> float | None:
        """What 99 of 100 of these times do not exceed: at 0.9, 1.0, 1.1, 3.1 -> 2.0. None with fewer than two."""
        return percentile(tuple(_gaps(self.token_times)), 99)


def percentile(values: Sequence[float], p: int) -> float | None:
    """The smallest value that at least `p` of 100 do not exceed (nearest rank: the value of rank ceil(p * n / 100)).

    The 50th of 1, 2, 3, 4 is 2, the 99th is 4. None of no values.
    """
    return sorted(values)[max(0, -(-p * len(values) // 100) - 1)] if values else None


def _gaps(times: Sequence[float]) -> Iterator[float]:
    return map(sub, islice(times, 1, None), times)


def percent(part: int, whole: int) -> float:
    """`part` of `whole` in percent, down to a tenth: (19, 20) -> 95.0; (9999, 10000) -> 99.9; of nothing: 0.0.

    Never rounded up: all is said of all only.
    """
    return 1000 * part // whole / 10 if whole else 0.0


def measure(stream: StreamRecording, probe: Probe, criteria: Criteria, calibration: Calibration | None = None) -> StreamMetrics:
    """The figures of one stream. `calibration` says what the machine could resolve before the run."""
    at_ns = stream.events.at_ns
    at = Seconds(at_ns)
    stamps, replayed = find_both(stream, probe.timestamps)
    errors = event_errors(stream, calibration)
    in_time = sum(late <= criteria.event_deadline for late in lateness(at, stamps, criteria))
    maybe = in_time
    if errors and in_time < len(at):
        early = map(sub, lateness(at, stamps, criteria), Seconds(errors))
        maybe = sum(late <= criteria.event_deadline for late in early)
    head = None if stream.times.head_ns is None else max(0.0, stream.times.head_ns / _NS)
    ended = max(0.0, stream.times.ended_ns / _NS)
    if stream.reason in ENDED_EARLY:
        reach = reach_of(probe, criteria, came=len(at), on_time=maybe, age=ended)
        expected = max(reach.on_time + reach.missed, min(len(at), known_events(probe) or len(at)))
    else:
        expected = expected_events(stream, probe)
        reach = Reach(min(maybe, expected), max(0, expected - maybe))
    alive = sorted(chain(at_ns, stream.comments_ns))
    p99 = percentile(errors, 99)
    return StreamMetrics(
        stream=stream,
        probe=probe,
        stamps=stamps,
        replayed=replayed,
        total=len(at),
        expected=expected,
        on_time=min(in_time, expected),
        reach=reach,
        maybe_on_time=min(maybe, expected),
        connection=head,
        first_event=max(0.0, at[0]) if at else None,
        last_event=max(0.0, at[-1]) if at else None,
        ended=ended,
        longest_gap=max(0, max(_gaps(at_ns))) / _NS if len(at) > 1 else None,
        pause=max(_gaps(alive), default=0) / _NS,
        silence=max(0.0, ended - max([head or 0.0, *Seconds(alive[-1:])])),
        first_event_error=errors[0] / _NS if errors else None,
        error_p99=None if p99 is None else p99 / _NS,
    )


def may_still_be_due(m: StreamMetrics) -> bool:
    """Whether what is missing may only not have been due yet: sse-check itself ended the stream while it was alive."""
    return m.stream.ended == "timeout" and m.silence <= max(m.pause, 1.0) * 3


def lateness(at: Sequence[float], stamps: Stamps | None, criteria: Criteria) -> Iterable[float]:
    """What the event deadline is compared with, for each event.

    Counted from the `request`, from the `previous` event (the first from the request), or from when it was `sent` by
    the server's own stamp: then relative to the fastest event, and from the request where there are no stamps.

        request:   arrivals 1, 2, 30 -> 1, 2, 30
        previous:  arrivals 1, 2, 30 -> 1, 1, 28
    """
    if criteria.deadline_from == "previous":
        return map(sub, at, chain([0.0], at))
    if criteria.deadline_from == "sent" and stamps is not None:
        return chain(stamps.delays(), repeat(0.0, len(at) - len(stamps.sent)))
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
    if stream.reason == "machine":
        return 0  # it was never asked for
    if probe.expect.events is not None:
        return probe.expect.events
    came = len(stream.events)
    if probe.until.events is not None and stream.planned_end != "duration":
        return max(came, probe.until.events)
    owes_terminal = probe.until.terminal is not None and stream.planned_end is None
    broken = stream.ended in ("truncated", "reset", "error") or stream.head is None or (stream.ended == "eof" and came == 0)
    return came + 1 if owes_terminal or broken else came
