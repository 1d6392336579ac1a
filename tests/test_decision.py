"""An early end: only where nothing that may still come can change the verdict, and the shortened recording says the same."""

import asyncio
import itertools
from array import array
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sse_check.baseline import compare
from sse_check.decision import rate_lost
from sse_check.early import Early
from sse_check.live import LiveStream
from sse_check.metrics import Reach, reach_of
from sse_check.pipeline import check
from sse_check.plan import StreamPlan
from sse_check.probe import Stop
from sse_check.recording import Head, Recording, StreamRecording, from_lines, to_lines
from sse_check.redaction import Redactor
from sse_check.report import build_report, junit_xml, report_html, summary_markdown
from sse_check.report.result import as_run
from sse_check.report.terminal import terminal_text
from sse_check.scenario import Criteria, Expect, Scenario, Until, load
from sse_check.schedule import Run, run
from sse_check.transport import End, Request, Trace
from sse_check.verdict import judge
from tests.support.servers import SSE_HEAD, chunk, raw_server
from tests.support.streams import OK, answer, every, judged, ns, probe, recording, scenario, stream

STEP: Final = 0.25
SENT: Final = 1_000  # nanoseconds: no zero that a mistake would hide behind
Draw = Callable[[st.SearchStrategy[Any]], Any]


# --- every continuation ------------------------------------------------------------------------------------------------

PLANS = st.builds(
    scenario,
    st.builds(
        probe,
        streams=st.sampled_from([None, 2, 3]),
        until=st.builds(
            Until,
            events=st.sampled_from([None, None, 4, 8]),
            event=st.sampled_from([None, None, "complete"]),
            duration=st.sampled_from([None, None, 6.0]),
        ),
        expect=st.builds(Expect, events=st.sampled_from([None, None, 4, 6, 10]), every=st.sampled_from([None, 0.5])),
    ),
    success_rate=st.sampled_from([50.0, 90.0, 100.0]),
    confidence=st.sampled_from([None, 80.0, 95.0]),
    event_deadline=st.sampled_from([1.0, 3.0]),
    first_event=st.just(1.0),
    deadline_from=st.sampled_from(["request", "previous", "sent"]),
)
GAPS = st.sampled_from([0.0, 0.1, 0.4, 0.6, 1.05, 1.3, 2.6, 3.04, 3.4])
ENDS = st.sampled_from(["eof", "eof", "timeout", "timeout", "truncated", "reset"])
HEADS = st.sampled_from([*[OK] * 30, answer(503), answer(content_type="text/html")])


def going_on(
    draw: Draw,
    of: Scenario,
    so_far: Sequence[tuple[float, str]] = (),
    *,
    after: float = 0.0,
    head: Head | None = None,
    number: int = 1,
    error: int | None = None,
    **rest: Any,
) -> StreamRecording:
    """A stream that begins with these events (when, type), goes on in some way from `after` on, and ends as its plan or its server wants it."""
    until = of.probes[0].until
    if head is None and after == 0.0 and draw(st.integers(0, 39)) == 7:
        return stream(head=None, ended="error", reason="dns", end=0.3, number=number, **rest)
    head = head or draw(HEADS)
    events, at, planned = list(so_far), after, None
    if head.status == 200:
        for gap in draw(st.lists(GAPS, max_size=10)):
            at += gap
            kind = draw(st.sampled_from(["message", "message", "message", "complete"]))
            if until.duration is not None and at >= until.duration:
                break
            events.append((at, kind))
            planned = "event" if kind == until.event else "events" if len(events) == until.events else None
            if planned is not None:
                break
    end = max(at, after) + draw(st.sampled_from([0.01, 0.5, 4.0]))
    ended = draw(ENDS)
    if planned is not None:
        end, ended = events[-1][0] + 0.001, "until"
    elif until.duration is not None and end >= until.duration:
        end, ended, planned = until.duration, "until", "duration"
    sent = [max(0.0, at - draw(st.sampled_from([0.0, 0.02, 0.6]))) for at, _ in events] if draw(st.booleans()) else None
    observed = stream(
        [at for at, _ in events],
        types=[kind for _, kind in events],
        sent=sent,
        head=head,
        head_at=min([0.05, *(at for at, _ in events)]),
        ended=ended,
        planned_end=planned,
        end=end,
        number=number,
        **rest,
    )
    # Each read may have been so late: less than what is noise by the shortest limit here.
    errors = [draw(st.sampled_from([0, ns(0.09)])) if error is None else error] * len(observed.reads.at_ns)
    return msgspec.structs.replace(observed, reads=msgspec.structs.replace(observed.reads, error_ns=errors))


