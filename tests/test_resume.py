"""A stream that is cut on purpose and asked for again: what was lost or repeated, and what EventSource would make of the answer."""

import asyncio
import re
from typing import Any

import pytest

from sse_check.pipeline import check
from sse_check.plan import StreamPlan
from sse_check.probe import Stop
from sse_check.reconnect import resumed
from sse_check.recording import StreamRecording
from sse_check.report.terminal import terminal_text
from sse_check.scenario import Probe, Resume, Scenario, Target, Until
from sse_check.transport import Request
from tests.support.resuming import resuming
from tests.support.servers import SSE_HEAD, chunk, raw_server
from tests.support.streams import NOW, answer, every, judged, probe, scenario, stream

PROBE = probe(until=Until(event="complete"), resume=Resume(after=3))
WHOLE = stream(every(0.1, 8), ids=[str(n) for n in range(1, 9)], ended="until", planned_end="event")


def first(ids: list[str], **rest: Any) -> StreamRecording:
    """The connection that was cut."""
    last = rest.pop("last_event_id", ids[-1])
    return stream(
        every(0.1, len(ids)),
        ids=ids,
        phase="resume",
        ended="until",
        planned_end="events",
        end=0.4,
        last_event_id=last,
        retry_ms=500,
        **rest,
    )


def then(ids: list[str], **rest: Any) -> StreamRecording:
    """The one that followed, half a second later."""
    ending = {"ended": "until", "planned_end": "event", **rest}
    return stream(every(0.1, len(ids)), ids=ids, phase="resume", number=2, run_ns=900_000_000, **ending)


def resume_of(*streams: StreamRecording, whole: StreamRecording = WHOLE) -> Any:
    """What is said of one resume, and the codes of the findings."""
    outcome = judged(whole, *streams, of=scenario(PROBE))
    (found,) = outcome.resumes
    return found, [f.code for f in outcome.findings]


NUMBERS = [str(n) for n in range(1, 9)]
OPAQUE = ["k3", "a9", "zz", "b1", "q7", "m2", "x0", "e5"]


@pytest.mark.parametrize("ids", [NUMBERS, OPAQUE], ids=["numbers", "opaque"])
@pytest.mark.parametrize(
    ("start", "ok", "lost", "repeated"),
    [(3, True, 0, 0), (5, False, 2, 0), (2, False, 0, 1), (0, False, 0, 3)],
    ids=["goes on", "skips two", "repeats the last", "begins again"],
)
def test_what_was_lost_or_repeated_is_counted(ids, start, ok, lost, repeated):
    """
    By the numbers that the IDs are; else by their places in the stream that was read whole.
    """
    whole = stream(every(0.1, 8), ids=ids, ended="until", planned_end="event")
    found, codes = resume_of(first(ids[:3]), then(ids[start:]), whole=whole)
    assert (found.ok, found.evidence["lost"], found.evidence["repeated"]) == (ok, lost, repeated)
    assert codes == ([] if ok else ["resume-broken"])
    assert (found.last_event_id, found.after, found.retry, found.waited) == (ids[2], 3, 0.5, 0.5)


def test_sequence_numbers_in_the_data_tell_where_ids_do_not():
    """
    IDs that are no numbers, and that no other stream has: a field that counts decides.
    """
    before, after = first(["p", "q", "r"], fields={"seq": [1, 2, 3]}), then(["s", "t"], fields={"seq": [5, 6]})
    found, codes = resume_of(before, after, whole=stream(every(0.1, 3), ids=["u", "v", "w"], ended="until", planned_end="event"))
    assert (found.ok, found.evidence["lost"], codes) == (False, 1, ["resume-broken"])


def test_events_that_are_lost_after_the_reconnect_are_told():
    """
    It goes on where it was, and then leaves one out.
    """
    found, _ = resume_of(first(["1", "2", "3"]), then(["4", "5", "7", "8"]))
    assert (found.ok, found.evidence["lost"]) == (False, 1)


