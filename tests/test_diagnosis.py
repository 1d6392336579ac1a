"""What each fault looks like, and what only resembles it: a false alarm costs more trust than a miss."""

import random
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from sse_check.diagnosis import FAULTS, Finding, follow_ups
from sse_check.recording import Redirect, StreamRecording
from sse_check.scenario import Compare
from tests.support.streams import NOW, answer, codes, every, judged, probe, scenario, stream

SECONDS_20 = every(1.0, 20)
HOP = Redirect(status=307, location="https://app.example.test/there", at_ns=10**7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A stream, what its probe says of it, and the codes that it must give: all of them and no other."""

    name: str
    observed: StreamRecording
    codes: tuple[str, ...] = ()
    plan: dict[str, Any] = field(default_factory=dict)
    lag: float = 0.0004
    beside: tuple[StreamRecording, ...] = ()  # opened together with it, or asked again


def named(cases: tuple[Case, ...]) -> list[Any]:
    return [pytest.param(case, id=case.name) for case in cases]


def jittered(times: list[float], by: float) -> list[float]:
    """The times with a delay of up to `by` on each, in order; the same at every run."""
    chance = random.Random(7)
    return sorted(t + chance.random() * by for t in times)


def in_bursts(of: int, gap: float, count: int) -> list[float]:
    """`count` bursts of `of` events each, `gap` seconds apart."""
    return [round(0.1 + burst * gap, 6) for burst in range(count) for _ in range(of)]


# --- no stream at all -------------------------------------------------------------------------------------------------

UNOPENED = (
    *(
        Case(name=f"refused: {reason}", observed=stream(head=None, ended="error", reason=reason, error="no", end=0.2), codes=("refused",))
        for reason in ("dns", "tcp", "tls", "proxy", "no-response")
    ),
    Case(
        name="refused: reset before an answer", observed=stream(head=None, ended="reset", reason="no-response", end=0.2), codes=("refused",)
    ),
    Case(
        name="refused, and nothing of what was due is reported beside it",
        observed=stream(head=None, ended="error", reason="tcp", end=0.2),
        codes=("refused",),
        plan={"expect": {"events": 20, "every": 1.0}, "until": {"event": "complete"}},
    ),
    *(
        Case(name=f"http-error: {status}", observed=stream(head=answer(status, reason="No"), body=20), codes=("http-error",))
        for status in (201, 206, 304, 400, 401, 403, 404, 429, 500, 502, 503, 504)
    ),
    Case(
        name="http-error: an error page is no truncated stream",
        observed=stream(head=answer(502, content_type="text/html"), body=500, ended="truncated"),
        codes=("http-error",),
        plan={"until": {"event": "complete"}},
    ),
    Case(name="not-sse: 204", observed=stream(head=answer(204, content_type=None)), codes=("not-sse",)),
    Case(name="not-sse: HTML", observed=stream(head=answer(content_type="text/html"), body=900, unknown_lines=9), codes=("not-sse",)),
    Case(name="not-sse: no type", observed=stream(SECONDS_20, head=answer(content_type=None)), codes=("not-sse",)),
    Case(
        name="not-sse: events under another type", observed=stream(SECONDS_20, head=answer(content_type="text/plain")), codes=("not-sse",)
    ),
    Case(name="not-sse: the right type on a page", observed=stream(body=900, unknown_lines=9), codes=("not-sse",)),
    Case(
        name="not-sse: the right type on JSON lines, kept open",
        observed=stream(body=90, unknown_lines=3, ended="timeout", end=30.0),
        codes=("not-sse",),
    ),
    Case(name="not-sse: nothing at all", observed=stream([]), codes=("not-sse",)),
    Case(name="not-sse: a line without an end", observed=stream(body=10**8, oversized=1, ended="timeout", end=30.0), codes=("not-sse",)),
    Case(name="not-sse: not its encoding", observed=stream(ended="error", reason="decode", error="bad gzip"), codes=("not-sse",)),
    Case(
        name="not-sse: not HTTP", observed=stream(head=None, ended="error", reason="protocol", error="bad status line"), codes=("not-sse",)
    ),
    Case(name="redirected", observed=stream(SECONDS_20, redirects=[HOP]), codes=("redirected",)),
    Case(
        name="redirected to a page",
        observed=stream(head=answer(content_type="text/html"), body=900, redirects=[HOP]),
        codes=("not-sse", "redirected"),
    ),
    Case(name="redirected to a missing page", observed=stream(head=answer(404), redirects=[HOP]), codes=("http-error", "redirected")),
)


# --- held back --------------------------------------------------------------------------------------------------------

HINTED = {"expect": {"events": 20, "every": 1.0}}
HELD = (
    Case(
        name="stamps: 20 s held, let go at the end", observed=stream([19.2] * 20, sent=SECONDS_20, head_at=19.2), codes=("buffered-full",)
    ),
    Case(name="stamps: head early, events late", observed=stream([19.2] * 20, sent=SECONDS_20, head_at=0.05), codes=("buffered-full",)),
    Case(
        name="stamps: a clock nine years off",
        observed=stream([19.2] * 20, sent=SECONDS_20, server_clock=NOW - 9 * 365 * 86400),
        codes=("buffered-full",),
    ),
    Case(
        name="stamps: whole seconds",
        observed=stream([19.2] * 20, fields={"t": [round(NOW) + n for n in range(20)]}),
        codes=("buffered-full",),
    ),
    Case(name="stamps: three events", observed=stream([1.2] * 3, sent=[0.1, 0.6, 1.1]), codes=("buffered-full",)),
    Case(
        name="stamps: two seconds, within every limit",
        observed=stream([1.9] * 20, sent=every(0.095, 20, first=0.05)),
        codes=("buffered-full",),
    ),
    Case(
        name="stamps: let go over a slow network", observed=stream(every(0.03, 20, first=19.2), sent=SECONDS_20), codes=("buffered-full",)
    ),
    Case(
        name="stamps: a heartbeat let go with them",
        observed=stream([19.2] * 20, sent=SECONDS_20, comments=[19.2] * 4),
        codes=("buffered-full",),
    ),
    Case(
        name="stamps in the IDs",
        observed=stream([19.2] * 20, ids=[str(round((NOW + t) * 1000)) for t in SECONDS_20]),
        codes=("buffered-full",),
    ),
    Case(
        name="stamps that the scenario names",
        observed=stream([19.2] * 20, fields={"uptime": [5000 + n * 1000 for n in range(20)]}),
        codes=("buffered-full",),
        plan={"timestamps": {"field": "uptime"}},
    ),
    Case(
        name="stamps: the stream ended by its terminal event",
        observed=stream([19.2] * 20, sent=SECONDS_20, ended="until", planned_end="event", end=19.2),
        codes=("buffered-full",),
        plan={"until": {"event": "complete"}},
    ),
    Case(name="hints", observed=stream([19.2] * 20, head_at=0.05), codes=("buffered-full",), plan=HINTED),
    Case(name="hints: head late as well", observed=stream([19.2] * 20, head_at=19.2), codes=("buffered-full",), plan=HINTED),
)

SLOW = (
    Case(
        name="slow: the head at once, the first event after 3 s",
        observed=stream(every(1, 9, first=3.0), head_at=0.05),
        codes=("slow-first-event",),
    ),
    Case(
        name="slow: by its own stamps",
        observed=stream(every(1, 9, first=3.0), sent=every(1, 9, first=2.9), head_at=0.05),
        codes=("slow-first-event",),
    ),
    Case(name="slow: the one event there is", observed=stream([5.0], head_at=0.1), codes=("slow-first-event",)),
    Case(
        name="slow: alive meanwhile",
        observed=stream(every(1, 9, first=4.0), head_at=0.05, comments=[1.0, 2.0]),
        codes=("slow-first-event",),
    ),
)


# --- cut off, stalled, lost -------------------------------------------------------------------------------------------

TERMINAL = {"until": {"event": "complete"}}
CUT = (
    Case(name="truncated: closed too early", observed=stream(every(1, 5), ended="truncated"), codes=("truncated",)),
    Case(name="truncated: reset", observed=stream(every(1, 5), ended="reset"), codes=("truncated",)),
    Case(name="truncated: before any event", observed=stream([], ended="truncated"), codes=("truncated",)),
    Case(name="truncated: within its first event", observed=stream(body=10, ended="truncated"), codes=("truncated",)),
    Case(name="truncated: reset within its first event", observed=stream(body=10, ended="reset"), codes=("truncated",)),
    Case(name="truncated: no terminal event", observed=stream(every(1, 5)), codes=("truncated",), plan=TERMINAL),
    Case(name="truncated: no terminal data", observed=stream(every(1, 5)), codes=("truncated",), plan={"until": {"data": "[DONE]"}}),
    Case(
        name="stalled: more were due",
        observed=stream(every(1, 5), ended="timeout", end=30.0),
        codes=("stalled",),
        plan={"expect": {"events": 20}},
    ),
    Case(
        name="stalled: more were due when the time was up",
        observed=stream(every(1, 5), ended="until", planned_end="duration", end=30.0),
        codes=("stalled",),
        plan={"expect": {"events": 20, "every": 1.0}, "until": {"duration": 30.0}},
    ),
    Case(
        name="stalled: as many as end it never came",
        observed=stream(every(1, 5), ended="timeout", end=30.0),
        codes=("stalled",),
        plan={"until": {"events": 20}},
    ),
    Case(name="stalled: no terminal event", observed=stream(every(1, 5), ended="timeout", end=30.0), codes=("stalled",), plan=TERMINAL),
    Case(name="stalled: not one event", observed=stream([], ended="timeout", end=30.0), codes=("stalled",), plan=TERMINAL),
    Case(name="stalled: no answer", observed=stream(head=None, ended="timeout", end=30.0), codes=("stalled",)),
    Case(
        name="lost: an ID is missing",
        observed=stream(every(0.1, 9), ids=["1", "2", "3", "4", "6", "7", "8", "9", "10"]),
        codes=("lost-events",),
    ),
    Case(
        name="lost: an ID again", observed=stream(every(0.1, 9), ids=["1", "2", "3", "4", "5", "4", "5", "6", "7"]), codes=("lost-events",)
    ),
    Case(
        name="lost: two IDs have changed places",
        observed=stream(every(0.1, 20), ids=list(map(str, [*range(9), 10, 9, *range(11, 20)]))),
        codes=("lost-events",),
    ),
    Case(
        name="lost: a sequence number is missing",
        observed=stream(every(0.1, 9), fields={"seq": [1, 2, 3, 4, 5, 6, 7, 9, 10]}),
        codes=("lost-events",),
    ),
    Case(
        name="lost: deeper in the data",
        observed=stream(every(0.1, 9), fields={"meta.index": [0, 1, 2, 3, 4, 5, 6, 8, 9]}),
        codes=("lost-events",),
    ),
)

NOISY = (Case(name="runner-noise", observed=stream(SECONDS_20), codes=("runner-noise",), lag=0.3),)


@pytest.mark.parametrize("case", named((*UNOPENED, *HELD, *SLOW, *CUT, *NOISY)))
def test_a_fault_is_named_and_nothing_else(case: Case):
    """
    Each of these streams has one fault (and perhaps a warning): it is named, and none of its consequences is.
    """
    observed = codes(case.observed, of=scenario(probe(**case.plan)), loop_lag_p99=case.lag)

    assert tuple(observed) == case.codes


def again(observed: StreamRecording, factor: str = "again", number: int = 1) -> StreamRecording:
    """The same as a follow-up."""
    return msgspec.structs.replace(observed, phase="follow-up", factor=factor, stream=number)


def numbered(*observed: StreamRecording) -> list[StreamRecording]:
    """Streams that were opened together."""
    return [msgspec.structs.replace(one, stream=number, phase="concurrency") for number, one in enumerate(observed, 1)]


def blocks(size: int, of: int, gap: float, count: int, *, cut: bool) -> StreamRecording:
    """`count` blocks of `of` events each, sent `gap` apart; each block is `size` bytes and may cut its last event."""
    sent = every(gap, of * count, first=0.0)
    arrivals = [round(sent[(n // of + 1) * of - 1] + 0.01, 6) for n in range(of * count)]
    made = stream(arrivals, sent=sent, head_at=0.01)
    reads = len(made.reads.at_ns)
    return msgspec.structs.replace(
        made, reads=msgspec.structs.replace(made.reads, body_bytes=[size] * reads, wire_bytes=[size] * reads, mid_event=[cut] * reads)
    )


HELD_WHOLE = stream([19.2] * 20, sent=SECONDS_20, head_at=0.05)
LATE_HEAD = stream(every(0.2, 10, first=1.8), head_at=1.8)
CUT_SILENT = stream(every(0.2, 5), ended="truncated", end=2.9)
UNENDED = stream(every(0.2, 12), ended="eof", end=2.5)
CUT_FLOWING = stream(every(0.2, 12), ended="truncated", end=2.5)
REPLAYED = stream([0.01] * 12, sent=every(0.15, 12, first=-60.0), head_at=0.01)
OVER_LIMIT = stream(head=answer(503), body=20)

COMPARED = (
    Case(
        name="compressed",
        observed=HELD_WHOLE,
        beside=(again(stream(SECONDS_20, sent=SECONDS_20), "identity"),),
        codes=("compressed-buffered",),
    ),
    Case(name="held without compression too", observed=HELD_WHOLE, beside=(again(HELD_WHOLE, "identity"),), codes=("buffered-full",)),
    Case(name="blocks that cut events", observed=blocks(4096, 7, 0.15, 4, cut=True), codes=("buffered-block",)),
    Case(name="whole events on a timer", observed=blocks(900, 5, 0.2, 4, cut=False), codes=("buffered-time",)),
    Case(name="two bunches", observed=stream([5.0] * 5 + [10.0] * 5, sent=every(1, 10), head_at=0.05), codes=("buffered-time",)),
    Case(
        name="a buffer that had to fill once",
        observed=stream([2.0] * 8 + every(0.25, 8, first=2.25), sent=every(0.25, 16, first=0.0)),
        codes=("buffered-block",),
    ),
    Case(name="one behind", observed=stream([1.0, 2.0, 3.0, 4.0, 5.0, 5.0], sent=every(1.0, 6, first=0.0)), codes=("one-behind",)),
    Case(name="late head, twice", observed=LATE_HEAD, beside=(again(LATE_HEAD),), codes=("delayed-headers",)),
    Case(name="cut in silence", observed=CUT_SILENT, codes=("idle-timeout",)),
    Case(name="cut in silence, twice", observed=CUT_SILENT, beside=(again(CUT_SILENT),), codes=("idle-timeout",)),
    Case(
        name="ended properly at one age, three times, without its last event",
        observed=UNENDED,
        beside=(again(UNENDED), again(UNENDED, number=2)),
        plan={"until": {"data": "[DONE]"}},
        codes=("truncated",),
    ),
    Case(
        name="cut at one age, three times",
        observed=CUT_FLOWING,
        beside=(again(CUT_FLOWING), again(CUT_FLOWING, number=2)),
        codes=("duration-limit",),
    ),
    Case(
        name="cut at any age",
        observed=CUT_FLOWING,
        beside=(again(CUT_FLOWING), again(stream(every(0.2, 5), ended="truncated", end=1.0), number=2)),
        codes=("truncated",),
    ),
    Case(name="old events, and the same ones again", observed=REPLAYED, beside=(again(REPLAYED),), codes=("cached",)),
    Case(
        name="old events, and a header that says so", observed=msgspec.structs.replace(REPLAYED, head=answer(age="60")), codes=("cached",)
    ),
    Case(
        name="some of four are refused",
        observed=numbered(stream(SECONDS_20))[0],
        beside=(*numbered(stream(SECONDS_20), stream(SECONDS_20), OVER_LIMIT, OVER_LIMIT)[1:], again(stream(SECONDS_20), "alone")),
        plan={"streams": 4},
        codes=("concurrency-limited",),
    ),
    Case(
        name="a reconnect that begins again",
        observed=stream(every(0.2, 6), ids=list("123456"), ended="truncated"),
        beside=(again(stream(every(0.2, 6), ids=list("123456")), "resume"),),
        codes=("truncated", "resume-broken"),
    ),
    Case(
        name="a reconnect that goes on",
        observed=stream(every(0.2, 6), ids=list("123456"), ended="truncated"),
        beside=(again(stream(every(0.2, 3), ids=list("789")), "resume"),),
        codes=("truncated",),
    ),
    Case(name="a long silence without a heartbeat", observed=stream([0.1, 20.0, 40.0]), codes=("no-heartbeat",)),
    Case(
        name="a heartbeat that does not come",
        observed=stream([0.1, 9.0, 9.1]),
        plan={"expect": {"heartbeat": 3.0}},
        codes=("no-heartbeat",),
    ),
    Case(name="nothing at all after the head", observed=stream([], ended="until", planned_end="duration", end=30.0), codes=("stalled",)),
    Case(
        name="an even pace, then silence",
        observed=stream(every(0.2, 8), ended="until", planned_end="duration", end=9.0),
        codes=("stalled",),
    ),
)


@pytest.mark.parametrize("case", named(COMPARED))
def test_a_second_look_or_a_shape_names_the_cause(case: Case):
    """
    What one look leaves open is decided by what was asked again, with one factor changed, or by the shape of the delivery.
    """
    assert codes(case.observed, *case.beside, of=scenario(probe(**case.plan))) == list(case.codes)


STILL_HEALTHY = (
    Case(name="a cold start, quick the second time", observed=LATE_HEAD, beside=(again(stream(every(0.2, 10))),)),
    Case(name="a history of old events on every connection, then live ones", observed=stream([0.1] * 9 + every(1.0, 9, first=1.1), sent=[*every(5.0, 9, first=-60.0), *every(1.0, 9, first=1.0)])),
    Case(name="every second event 0.2 s late", observed=stream([t + 0.2 * (n % 2 == 0) for n, t in enumerate(every(0.2, 16))], sent=every(0.2, 16))),
    Case(name="one hiccup of the network", observed=stream([*every(0.2, 9), 3.0, 3.0, 3.0, 3.0, 3.0, *every(0.2, 9, first=3.2)], sent=every(0.2, 23))),
    Case(name="four at once, all good", observed=numbered(stream(SECONDS_20))[0], beside=tuple(numbered(*[stream(SECONDS_20)] * 4)[1:]), plan={"streams": 4}),
)  # fmt: skip


@pytest.mark.parametrize("case", named(STILL_HEALTHY))
def test_a_second_look_raises_no_false_alarm(case: Case):
    """
    A second look that is fine, or a shape that chance can give, is no fault.
    """
    assert codes(case.observed, *case.beside, of=scenario(probe(**case.plan))) == []


def test_every_code_has_a_stream_that_raises_it():
    """
    A fault that no stream here shows is a fault that nobody knows we can see; what got worse takes two runs (test_baseline).
    """
    raised = {code for case in (*UNOPENED, *HELD, *SLOW, *CUT, *NOISY, *COMPARED) for code in case.codes}

    assert raised == {*FAULTS, "runner-noise"}


# --- what only resembles a fault --------------------------------------------------------------------------------------

HEALTHY = (
    Case(name="even", observed=stream(SECONDS_20)),
    Case(name="even, stamped", observed=stream(SECONDS_20, sent=every(1.0, 20, first=0.05))),
    Case(name="even, hinted", observed=stream(SECONDS_20), plan=HINTED),
    Case(name="even, counted", observed=stream(SECONDS_20, ids=list(map(str, range(20))), fields={"seq": list(range(1, 21))})),
    Case(name="jitter of half a second", observed=stream(jittered(SECONDS_20, 0.5), sent=SECONDS_20), plan=HINTED),
    Case(name="jitter of half a second, no stamps", observed=stream(jittered(SECONDS_20, 0.5)), plan=HINTED),
    Case(name="a minute", observed=stream(every(1.0, 60), sent=every(1.0, 60, first=0.05)), plan={"expect": {"events": 60, "every": 1.0}}),
    Case(name="ten minutes of slow events", observed=stream(every(30.0, 20))),
    Case(
        name="bursts, as the stamps say", observed=stream(in_bursts(5, 4.0, 5), sent=in_bursts(5, 4.0, 5)), plan={"expect": {"every": 0.8}}
    ),
    Case(name="bursts, no stamps, an average for a hint", observed=stream(in_bursts(5, 5.0, 4)), plan=HINTED),
    Case(
        name="one burst at the end, as the stamps say", observed=stream([0.1, *[9.0] * 19], sent=[0.1, *[9.0] * 19], end=9.0), plan=HINTED
    ),
    Case(name="all of it one late burst, as the stamps say", observed=stream([1.9] * 20, sent=[1.89] * 20), plan=HINTED),
    Case(name="cold start", observed=stream(every(1.0, 9, first=8.0), head_at=7.95)),
    Case(name="cold start, stamped", observed=stream(every(1.0, 9, first=8.0), head_at=7.95, sent=every(1.0, 9, first=7.94))),
    Case(name="heartbeats only", observed=stream([], comments=every(1.0, 20), ended="timeout")),
    Case(
        name="heartbeats only, as long as planned",
        observed=stream([], comments=every(5.0, 6), ended="until", planned_end="duration", end=30.0),
    ),
    Case(name="one event in all", observed=stream([0.1])),
    Case(
        name="one event in all, stamped and hinted",
        observed=stream([1.5], sent=[0.1], head_at=1.5),
        plan={"expect": {"events": 1, "every": 1.0}},
    ),
    Case(name="two events", observed=stream([1.5, 1.5], sent=[0.1, 1.1], head_at=1.5), plan={"expect": {"events": 2, "every": 1.0}}),
    Case(name="two events in one read by chance", observed=stream([0.1, 1.1, 1.1, 3.1, 4.1, 5.1], sent=[0.1, 1.09, 1.095, 3.1, 4.1, 5.1])),
    Case(name="events faster than the clock", observed=stream(every(0.0003, 2000), sent=every(0.0003, 2000))),
    Case(
        name="events faster than the clock's seconds",
        observed=stream(every(0.02, 200), fields={"t": [round(NOW) + n // 50 for n in range(200)]}),
    ),
    Case(
        name="many events in each of the clock's seconds",
        observed=stream(every(0.005, 1000), fields={"t": [round(NOW) + n // 200 for n in range(1000)]}),
    ),
    Case(name="ready at once", observed=stream([0.06] * 20), plan=HINTED),
    Case(name="ready at once, stamped", observed=stream([0.06] * 20, sent=[0.05] * 20), plan=HINTED),
    Case(name="ready after a cold start", observed=stream([1.5] * 20, sent=[1.45] * 20, head_at=1.4), plan=HINTED),
    Case(
        name="ready sooner than the hint allows for", observed=stream([0.95] * 3, head_at=0.9), plan={"expect": {"events": 3, "every": 1.0}}
    ),
    Case(name="ready after ten seconds, much sooner than the hint allows for", observed=stream([10.0] * 20, head_at=10.0), plan=HINTED),
    Case(
        name="ready at once, the clock's second just turning",
        observed=stream([0.55] * 6, head_at=0.5, fields={"t": [round(NOW)] * 3 + [round(NOW) + 1] * 3}),
    ),
    Case(name="a backlog of old events at once", observed=stream([0.1] * 20, sent=every(1.0, 20, first=-30.0))),
    Case(name="a backlog, then live events", observed=stream([0.1] * 5 + every(1.0, 15, first=1.0), sent=every(1.0, 20, first=-4.0))),
    Case(name="a short backlog after a short wait", observed=stream([0.8] * 5, sent=[-9.0, -8.7, -8.4, -8.0, -7.6], head_at=0.8)),
    Case(
        name="a hint that is far too long, and stamps that say so",
        observed=stream(every(0.2, 20), sent=every(0.2, 20)),
        plan={"expect": {"every": 5.0}},
    ),
    Case(name="a hint that is far too short", observed=stream(SECONDS_20, sent=SECONDS_20), plan={"expect": {"every": 0.01}}),
    Case(name="the first event at its limit", observed=stream(every(1, 9, first=2.0), head_at=0.05)),
    Case(name="ended where it was meant to", observed=stream(every(1, 5), ended="until", planned_end="event", end=4.1), plan=TERMINAL),
    Case(
        name="ended by the server with fewer events than would have ended it", observed=stream(every(1, 5)), plan={"until": {"events": 20}}
    ),
    Case(name="open and quiet, nothing known to be due", observed=stream(every(1, 5), ended="timeout", end=30.0)),
    Case(
        name="quiet when the planned time was up, before its terminal event",
        observed=stream(every(1, 5), ended="until", planned_end="duration", end=20.0),
        plan={"until": {"event": "complete", "duration": 20.0}},
    ),
    Case(name="all that was due, then quiet", observed=stream(SECONDS_20, ended="timeout", end=60.0), plan=HINTED),
    Case(name="stopped by a signal", observed=stream(every(1, 5), ended="timeout", reason="interrupted", end=30.0), plan=TERMINAL),
    Case(name="type with a parameter", observed=stream(every(1, 5), head=answer(content_type="Text/Event-Stream; charset=utf-8"))),
    Case(name="a retry and no event yet", observed=stream(body=12, retry_ms=1000, ended="timeout", end=30.0)),
    Case(name="IDs that are no numbers", observed=stream(every(0.1, 6), ids=["a1", "b7", "a3", "zz", "a4", "a9"])),
    Case(name="IDs of which some are no numbers", observed=stream(every(0.1, 6), ids=["1", "2", "3", "x", "9", "10"])),
    Case(name="IDs of other digits", observed=stream(every(0.1, 6), ids=["١", "٢", "٣", "٤", "٥", "٧"])),
    Case(name="IDs that grow by ten", observed=stream(every(0.1, 6), ids=["10", "20", "30", "40", "50", "60"])),
    Case(name="IDs that grow by chance", observed=stream(every(0.1, 6), ids=["10", "12", "31", "32", "50", "77"])),
    Case(name="IDs of a log: bytes", observed=stream(every(0.1, 6), ids=["0", "85", "170", "255", "300", "412"])),
    Case(
        name="IDs that are a clock of whole seconds",
        observed=stream(every(1.02, 12), ids=[str(round(NOW) + n + (n > 7)) for n in range(12)]),
    ),
    Case(name="no IDs", observed=stream(every(0.1, 6), ids=[""] * 6)),
    Case(
        name="IDs that carry on to events that set none", observed=stream(every(0.1, 9), ids=["1", "1", "2", "3", "3", "3", "4", "5", "6"])
    ),
    Case(name="IDs beyond any number", observed=stream(every(0.1, 6), ids=[str(10**n) for n in range(30, 36)])),
    Case(name="an index that begins again for each part", observed=stream(every(0.1, 20), fields={"index": [*range(10), *range(10)]})),
    Case(name="an index that stays for each part", observed=stream(every(0.1, 9), fields={"index": [0, 0, 0, 1, 1, 1, 2, 2, 2]})),
    Case(name="a gauge called count", observed=stream(every(0.1, 8), fields={"count": [5, 9, 7, 7, 12, 3, 4, 8]})),
    Case(name="a number that is no counter", observed=stream(every(0.1, 9), fields={"price": [1, 2, 3, 4, 5, 6, 7, 9, 10]})),
    Case(name="too few IDs to count", observed=stream(every(0.1, 3), ids=["1", "2", "9"])),
    Case(name="a machine that is a little late", observed=stream(SECONDS_20), lag=0.15),
)


@pytest.mark.parametrize("case", named(HEALTHY))
def test_no_false_alarm(case: Case):
    """
    Nothing is wrong with how this stream was delivered, so nothing is called an error.
    """
    outcome = judged(case.observed, *case.beside, of=scenario(probe(**case.plan)), loop_lag_p99=case.lag)

    assert [finding.code for finding in outcome.findings if finding.severity == "error"] == []


GIVEN_UP = (
    Case(name="given up as soon as it had answered", observed=stream([1.5], ended="timeout", end=2.0), plan=TERMINAL),
    Case(name="given up while events flowed", observed=stream(every(1, 30), ended="timeout", end=30.0), plan=TERMINAL),
    Case(name="given up while slow events flowed", observed=stream(every(9, 4), ended="timeout", end=36.0), plan=TERMINAL),
    Case(
        name="given up during a short pause of a fast stream", observed=stream(every(0.05, 570), ended="timeout", end=30.0), plan=TERMINAL
    ),
    Case(
        name="given up while heartbeats flowed",
        observed=stream(every(1, 5), comments=every(5, 6), ended="timeout", end=30.0),
        plan=TERMINAL,
    ),
)


@pytest.mark.parametrize("case", named(GIVEN_UP))
def test_a_living_stream_that_sse_check_gave_up_on_is_no_fault(case: Case):
    """
    Events or heartbeats still came when the time was up: that its last event had not come is a warning about the scenario.
    """
    findings = judged(case.observed, of=scenario(probe(**case.plan))).findings

    assert [(f.code, f.severity, f.confidence) for f in findings] == [("stalled", "warning", "possible")]


def test_what_may_have_been_held_back_is_not_blamed_on_the_application():
    """
    The head at once, then nothing, then all events together with the end: without stamps nobody knows who held them.
    """
    assert codes(stream([20.0] * 20, head_at=0.05)) == []


def test_a_first_event_that_its_stamp_shows_held_back_is_not_called_slow():
    """
    Sent at once and delivered after 4 s, while later ones came through: the application was not slow.
    """
    observed = stream([4.0, 4.1, 5.1, 6.1, 7.1], sent=[0.1, 4.05, 5.05, 6.05, 7.05], head_at=0.05)

    assert "slow-first-event" not in codes(observed)


# --- what a finding says ----------------------------------------------------------------------------------------------


def found(*streams: StreamRecording, **plan: Any) -> tuple[Finding, ...]:
    return judged(*streams, of=scenario(probe(**plan))).findings


def test_a_finding_carries_its_evidence_in_figures():
    """
    Sent over 19 s, arrived in one instant after 19.2 s: the finding gives the figures, and a cure with its source.
    """
    (finding,) = found(stream([19.2] * 20, sent=SECONDS_20, head_at=0.05))

    assert (finding.severity, finding.confidence, finding.probe, finding.streams) == ("error", "certain", "wallet", (1,))
    assert finding.evidence == {
        "sent_over": 19.0,
        "arrived_within": 0.0,
        "first_event": 19.2,
        "held_back_most": 19.0,
        "bunches": 1,
        "bytes_at_once": 60,
        "events_at_once": 20,
    }
    assert finding.fixes
    assert all(fix.where and fix.text and fix.source.startswith("https://") for fix in finding.fixes)


@pytest.mark.parametrize(("stamped", "source"), [(True, "the server's own time stamps"), (False, "the cadence that the scenario expects")])
def test_a_finding_says_where_it_is_known_from(stamped: bool, source: str):
    """
    The server's stamps go before the scenario's hints, and the message names what was used.
    """
    (finding,) = found(stream([19.2] * 20, sent=SECONDS_20 if stamped else None), expect={"every": 1.0})

    assert source in finding.message


def test_stamps_overrule_a_hint():
    """
    The hint says an event a second; the stamps show that the application wrote all twenty after 19 s: nothing was held back.
    """
    assert found(stream([19.2] * 20, sent=every(0.001, 20, first=19.1), head_at=19.15), expect={"every": 1.0}) == ()


@pytest.mark.parametrize(("stamped", "confidence"), [(True, "certain"), (False, "likely")])
def test_a_slow_application_is_certain_only_by_its_stamps(stamped: bool, confidence: str):
    """
    Without stamps a late first event may also have been held back: the finding says that it is only likely.
    """
    (finding,) = found(stream(every(1, 9, first=3.0), sent=every(1, 9, first=2.9) if stamped else None, head_at=0.05))

    assert (finding.code, finding.confidence) == ("slow-first-event", confidence)


def test_every_code_has_a_cure():
    """
    Whatever is found comes with what to change, where, and who says so.
    """
    findings = [f for case in (*UNOPENED, *HELD, *SLOW, *CUT) for f in found(case.observed, **case.plan)]

    assert {f.code for f in findings if not f.fixes} == set()


def test_streams_of_one_probe_share_a_finding():
    """
    One fault of one probe is one finding: it lists the streams that show it, and only those.
    """
    streams = [stream(every(1, 5), number=n, ended="reset" if n > 1 else "eof") for n in (1, 2, 3)]

    assert [(f.code, f.streams) for f in found(*streams)] == [("truncated", (2, 3))]


def test_the_clearest_stream_speaks_for_all():
    """
    Where one stream is certain and another only likely, the finding is certain and has that one's figures.
    """
    likely = stream(every(1, 9, first=3.0), head_at=0.05)
    certain = stream(every(1, 9, first=4.0), sent=every(1, 9, first=3.9), head_at=0.05, number=2)
    (finding,) = found(likely, certain)

    assert (finding.confidence, finding.evidence["first_event"], finding.streams) == ("certain", 4.0, (1, 2))


def test_probes_have_findings_of_their_own():
    """
    The same fault in two probes is two findings, in the order of the probes.
    """
    plan = scenario(probe("a"), probe("b"))

    assert [
        (f.code, f.probe) for f in judged(stream(head=answer(404), probe="a"), stream(head=answer(404), probe="b"), of=plan).findings
    ] == [
        ("http-error", "a"),
        ("http-error", "b"),
    ]


def test_errors_come_before_warnings_and_causes_before_consequences():
    """
    In one run: what was never opened, what was held back, what was cut and what lost events, in this order; then the warnings.
    """
    plan = scenario(*(probe(name) for name in ("late", "lossy", "cut", "held", "gone")))
    outcome = judged(
        stream(SECONDS_20, probe="late", redirects=[HOP]),
        stream(every(0.1, 9), fields={"seq": [1, 2, 3, 4, 5, 6, 7, 9, 10]}, probe="lossy"),
        stream(every(1, 5), ended="reset", probe="cut"),
        stream([19.2] * 20, sent=SECONDS_20, probe="held"),
        stream(head=None, ended="error", reason="dns", probe="gone"),
        of=plan,
        loop_lag_p99=0.3,
    )

    assert [f.code for f in outcome.findings] == ["refused", "buffered-full", "truncated", "lost-events", "redirected", "runner-noise"]


def test_faults_of_one_stream_that_are_no_consequence_of_each_other_stand_together():
    """
    A stream that began late, lost an event and was cut has three faults; the cut comes first.
    """
    observed = stream(every(1, 9, first=3.0), ids=["1", "2", "3", "4", "5", "6", "7", "9", "10"], ended="reset", head_at=0.05)

    assert codes(observed) == ["truncated", "slow-first-event", "lost-events"]


def test_the_noise_that_is_too_much_depends_on_what_is_judged():
    """
    A tenth of the shortest limit is too late: 60 ms are fine for two seconds, and too much for half a second.
    """
    observed = stream(SECONDS_20)

    assert codes(observed, loop_lag_p99=0.06) == []
    assert codes(observed, of=scenario(first_event=0.5), loop_lag_p99=0.06) == ["runner-noise"]


# --- held back, as the same stream shows that was asked past the proxies ------------------------------------------------

PAST_THE_PROXIES: dict[str, Any] = {"compare": Compare(direct="http://app:8000/events")}


def beside(held: StreamRecording, direct: StreamRecording) -> list[Finding]:
    """What is found in a stream whose server says nothing of when it sent, beside the same one past the proxies."""
    again = msgspec.structs.replace(direct, phase="follow-up", factor="direct")
    return list(judged(held, again, of=scenario(probe(**PAST_THE_PROXIES))).findings)


def test_a_buffer_is_proven_by_the_application_itself():
    """
    All at once through the proxies, one after the other past them: held back whole, without any stamp or hint.
    """
    (finding,) = beside(stream([0.9] * 9, head_at=0.9), stream(every(0.1, 9)))
    assert (finding.code, finding.confidence) == ("buffered-full", "certain")
    assert "asked directly" in finding.message


@pytest.mark.parametrize(
    ("through", "past"),
    [
        (stream([0.9] * 9, head_at=0.9), stream([0.9] * 9, head_at=0.9)),  # the application itself answers at once
        (stream(every(0.1, 9)), stream(every(0.1, 9))),
        (stream([0.45] * 9, head_at=0.45), stream(every(0.3, 9))),  # sooner than the application needs: from elsewhere
        (stream([0.9] * 9, head_at=0.9), stream([0.1, 0.9])),  # too few to compare
    ],
)
def test_what_the_application_does_itself_is_not_the_proxys(through: StreamRecording, past: StreamRecording):
    """
    The second view has to differ, and the first has to wait for all that the second one shows.
    """
    assert [f.code for f in beside(through, past)] == []


def test_the_application_is_asked_wherever_all_came_at_once():
    """
    Even where no criterion is missed: only the second view tells a buffer from an application that answers so.
    """
    plan = scenario(probe(**PAST_THE_PROXIES))
    asked = [f.factor for f in follow_ups(judged(stream([0.9] * 9, head_at=0.9), of=plan).metrics)]
    assert asked == ["direct"]
    assert follow_ups(judged(stream(every(0.1, 9)), of=plan).metrics) == ()