def lived(full: StreamRecording, live: LiveStream, now: float) -> None:
    """What is known of a stream at a moment of it."""
    at = ns(now)
    live.traces[:] = [Trace(started_ns=0, sent_ns=SENT)]
    ended = full.times.ended_ns <= at
    if full.times.head_ns is not None and full.times.head_ns <= at:
        live.head_seen = full.head
    live.events_ns[:] = array("q", [SENT + t for t in full.events.at_ns if t <= at])
    live.event_reads[:] = array("I", full.events.read[: len(live.events_ns)])
    live.errors_ns[:] = array(
        "q", [e for e, t in zip(full.reads.error_ns or [0] * len(full.reads.at_ns), full.reads.at_ns, strict=True) if t <= at]
    )
    if ended:
        live.planned_end = full.planned_end
        live.end = End(ended=full.ended, at_ns=SENT + full.times.ended_ns, reason=full.reason)


def cut(full: StreamRecording, now: float) -> StreamRecording:
    """The recording of a stream that was ended at a moment for what others, or itself, had shown."""
    at = ns(now)
    if full.times.ended_ns <= at:
        return full
    came = sum(t <= at for t in full.events.at_ns)
    reads = sum(t <= at for t in full.reads.at_ns)
    seen = full.times.head_ns is not None and full.times.head_ns <= at

    def first(columns: Any, count: int, **others: Any) -> Any:
        plain = {name: column[:count] for name in columns.__struct_fields__ if not isinstance(column := getattr(columns, name), dict)}
        return msgspec.structs.replace(columns, **plain, **others)

    numbers = {name: column[:came] for name, column in full.events.numbers.items()}
    return msgspec.structs.replace(
        full,
        head=full.head if seen else None,
        times=msgspec.structs.replace(full.times, head_ns=full.times.head_ns if seen else None, ended_ns=at),
        events=first(full.events, came, numbers=numbers),
        reads=first(full.reads, reads),
        ended="timeout",
        planned_end=None,
        reason="decided",
    )


def plans(of: Scenario) -> list[StreamPlan]:
    one = of.probes[0]
    request = Request(method="GET", url="https://app.example.test/events", headers=())
    return [
        StreamPlan(probe=one.name, stream=number, phase="stream", request=request, until=one.until, timeout=99.0)
        for number in range(1, one.stream_count + 1)
    ]


def decided_at(fulls: Sequence[StreamRecording], of: Scenario) -> tuple[float, str] | None:
    """When the run is ended for what these streams show, while one of them is open, and why."""
    early, lives = Early(of, Redactor()), [LiveStream(plan) for plan in plans(of)]
    now = STEP
    while any(full.times.ended_ns > ns(now) for full in fulls):
        for full, live in zip(fulls, lives, strict=True):
            lived(full, live, now)
        why = early.now(lives, SENT + ns(now), 0.0)
        if why is not None:
            return now, why
        now += STEP
    return None