def test_nothing_is_said_where_nothing_counts():
    """
    IDs of one kind before the cut and of another after it: not known, and no fault.
    """
    found, codes = resume_of(first(["1", "2", "3"]), then(["x", "y"]))
    assert (found.ok, codes) == (None, [])


def all_of(ids: list[str], **rest: Any) -> StreamRecording:
    """The stream as it was asked for whole."""
    return stream(every(0.1, len(ids)), ids=ids, ended="until", planned_end="event", **rest)


def test_ids_that_grow_but_count_nothing_are_told_by_their_places():
    """
    Three that happened to follow on each other do not make the steps of the others losses.
    """
    ids = ["4", "5", "6", "7", "9", "12", "13", "20"]
    assert [resume_of(first(ids[:3]), then(ids[start:]), whole=all_of(ids))[0].ok for start in (3, 4)] == [True, False]


def test_ids_that_are_a_clock_count_nothing():
    """
    Seconds step by one as well, and now and then by two.
    """
    ids = [str(int(NOW) + second) for second in (0, 1, 2, 3, 4, 5, 6, 8, 9, 10)]
    found, codes = resume_of(first(ids[:3]), then(ids[4:]), whole=WHOLE)
    assert (found.ok, codes) == (None, [])


@pytest.mark.parametrize(
    ("ids", "cut", "again"),
    [
        (["1", "1", "2", "2", "3", "3"], 3, ["2", "3", "3"]),
        (["1", "1", "2", "2", "3", "3"], 3, ["3", "3"]),
        (["job"] * 8, 3, ["job"] * 5),
        (["a", "b"] * 4, 3, ["b", "a", "b"]),
    ],
    ids=["the rest of a group", "the next group", "one for all", "in turns"],
)
def test_ids_that_several_events_share_do_not_tell_what_was_repeated(ids, cut, again):
    """
    On purpose, or carried on to events that set none: which of the events with the last ID came is not to be seen.
    """
    found, codes = resume_of(first(ids[:cut]), then(again), whole=all_of(ids))
    assert (found.ok, codes) == (None, [])


def test_a_group_of_events_that_is_left_out_is_lost_all_the_same():
    """
    Where the answer begins beyond the next ID, or before the last, that is told.
    """
    ids = ["1", "1", "2", "2", "3", "3", "4", "4"]
    assert [resume_of(first(ids[:3]), then(ids[at:]), whole=all_of(ids))[0].ok for at in (6, 0)] == [False, False]


def test_a_number_that_counts_the_events_of_one_connection_is_no_repeat():
    """
    It begins again, but under IDs that are all new: by these the stream went on.
    """
    before, after = first(["p", "q", "r"], fields={"n": [1, 2, 3]}), then(["s", "t"], fields={"n": [1, 2]})
    found, codes = resume_of(before, after, whole=all_of(["p", "q", "r", "s", "t"], fields={"n": [1, 2, 3, 4, 5]}))
    assert (found.ok, codes) == (True, [])


def test_numbers_that_are_very_far_apart_are_judged_at_once():
    """
    What was lost is counted, not listed: a server writes any number.
    """
    found, _ = resume_of(first(["1", "2", "3"]), then(["4", str(10**17)]))
    assert (found.ok, found.evidence["lost"]) == (False, 10**17 - 5)


def test_several_runs_that_are_judged_as_one_have_a_resume_each():
    """
    The first connection of the second run is no reconnect of the first run.
    """
    run = (first(["1", "2", "3"]), then(["4", "5"]))
    outcome = judged(WHOLE, *run, *run, of=scenario(PROBE))
    assert [r.ok for r in outcome.resumes] == [True, True]


def test_204_after_the_last_event_is_right():
    """
    The stream was cut when all of it had come: the server says that nothing follows.
    """
    over = then([], head=answer(204), ended="eof", planned_end=None)
    found, codes = resume_of(first(["1", "2", "3"]), over, whole=all_of(["1", "2", "3"]))
    assert (found.ok, codes) == (None, [])


