"""What the pictures of a run show, as values: events over time, beside when they were sent or due, and what was found on them.

A drawing has nothing to work out any more; Markdown, the page and the terminal draw the same values. All times are
seconds from the moment the stream's request was sent.
"""

from array import array
from collections.abc import Iterable, Sequence
from itertools import chain, islice, pairwise
from operator import gt
from typing import Final, Literal

from msgspec import Struct

from sse_check.columns import Seconds
from sse_check.diagnosis import BUFFERING, Finding, by_stream
from sse_check.escape import quoted
from sse_check.metrics import StreamMetrics
from sse_check.recording import Factor, Phase, Reason, StreamRecording
from sse_check.report.names import stream_name
from sse_check.scenario import Criteria
from sse_check.units import format_duration
from sse_check.verdict import Outcome

_NS: Final = 1e9
_SEEN_S: Final = 0.01  # from here on a stretch is one, and no instant
_MAX_DUE: Final = 100_000  # events of a hint: as many as a scenario may expect

StepName = Literal["name lookup", "connect", "TLS", "waiting for the head", "waiting for the first event", "events", "silence"]
# In which phase a connection failed, by the reason of its end.
_FAILED_IN: Final[dict[Reason | None, StepName]] = {
    "dns": "name lookup",
    "tcp": "connect",
    "machine": "connect",
    "proxy": "connect",
    "tls": "TLS",
    "policy": "name lookup",
}

Beside = Literal["sent", "due", "sent, then due"]


class Step(Struct, frozen=True, kw_only=True):
    """One phase of a connection, for a waterfall."""

    name: StepName
    start: float
    end: float


class Mark(Struct, frozen=True, kw_only=True):
    """Where on a stream the evidence of a finding lies, or a limit that was judged by (`code` is empty then).

    From `start` to `end`; an instant where they are equal.
    """

    code: str
    text: str
    start: float
    end: float


class StreamPicture(Struct, frozen=True, kw_only=True):
    """One stream. The n-th of `received` is when its n-th event arrived.

    `beside` is when events were sent by the server's own stamps (on the clock of the fastest event), when they were due by
    the scenario's hints, or one after the other; `beside_is` says which. `alive` are heartbeats.
    """

    name: str
    probe: str
    stream: int
    phase: Phase
    factor: Factor | None
    passed: bool | None
    received: Sequence[float]
    beside: Sequence[float]
    beside_is: Beside | None
    alive: Sequence[float]
    end: float
    steps: tuple[Step, ...]
    marks: tuple[Mark, ...]


def pictures(outcome: Outcome, criteria: Criteria) -> tuple[StreamPicture, ...]:
    """Every stream of a run: those that the scenario asked for, the worst first, then those that explain them."""
    order = {f.probe: number for number, f in reversed(list(enumerate(outcome.findings)))}
    # Not good before not known before good; among those as the findings are, so that the cause comes first.
    worst = sorted(
        zip(outcome.metrics, outcome.passed, strict=True),
        key=lambda pair: (pair[1] is not False, pair[1] is True, order.get(pair[0].stream.probe, len(order))),
    )
    found = by_stream(outcome.findings)
    asked = [_picture(m, passed, found.get((m.stream.probe, m.stream.stream), ()), criteria) for m, passed in worst]
    others = [_picture(m, None, (), criteria) for m in (*outcome.follow_ups, *outcome.searches, *outcome.reconnects)]
    return (*asked, *others)


def _picture(m: StreamMetrics, passed: bool | None, findings: Iterable[Finding], criteria: Criteria) -> StreamPicture:
    stream = m.stream
    received = Seconds(stream.events.at_ns)
    beside, beside_is = _beside(m, received)
    return StreamPicture(
        name=stream_name(stream.probe, stream.stream, stream.phase, stream.factor, stream.arm),
        probe=stream.probe,
        stream=stream.stream,
        phase=stream.phase,
        factor=stream.factor,
        passed=passed,
        received=received,
        beside=beside,
        beside_is=beside_is,
        alive=Seconds(stream.comments_ns),
        end=m.ended,
        steps=_steps(stream, m),
        marks=(*(_mark(f, m, beside) for f in findings), *(_limits(m, criteria) if stream.factor is None else ())),
    )