@settings(max_examples=600, suppress_health_check=[HealthCheck.filter_too_much])
@given(PLANS, st.data())
def test_what_ends_a_run_early_holds_whatever_would_have_come(of: Scenario, data: st.DataObject):
    """
    A run is ended while streams are open: what was recorded is not viable, and so it would have been however they had gone on,
    and whatever the follow-ups show.
    """
    numbers = range(1, of.probes[0].stream_count + 1)
    fulls = [going_on(data.draw, of, number=n) for n in numbers]
    decided = decided_at(fulls, of)
    assume(decided is not None)
    assert decided is not None
    now, why = decided
    shortened = [cut(full, now) for full in fulls]
    assert judge(recording(*shortened, scenario=of, decided=why)).verdict == "not-viable", why
    others = [
        s
        if s.reason != "decided"
        else going_on(
            data.draw,
            of,
            list(zip([at / 1e9 for at in s.events.at_ns], s.events.type, strict=True)),
            after=now + 0.001,
            head=s.head,
            number=s.stream,
            error=next(iter(s.reads.error_ns), None),
        )
        for s in shortened
    ]
    factors = data.draw(st.lists(st.sampled_from(["again", "alone", "identity", "resume", "direct"]), max_size=3))
    twins = [going_on(data.draw, of, phase="follow-up", factor=factor, number=1) for factor in factors]
    assert judge(recording(*others, *twins, scenario=of)).verdict == "not-viable", why
    assert judge(recording(*shortened, *twins, scenario=of, decided=why)).verdict == "not-viable", why


@settings(max_examples=300, suppress_health_check=[HealthCheck.filter_too_much])
@given(PLANS, st.data())
def test_what_keeps_a_run_from_going_on_holds_whatever_else_is_asked(of: Scenario, data: st.DataObject):
    """
    A probe is over and nothing more is asked: follow-ups and further probes would not have changed the verdict.
    """
    fulls = [going_on(data.draw, of, number=n) for n in range(1, of.probes[0].stream_count + 1)]
    why = Early(of, Redactor()).after(fulls, 0.0)
    assume(why is not None)
    more = msgspec.structs.replace(of, probes=(*of.probes, probe("another")))
    factors = data.draw(st.lists(st.sampled_from(["again", "alone", "identity", "resume", "direct"]), max_size=3))
    twins = [going_on(data.draw, of, phase="follow-up", factor=factor, number=1) for factor in factors]
    rest = [going_on(data.draw, more, probe="another")] if data.draw(st.booleans()) else []

    assert judge(recording(*fulls, *twins, *rest, scenario=more)).verdict == "not-viable", why


# --- what is certain, and what is not ------------------------------------------------------------------------------------


def looked(full: StreamRecording, of: Scenario, now: float, lag: float = 0.0) -> str | None:
    """What a look at this stream says at a moment of it."""
    live = LiveStream(plans(of)[0])
    lived(full, live, now)
    return Early(of, Redactor()).now([live], SENT + ns(now), lag)


SILENT: Final = stream(head_at=0.1, ended="timeout", end=30.0)
FLOWING: Final = stream(every(0.5, 60), ended="timeout", end=30.0)


@pytest.mark.parametrize(
    ("full", "plan", "now", "why"),
    [
        pytest.param(SILENT, {"until": {"events": 5}}, 1.9, None, id="the first event may still be in time"),
        pytest.param(SILENT, {"until": {"events": 5}}, 2.1, "no first event came within 2s.", id="the first event is missing"),
        pytest.param(SILENT, {}, 20.0, None, id="silent, and nothing is owed"),
        pytest.param(SILENT, {"until": {"event": "x", "duration": 29.0}}, 20.0, None, id="silent, and a duration is enough"),
        pytest.param(FLOWING, {"until": {"events": 60}}, 24.0, None, id="on time so far"),
        pytest.param(
            FLOWING, {"expect": {"events": 60}}, 25.2, "at best 50 of 60 events of a stream are on time, and 90 % must be.", id="too late"
        ),
        pytest.param(FLOWING, {"until": {"events": 60, "duration": 28.0}}, 26.0, None, id="too late, and a duration is enough"),
        pytest.param(FLOWING, {"expect": {"events": 20}}, 29.0, None, id="all have come, and it may still be cut"),
    ],
)
def test_a_stream_decides_only_by_what_nothing_cures(full: StreamRecording, plan: dict[str, Any], now: float, why: str | None):
    """
    A deadline that is over, of something that is owed, decides; silence alone does not, and neither does a good beginning.
    """
    assert looked(full, scenario(probe(**plan)), now) == (why and f"`wallet`: {why}")


PAUSED: Final = stream([0.1, 27.0], ended="timeout", end=60.0)