def test_a_live_stream_that_is_quiet_after_the_reconnect_has_lost_nothing_that_is_known():
    """
    It stays open, and its IDs are not those of the stream that was read whole: what comes next has not happened yet.
    """
    open_still = then([], ended="until", planned_end="duration", end=25.0)
    found, codes = resume_of(first(["101", "102", "103"]), open_still)
    assert (found.ok, codes) == (None, [])
    assert resume_of(first(["1", "2", "3"]), open_still)[0].ok is False


def test_a_stream_that_was_not_cut_is_said_to_be_what_it_was():
    """
    Given up before so many events came; or cut, and the run was stopped before it was asked for again.
    """
    given_up = stream(every(0.1, 2), ids=["1", "2"], phase="resume", ended="timeout", end=30.0)
    assert resume_of(given_up)[0].detail.startswith("sse-check gave up after 30s, with 2 events")
    assert judged(WHOLE, first(["1", "2", "3"]), of=scenario(PROBE), interrupted="SIGINT").resumes == ()


@pytest.mark.parametrize(
    ("answered", "said"),
    [
        (then([], head=answer(204), ended="eof", planned_end=None), "status 204, on which EventSource stops for good"),
        (then([], head=answer(500), ended="eof", planned_end=None), "status 500, on which EventSource gives up"),
        (then([], head=answer(content_type="text/html"), ended="eof", planned_end=None), "Content-Type was `text/html`"),
        (then([], head=None, ended="error", reason="tcp", error="refused", planned_end=None), "no answer"),
        (then([], ended="eof", planned_end=None), "nothing more came"),
    ],
    ids=["204", "500", "html", "refused", "empty"],
)
def test_a_reconnect_that_is_answered_otherwise_is_what_eventsource_makes_of_it(answered, said):
    """
    HTML Standard, 9.2.3: 204 and every other status but 200 end it for good, and so does another type.
    """
    found, codes = resume_of(first(["1", "2", "3"]), answered)
    assert found.ok is False
    assert said.replace("`", "") in found.detail.replace("`", "").replace('"', "")
    assert codes == ["resume-broken"]


def test_a_stream_without_ids_cannot_be_resumed():
    """
    A scenario that asks for a resume is told what is missing.
    """
    found, codes = resume_of(first(["", "", ""], last_event_id=""), then(["", ""]))
    assert (found.ok, codes) == (False, ["resume-broken"])
    assert "no `id`" in found.detail


def test_a_stream_that_is_over_before_the_cut_is_warned_of():
    """
    There was nothing left to resume: a warning, so that who gates on it does not take silence for a yes.
    """
    found, codes = resume_of(stream(every(0.1, 2), ids=["1", "2"], phase="resume", ended="until", planned_end="event"))
    assert (found.ok, codes) == (None, ["resume-broken"])
    assert found.uncut


def test_the_streams_of_a_resume_do_not_count_for_the_criteria():
    """
    They are cut on purpose.
    """
    outcome = judged(WHOLE, first(["1", "2", "3"]), then(["4", "5"]), of=scenario(PROBE))
    assert outcome.metrics[0].stream == WHOLE
    assert len(outcome.metrics) == len(outcome.resumes) == 1
    assert outcome.verdict == "viable"


# --- with real servers ----------------------------------------------------------------------------------------------------


async def checked(path: str, **rest: Any) -> Any:
    """A check of a stream that is cut after five events."""
    async with resuming() as origin:
        asked = Probe(name="stream", path=path, until=Until(event="complete"), resume=Resume(after=5), **rest)
        return (await check(Scenario(version=1, target=Target(url=f"http://{origin}"), probes=(asked,)))).result


async def test_a_resume_goes_on_where_the_stream_was():
    """
    Cut after five events, asked for again after the reconnection time that the server asks for, and read to its end.
    """
    result = await checked("/correct?retry=300")
    (found,) = result.resumes
    assert (found.ok, found.last_event_id, found.evidence["went_on_with"]) == (True, "5", 6)
    assert 0.3 <= found.waited < 2.0
    assert "nothing was lost or repeated" in terminal_text(result)