def _beside(m: StreamMetrics, received: Sequence[float]) -> tuple[Sequence[float], Beside | None]:
    """When the events were sent by the server's own clock, else when they were due by the scenario's hints."""
    every = None if m.stream.arm is not None else m.probe.expect.every
    if m.stamps is not None:
        # What has no stamp is taken to have come at once, so that the n-th sent stays beside the n-th received.
        sent = array("d", received)
        for number, delay in zip(m.stamps.events, m.stamps.delays(), strict=True):
            sent[number] -= delay
        if any(map(gt, sent, islice(sent, 1, None))):
            sent = array("d", sorted(sent))
        missing = (m.probe.expect.events or 0) - len(received)
        if not every or missing <= 0:
            return sent, "sent"
        return array("d", chain(sent, (sent[-1] + number * every for number in range(1, missing + 1)))), "sent, then due"
    if not every:
        return (), None
    # The first was due at once, unless what came shows that the server began later.
    begin = max(0.0, min((at - number * every for number, at in enumerate(received)), default=0.0))
    count = m.probe.expect.events or int(min((m.ended - begin) / every, _MAX_DUE)) + 1
    return array("d", (begin + number * every for number in range(min(count, _MAX_DUE)))), "due"


def _steps(stream: StreamRecording, m: StreamMetrics) -> tuple[Step, ...]:
    """The phases of a connection that took place, one after the other."""
    times = stream.times
    events = stream.events.at_ns
    ends: list[tuple[StepName, int | None]] = [("name lookup", times.resolved_ns), ("connect", times.connected_ns), ("TLS", times.tls_ns)]
    # What never came was waited for to the end.
    if times.head_ns is None:
        ends.append((_FAILED_IN.get(stream.reason, "waiting for the head"), times.ended_ns))
    else:
        ends += [("waiting for the head", times.head_ns), ("waiting for the first event", events[0] if events else times.ended_ns)]
    if events:
        ends += [("events", max([events[-1], *stream.comments_ns[-1:]])), ("silence", times.ended_ns)]
    steps, at = [], times.started_ns
    for name, end in ends:
        if end is not None and end > at:
            steps.append(Step(name=name, start=at / _NS, end=end / _NS))
            at = end
    return tuple(steps)


def _mark(finding: Finding, m: StreamMetrics, sent: Sequence[float]) -> Mark:
    """Where on a stream a finding's evidence lies."""
    start, end = _lost(m, finding.evidence.get("counter")) if finding.code == "lost-events" else _where(finding.code, m, sent)
    # Of an instant it is where it lies that counts, and the chart shows that.
    took = f" for {format_duration(end - start)}" if end - start >= _SEEN_S else ""
    return Mark(code=finding.code, text=f"{finding.code}{took}", start=start, end=end)


def _where(code: str, m: StreamMetrics, sent: Sequence[float]) -> tuple[float, float]:
    """From when to when a fault shows."""
    received, alive_at = Seconds(m.stream.events.at_ns), Seconds(m.stream.comments_ns)
    first, last = (received[0], received[-1]) if received else (m.ended, m.connection or 0.0)
    alive = max([last, *alive_at])
    head = m.connection or 0.0
    if code in BUFFERING or code == "cached":
        # The event that was held back longest, from when it was sent to when it came.
        return max(zip(sent, received, strict=False), key=lambda pair: pair[1] - pair[0], default=(min(head, first), first))
    if code == "no-heartbeat":
        return _longest_pause([head, *sorted([*received, *alive_at]), m.ended])
    places = {
        "delayed-headers": (0.0, head),
        "slow-first-event": (min(head, first), first),
        "concurrency-limited": (0.0, first),
        "idle-timeout": (min(alive, m.ended), m.ended),
        "stalled": (min(alive, m.ended), m.ended),
        "redirected": (head, head),
    }
    start, end = places.get(code, (m.ended, m.ended))
    return start, max(start, end)


def _lost(m: StreamMetrics, counter: object) -> tuple[float, float]:
    """From the last event before the first gap in this stream's own numbers to the next."""
    events = m.stream.events
    column = next((values for name, values in events.numbers.items() if str(counter).endswith(quoted(name))), events.id)
    numbered = [(at / _NS, int(str(value))) for at, value in zip(events.at_ns, column, strict=False) if str(value).isdecimal()]
    steps = ((start, end) for (start, number), (end, later) in pairwise(numbered) if later - number not in (0, 1))
    return next(steps, (m.ended, m.ended))


def _longest_pause(at: Sequence[float]) -> tuple[float, float]:
    return max(pairwise(at), key=lambda pair: pair[1] - pair[0], default=(0.0, 0.0))


def _limits(m: StreamMetrics, criteria: Criteria) -> list[Mark]:
    """The limits that a stream has missed or outlived, where they lie on its picture."""
    marks = []
    if m.first_event is None or m.first_event > criteria.first_event:
        marks.append(Mark(code="", text="first event due", start=criteria.first_event, end=criteria.first_event))
    if criteria.deadline_from == "request":
        marks.append(Mark(code="", text="event deadline", start=criteria.event_deadline, end=criteria.event_deadline))
    return [mark for mark in marks if mark.start <= m.ended]