@pytest.mark.parametrize(
    ("plan", "deadline_from", "now", "decides"),
    [
        pytest.param({"until": {"events": 2}}, "previous", 27.5, True, id="one of two"),
        pytest.param({"until": {"events": 20}}, "previous", 27.5, False, id="one of twenty"),
        pytest.param({"expect": {"events": 2}}, "previous", 27.5, False, id="more than are expected may come"),
        pytest.param({"until": {"event": "x"}}, "previous", 27.5, False, id="any number may come"),
        pytest.param({"until": {"events": 2}}, "sent", 27.5, False, id="by stamps that are not whole yet"),
        pytest.param({"until": {"events": 2}}, "sent", 61.0, False, id="by stamps, at the end"),
    ],
)
def test_a_rate_is_lost_only_where_no_event_can_make_up_for_it(plan: dict[str, Any], deadline_from: str, now: float, decides: bool):
    """
    An event that came too long after the one before is late for good; what else may come is not known, or is.
    """
    assert (looked(PAUSED, scenario(probe(**plan), deadline_from=deadline_from), now) is not None) is decides


@pytest.mark.parametrize(
    ("plan", "deadline_from", "came", "on_time", "age", "reach"),
    [
        ({"expect": {"events": 20}}, "request", 10, 10, 30.0, Reach(10, 10, 0)),
        ({"expect": {"events": 20}}, "request", 10, 10, 20.0, Reach(10, 0, 10)),
        ({"expect": {"events": 20}, "until": {"events": 15}}, "request", 10, 10, 20.0, Reach(10, 5, 5)),
        ({}, "request", 10, 8, 30.0, Reach(8, 2, 0)),
        ({}, "request", 10, 10, 20.0, Reach(10, 0, None)),
        ({"until": {"events": 20}}, "previous", 10, 7, 90.0, Reach(7, 3, 10)),
        ({"expect": {"events": 20}}, "previous", 10, 7, 90.0, Reach(7, 0, 13)),
        ({"until": {"events": 20}}, "sent", 10, 7, 90.0, Reach(7, 0, 13)),
    ],
)
def test_what_the_events_of_an_open_stream_can_come_to(
    plan: dict[str, Any], deadline_from: Any, came: int, on_time: int, age: float, reach: Reach
):
    """
    On time, missed for good, and open: by how many are due and from when their deadline counts.
    """
    criteria = Criteria(deadline_from=deadline_from)

    assert reach_of(probe(**plan), criteria, came=came, on_time=on_time, age=age) == reach


def test_a_stream_of_which_any_number_may_come_can_make_up_for_the_others():
    """
    A rate over several streams is lost only where each of them has a best case.
    """
    assert rate_lost([Reach(0, 5), Reach(3, 1, 4)], 90.0)
    assert not rate_lost([Reach(0, 5), Reach(3, 1, None)], 90.0)


def test_a_redirect_that_is_followed_is_no_answer():
    """
    Its status is not that of the stream.
    """
    live = LiveStream(plans(scenario())[0], head_seen=answer(302, location="/there"), traces=[Trace(started_ns=0, sent_ns=SENT)])
    early = Early(scenario(), Redactor())

    assert early.now([live], SENT + ns(0.5), 0.0) is None
    live.follow_redirects = False
    assert early.now([live], SENT + ns(0.5), 0.0) == "`wallet`: the answer has status 302."


def test_a_late_first_event_is_a_miss_whatever_the_other_streams_wait_for():
    """
    One stream began late, another has had only heartbeats so far: that is not "not known".
    """
    late, quiet = (
        stream(every(0.5, 9, first=3.0), head_at=2.9),
        stream([], comments=every(0.5, 20, first=3.0), head_at=2.9, ended="timeout", number=2),
    )

    assert [c.passed for c in judged(late, quiet, of=scenario(probe(streams=2))).criteria] == [True, False, False]