async def test_a_redirected_reconnect_is_followed_with_its_last_event_id():
    """
    As EventSource does.
    """
    (found,) = (await checked("/correct?redirect=1")).resumes
    assert (found.ok, found.evidence["went_on_with"]) == (True, 6)


@pytest.mark.parametrize("pad", ["", "-" + "k" * 1000], ids=["short", "long"])
@pytest.mark.parametrize("headers", [{}, {"last-event-id": "0"}], ids=["plain", "begins behind an ID of the scenario"])
async def test_a_stream_that_comes_in_one_read_is_resumed_behind_the_event_it_was_cut_at(pad, headers):
    """
    The reconnect sends the whole ID of that event, once, and not that of the last one which the read brought.
    """
    asked_for: list[list[bytes]] = []

    async def answer_all(head: bytes, writer: asyncio.StreamWriter) -> None:
        asked_for.append(re.findall(rb"last-event-id: *(\S+)", head, re.IGNORECASE))
        start = int(asked_for[-1][0].partition(b"-")[0]) + 1 if asked_for[-1] else 1
        events = "".join(f"id: {n}{pad}\ndata: x\n\n" for n in range(start, 13))
        writer.write(SSE_HEAD + chunk(f"retry: 50\n\n{events}event: complete\ndata: x\n\n".encode()) + chunk(b""))

    async with raw_server(answer_all) as base:
        asked = Probe(name="a", path="/", headers=headers, until=Until(event="complete"), resume=Resume(after=5))
        result = (await check(Scenario(version=1, target=Target(url=base), probes=(asked,)))).result
    assert asked_for[-1] == [f"5{pad}".encode()]
    assert [(r.ok, r.evidence["went_on_with"]) for r in result.resumes] == [(True, 6)]


@pytest.mark.parametrize("query", ["status=204", "status=503", "type=html"])
async def test_a_real_reconnect_that_ends_the_eventsource_is_named(query):
    """
    No further try is made, as EventSource makes none.
    """
    result = await checked(f"/correct?{query}")
    assert len(result.resumes) == 1
    assert [f.code for f in result.findings] == ["resume-broken"]


@pytest.mark.parametrize(("instances", "ok"), [("alike", True), ("apart", False)])
async def test_a_resume_is_tried_until_it_lands_on_another_instance(instances, ok):
    """
    Where the responses name their instance: the one that has the events may not be the one that is asked.
    """
    result = await checked(f"/correct?instances={instances}")
    here, elsewhere = result.resumes
    assert (here.ok, here.instance, here.resumed_on) == (True, "b", "b")
    assert (elsewhere.ok, elsewhere.instance, elsewhere.resumed_on) == (ok, "b", "a")
    assert "on another instance" in elsewhere.detail
    assert [i.name for i in result.instances] == ["a"]


async def test_the_reconnection_time_is_honoured_and_a_network_error_is_tried_again():
    """
    Without `retry` it is what browsers have; after an error of the network there is another try, and then no more.
    """
    opened: list[StreamPlan] = []

    async def open_stream(plan: StreamPlan) -> StreamRecording:
        opened.append(plan)
        if plan.stream == 1:
            return stream(every(0.1, 2), ids=["1", "2"], ended="until", planned_end="events", last_event_id="2", retry_ms=10)
        return stream(head=None, ended="error", reason="tcp")

    plan = StreamPlan(
        probe="p", stream=1, phase="stream", request=Request(method="GET", url="http://x.test/", headers=()), until=Until(), timeout=5
    )
    began = asyncio.get_running_loop().time()
    streams = await resumed(plan, 2, instance=None, open_stream=open_stream, stop=Stop())
    assert len(streams) == 4
    assert ("Last-Event-ID", "2") in opened[1].request.headers
    assert asyncio.get_running_loop().time() - began >= 0.03