def test_a_first_event_that_may_have_come_in_time_decides_nothing():
    """
    Read 10 ms after its limit of 2 s, and up to 20 ms late: neither a look at it, nor its end, nor its shortened recording says that it was late.
    """
    near = stream(every(0.5, 9, first=2.01), head_at=1.9, ended="until", planned_end="duration", end=6.1)
    exact, unsure = (
        msgspec.structs.replace(near, reads=msgspec.structs.replace(near.reads, error_ns=[ns(error)] * 9)) for error in (0.0, 0.02)
    )

    assert [looked(full, scenario(), 3.0) is not None for full in (exact, unsure)] == [True, False]
    assert [Early(scenario(), Redactor()).after([full], 0.0) is not None for full in (exact, unsure)] == [True, False]
    assert [judged(cut(full, 3.0), decided="x").passed for full in (exact, unsure)] == [(False,), (None,)]


def test_a_machine_that_is_too_late_ends_nothing_early():
    """
    What looks late may have been the machine itself.
    """
    of = scenario(probe(until={"events": 5}))

    assert looked(SILENT, of, 3.0, lag=0.19) is not None
    assert looked(SILENT, of, 3.0, lag=0.21) is None


def test_a_confidence_asks_for_a_best_case_that_is_surely_too_bad():
    """
    17 of 20 at best is below 90 %, but so few events do not show it; at best 10 of 20 do.
    """
    late = {at: stream(every(1.0, 20, first=at), ended="timeout", end=40.0) for at in (8.5, 15.5)}
    of = [scenario(probe(expect={"events": 20}), confidence=sure, first_event=20.0) for sure in (None, 95.0)]

    assert [[looked(full, plan, 26.0) is not None for full in late.values()] for plan in of] == [[True, True], [False, True]]


def test_streams_that_were_ended_early_are_blamed_for_nothing_that_was_not_due():
    """
    One of three answers 503 and the run is over: the others, of which one had no answer yet and one was just let go of a
    burst, show no fault and miss nothing.
    """
    of = scenario(probe(streams=3, until={"events": 20}, expect={"every": 0.1}))
    error = stream(head=answer(503), end=0.05, number=1)
    waiting = stream(head=None, ended="timeout", reason="decided", end=0.25, number=2)
    burst = stream([2.0] * 20, ended="timeout", reason="decided", end=2.1, number=3)
    outcome = judged(error, waiting, burst, of=of, decided="`wallet`: the answer has status 503.")

    assert (outcome.verdict, outcome.passed) == ("not-viable", (False, None, None))
    assert [(f.code, f.streams) for f in outcome.findings] == [("concurrency-limited", (1,))]
    assert [(m.on_time, m.expected) for m in outcome.metrics] == [(0, 20), (0, 0), (20, 20)]


@pytest.mark.parametrize("deadline_from", ["request", "previous", "sent"])
def test_what_was_good_up_to_an_early_end_is_not_known_to_be_good(deadline_from: str):
    """
    Ten of ten that were due, for what another probe had shown: the rate and the stream are neither met nor missed.
    """
    of = scenario(probe("bad"), probe(expect={"events": 60}), deadline_from=deadline_from)
    good = stream(every(0.5, 10), ended="timeout", reason="decided", end=5.0)
    outcome = judged(stream(head=answer(503), probe="bad"), good, of=of, decided="`bad`: the answer has status 503.")

    assert [(c.criterion, c.passed) for c in outcome.criteria if c.probe == "wallet"] == [("success_rate", None), ("first_event", True)]
    assert (outcome.metrics[1].on_time, outcome.metrics[1].expected, outcome.passed[1]) == (10, 10, None)


def test_a_run_that_was_ended_early_is_not_known_by_other_criteria():
    """
    Judged by a scenario that bears what ended it, the rest of its streams would have been needed.
    """
    short = stream(every(0.2, 3, first=3.0), ended="timeout", reason="decided", end=3.5)
    why = "`wallet`: the first event came after 3s, limit 2s."
    strict, lenient = (judged(short, of=scenario(first_event=limit), decided=why) for limit in (2.0, 5.0))

    assert (strict.verdict, lenient.verdict) == ("not-viable", "inconclusive")
    assert lenient.reasons[0].startswith("The run was ended early for what does not decide here (`wallet`: the first event came after 3s")


def test_every_report_says_that_the_run_was_ended_early_and_why():
    """
    The reader of each of them must not take the streams for whole; and a rate that was not counted to its end is not shown first.
    """
    short = stream(head_at=0.1, ended="timeout", reason="decided", end=2.25)
    of = scenario(probe(until={"events": 5}), decide="early")
    report = build_report(recording(short, scenario=of, decided="`wallet`: no first event came within 2s."))
    said = "The run was ended early, and nothing that was still to come could change that: {}: no first event came within 2s."

    assert said.format("`wallet`") in terminal_text(report.result)
    assert said.format("`wallet`") in summary_markdown(report)
    assert "events on time" not in summary_markdown(report).split("| Stream |")[0]
    assert said.format("<code>wallet</code>") in report_html(report).decode()
    assert 'name="ended early" value="`wallet`: no first event came within 2s."' in junit_xml(report.result).decode()
    assert compare(as_run(report.result), as_run(report.result)).not_compared[0] == (
        "The earlier run was ended early, as its verdict was certain: success rates and faults are not compared."
    )


# --- a run ---------------------------------------------------------------------------------------------------------------


HEAD: Final = "version: 1\ncriteria: {decide: early, first_event: 500ms}\n"


async def run_early(probes: str, serve: Callable[[int, asyncio.StreamWriter], Awaitable[None]]) -> Recording:
    """What a scenario comes to, with `decide: early`, against a server that is told the number of each connection."""
    numbers = itertools.count(1)

    async def answer_one(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE_HEAD)
        await serve(next(numbers), writer)

    async with raw_server(answer_one) as base:
        return (await check(load(f"{HEAD}target: {{url: '{base}'}}\n{probes}".encode(), file="test.yml"))).recording


async def nothing(_: int, writer: asyncio.StreamWriter) -> None:
    await writer.drain()
    await asyncio.sleep(30)


async def test_a_run_is_over_as_soon_as_its_verdict_is_certain():
    """
    No first event in time decides: all open streams are ended, the next probe is not asked, and the recording, written and read
    again, says why and comes to the same.
    """
    seen = await run_early("probes: [{name: a, path: /a, until: {events: 3}, streams: 3}, {name: b, path: /b, streams: 2}]\n", nothing)

    assert seen.decided == "`a`: no first event came within 500ms."
    assert [(s.probe, s.ended, s.reason) for s in seen.streams] == [("a", "timeout", "decided")] * 3
    assert all(0.5e9 < s.times.ended_ns < 10e9 for s in seen.streams)
    again = judge(from_lines(to_lines(seen), file="recording.ndjson"))
    assert (seen.interrupted, again.verdict) == (None, "not-viable")
    assert again.reasons[-2:] == ("`a`: No first event in 3 of 3 streams.", "`a`: 0 of 3 streams at once met the criteria.")


async def cut_but_the_second(number: int, writer: asyncio.StreamWriter) -> None:
    writer.write(chunk(b"id: 1\ndata: 1\n\n"))
    await writer.drain()
    await asyncio.sleep(30 if number == 2 else 0.2)
    writer.transport.abort()


async def test_the_cause_is_still_looked_for_and_nothing_else_is():
    """
    One of two streams is cut: the other is ended, the cut stream is asked for again, and it is not cut on purpose nor searched for limits.
    """
    seen = await run_early("probes: [{name: a, path: /a, streams: 2, resume: {after: 1}, limits: {until: 5s}}]\n", cut_but_the_second)

    assert seen.decided == "`a`: the connection broke."
    assert [s.reason for s in seen.streams[:2]] == [None, "decided"]
    assert {s.phase for s in seen.streams[2:]} == {"follow-up"}
    assert judge(seen).verdict == "not-viable"


async def test_a_signal_is_no_early_end():
    """
    While the streams are looked at a signal ends them, and the run is not completed.
    """
    stop = Stop()
    async with raw_server(lambda _, writer: nothing(1, writer)) as base:
        of = load(f"{HEAD}probes: [{{name: a, url: '{base}', until: {{duration: 20s}}}}]\n".encode(), file="test.yml")
        asyncio.get_running_loop().call_later(0.6, stop.trip, "SIGTERM")
        seen = await run(of, Run(redactor=Redactor(), stop=stop, decide=Early(of, Redactor())))

    assert (seen.interrupted, seen.decided, seen.streams[0].reason) == ("SIGTERM", None, "interrupted")
