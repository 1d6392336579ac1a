"""Limits from streams that run into them: told apart, bracketed, and never guessed."""

import asyncio
import doctest
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_check import arms as arms_module
from sse_check.arms import HEADER, HEARTBEAT, arms, beat, sizes_between, told, understood
from sse_check.diagnosis import Limits, open_sizes
from sse_check.diagnosis import platforms as platforms_module
from sse_check.pipeline import _undeclared, check
from sse_check.recording import Arm, StreamRecording
from sse_check.report.markdown import summary_markdown
from sse_check.report.report import Report
from sse_check.report.result import build_result
from sse_check.report.terminal import terminal_text
from sse_check.scenario import Compare, LimitSearch, Probe, Scenario, Target
from tests.support.process import serving, sse_check
from tests.support.servers import SSE_HEAD, chunk, raw_server
from tests.support.streams import answer, every, judged, probe, recording, scenario, stream

UNTIL = 10.0
PROBE = probe(limits=LimitSearch(until=UNTIL))
HEARS = answer(sse_check_arm="silent")
OK_STREAM = stream(every(0.2, 5))


def arm(
    kind: Any, lived: float = UNTIL, *, cut: bool = False, rhythm: float = 0.0, size: int = 0, hears: bool = True, **rest: Any
) -> StreamRecording:
    """One stream of a search: how long it lived, and whether it was cut; it sends its rhythm up to there."""
    alive = [0.05, *(number * rhythm for number in range(1, 1 + int(lived / rhythm + 0.0001)))] if rhythm else [0.05]
    ending = {"ended": "truncated"} if cut else {"ended": "until", "planned_end": "duration"}
    return stream(
        comments=rest.pop("comments", alive),
        phase="limits",
        arm=Arm(kind=kind, every=rhythm, size=size),
        head=rest.pop("head", HEARS if hears else answer()),
        end=lived,
        **{**ending, **rest},
    )


def first_byte(lived: float = UNTIL, *, status: int | None = None) -> StreamRecording:
    """The arm that sends nothing: open to the end, or answered by a gateway that waited too long."""
    if status is None:
        return arm("first-byte", lived, head=None, comments=[])
    return arm(
        "first-byte", lived, head=answer(status, content_type="text/html"), head_at=lived, comments=[], ended="eof", planned_end=None
    )


def search(*streams: StreamRecording, of: Any = PROBE) -> Limits:
    """What these streams come to, through the deployment."""
    return judged(OK_STREAM, *streams, of=scenario(of)).limits[0]


def whole(idle: float | None, total: float | None) -> list[StreamRecording]:
    """All arms on a way with these limits."""
    streams = []
    for kind, rhythm in (("silent", 0.0), ("heartbeat", 1.0), ("heartbeat", 5.0), ("steady", 0.5)):
        silent_for = rhythm or UNTIL
        ends = [total] if total is not None else []
        ends += [idle] if idle is not None and silent_for > idle else []
        lived = min([*ends, UNTIL])
        streams.append(arm(kind, lived, cut=lived < UNTIL, rhythm=rhythm, size=13 if kind == "heartbeat" else 0))
    return streams


# --- told apart ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("idle", [None, 1.5, 2.0, 4.0])
@pytest.mark.parametrize("total", [None, 3.0, 6.0, 8.0])
def test_idle_and_total_are_told_apart(idle, total):
    """
    Whatever both are: a silent stream that is cut before the others tells the one, streams that are cut together the other.
    """
    found = search(*whole(idle, total))
    assert found.total.seconds == total
    expected = idle if idle is not None and (total is None or idle < total) else None
    assert (None if found.idle.seconds is None else round(found.idle.seconds, 1)) == (
        None if expected is None else round(expected - 0.05, 1)
    )
    assert found.undecided is None


def test_what_is_not_reached_is_said_with_the_time_up_to_which_it_was_looked_for():
    """
    A way without limits: none is invented, and each is known to be longer than the search.
    """
    found = search(first_byte(), *whole(None, None))
    assert (found.first_byte.seconds, found.idle.seconds, found.total.seconds) == (None, None, None)
    assert min(found.first_byte.survived, found.idle.survived, found.total.survived) >= UNTIL - 0.1
    outcome = judged(OK_STREAM, first_byte(), *whole(None, None), of=scenario(PROBE))
    assert [f.code for f in outcome.findings] == []
    text = terminal_text(build_result(recording(OK_STREAM, first_byte(), *whole(None, None), scenario=scenario(PROBE)), outcome))
    assert text.count("not reached in 10s") == 3


def test_a_cut_shortly_before_the_end_of_a_long_search_is_no_limit_if_a_heartbeat_was_sent_after_it():
    """
    How exactly two cuts are at one time grows with it; that a stream which was not cut has written since does not.
    """
    plan = probe(limits=LimitSearch(until=150.0))
    found = search(arm("steady", 140.0, cut=True, rhythm=0.5), arm("heartbeat", 150.0, rhythm=5.0, size=13), of=plan)
    assert found.total.seconds is None
    assert "it was not for its age" in (found.undecided or "")


def test_silent_streams_alone_do_not_say_for_what_they_were_cut():
    """
    All cut after two seconds, and none of them had data: silence and age look the same, so neither is claimed.
    """
    found = search(*(arm("silent", 2.0, cut=True, hears=False) for _ in range(4)))
    assert (found.idle.seconds, found.total.seconds) == (None, None)
    assert "not known" in (found.undecided or "")
    (finding,) = judged(OK_STREAM, arm("silent", 2.0, cut=True), of=scenario(PROBE)).findings
    assert (finding.code, finding.severity, finding.confidence) == ("idle-timeout", "warning", "possible")
    assert "would look the same" in finding.message


def test_a_stream_of_the_scenario_that_lived_on_with_data_tells_too():
    """
    Of the same server: then the silent ones were cut for their silence.
    """
    lived = stream(every(0.5, 12))
    outcome = judged(lived, arm("silent", 2.0, cut=True, hears=False), of=scenario(PROBE))
    assert outcome.limits[0].idle.seconds == pytest.approx(1.95)
    assert outcome.findings[0].confidence == "likely"


@pytest.mark.parametrize(("path", "tells"), [("/events?more", True), ("/other", False)])
def test_a_stream_of_another_probe_tells_if_it_is_of_the_same_path(path, tells):
    """
    A proxy has limits for each path: what lives on one may be cut for its age on the other.
    """
    other = stream(every(0.5, 12), probe="other", url=f"https://app.example.test{path}")
    plan = scenario(PROBE, probe("other", path=path))
    (found,) = judged(OK_STREAM, other, arm("silent", 2.0, cut=True, hears=False), of=plan).limits
    assert (found.idle.seconds is not None) == tells
    assert (found.either is None) == tells


@pytest.mark.parametrize(
    "streams",
    [
        [arm("steady", 6.0, cut=True, rhythm=0.5), arm("heartbeat", UNTIL, rhythm=1.0, size=13)],
        [arm("steady", 6.0, cut=True, rhythm=0.5), arm("steady", 3.0, cut=True, rhythm=0.5)],
        [arm("silent", 2.0, cut=True), arm("silent", 5.0, cut=True), arm("steady", rhythm=0.5)],
        [arm("silent", 2.0, cut=True), arm("silent"), arm("steady", rhythm=0.5)],
    ],
    ids=["outlived", "different ages", "different silences", "another was silent for longer"],
)
def test_streams_that_contradict_each_other_give_no_limit(streams):
    """
    A cut that another stream did not meet is no limit of the way: something broke.
    """
    found = search(*streams)
    assert (found.idle.seconds, found.total.seconds) == (None, None)
    assert found.undecided is not None


def test_a_limit_that_strikes_only_when_something_is_written_is_one_on_age():
    """
    Go's WriteTimeout: data is cut at once, a heartbeat with its next, and a silent stream lives on.
    """
    found = search(arm("silent"), arm("heartbeat", 7.5, cut=True, rhythm=2.5, size=13), arm("steady", 6.0, cut=True, rhythm=0.5))
    assert (found.idle.seconds, found.total.seconds) == (None, 6.0)


def test_a_connection_that_is_closed_late_is_dated_by_what_no_longer_came():
    """
    The hop behind ended the stream at 6 s, the one in front closed a second later: the data that was due meanwhile tells.
    """
    late = arm("steady", 7.0, cut=True, rhythm=0.5, comments=[0.05, *(n * 0.5 for n in range(1, 13))])
    found = search(late, arm("silent", 6.0, cut=True))
    assert found.total.seconds == pytest.approx(6.1, abs=0.3)
    # One with a heartbeat, closed as long after its last as the limit on silence is: it was not silent, it was cut.
    beaten = arm("heartbeat", 7.0, cut=True, rhythm=1.0, size=13, comments=[0.05, *range(1, 6)])
    found = search(late, beaten, arm("silent", 2.0, cut=True))
    assert found.idle.seconds == pytest.approx(1.95)
    assert found.undecided is None
    assert found.total.seconds == pytest.approx(6.1, abs=0.3)


def test_a_gateways_timeout_before_the_head_is_the_limit_on_the_first_byte():
    """
    Status 504 after two seconds, while streams that have begun live on; where all are cut at that age, it is the age.
    """
    assert search(first_byte(2.0, status=504), *whole(None, None)).first_byte.seconds == 2.0
    found = search(first_byte(6.0, status=504), *whole(None, 6.0))
    assert (found.first_byte.seconds, found.total.seconds) == (None, 6.0)


def test_an_answer_that_is_no_stream_counts_for_nothing():
    """
    A server that refuses some of the streams is said to have answered so many fewer.
    """
    refused = arm("silent", 0.1, head=answer(503), comments=[], ended="eof", planned_end=None)
    found = search(refused, *whole(2.0, None))
    assert found.unanswered == 1
    assert found.idle.seconds == pytest.approx(1.95)


def test_a_refusal_at_once_is_no_limit_on_the_first_byte():
    """
    A server that is overrun answers 503 before anybody has waited.
    """
    found = search(first_byte(0.1, status=503), *whole(None, None))
    assert (found.first_byte.seconds, found.first_byte.survived, found.unanswered) == (None, 0.0, 1)


def test_a_server_that_ends_its_streams_itself_has_no_limit():
    """
    One that does not know the search sends what it always does: its proper end is no cut, and nothing is learnt beyond it.
    """
    own = [arm(kind, 3.0, rhythm=0.5, hears=False, ended="eof", planned_end=None) for kind in ("silent", "steady", "heartbeat")]
    found = search(*own)
    assert (found.idle.seconds, found.total.seconds, found.undecided) == (None, None, None)
    assert found.total.survived == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("until", "types", "age"),
    [
        ({"event": "complete"}, ["message"] * 5 + ["complete"], None),
        ({"data": "[DONE]"}, ["message"] * 6, None),
        ({"event": "complete"}, ["message"] * 6, 3.0),
    ],
    ids=["its last event came", "its last event is not recorded", "its last event is missing"],
)
def test_a_stream_that_ends_with_the_scenarios_last_event_has_no_limit(until, types, age):
    """
    The search has an end of its own, so that the event which ends an ordinary stream must be looked for in what came.
    """
    own = [stream(every(0.5, 6), types=types, phase="limits", arm=Arm(kind=kind), ended="eof", end=3.0) for kind in ("silent", "steady")]
    assert search(*own, of=probe(until=until, limits=LimitSearch(until=UNTIL))).total.seconds == age


def test_streams_of_a_server_that_does_not_know_the_search_still_show_a_limit_on_age():
    """
    All break off at one age while data flows.
    """
    own = [arm(kind, 6.0, cut=True, rhythm=0.5, hears=False) for kind in ("silent", "steady", "heartbeat")]
    assert search(*own).total.seconds == 6.0


def test_the_scenarios_own_paths_are_taken_at_their_word():
    """
    A server of which the scenario says where it is silent need not repeat the header.
    """
    told_by_path = probe(limits=LimitSearch(until=UNTIL, silent="/silent", steady="/steady"))
    ended = arm("silent", 2.0, hears=False, ended="eof", planned_end=None)
    found = search(ended, arm("steady", rhythm=0.5, hears=False), of=told_by_path)
    assert found.idle.seconds == pytest.approx(1.95)


def test_a_server_that_does_not_hear_is_said_not_to():
    """
    It sends what it always sends: the report says so, instead of that no heartbeat was seen.
    """
    own = [arm(kind, UNTIL, rhythm=0.5, hears=False) for kind in ("silent", "steady", "heartbeat")]
    outcome = judged(OK_STREAM, *own, of=scenario(PROBE))
    assert not outcome.limits[0].heard
    text = terminal_text(build_result(recording(OK_STREAM, *own, scenario=scenario(PROBE)), outcome))
    assert "the server did not repeat SSE-Check-Arm" in text
    assert "docs/limits.md" in text


def test_a_limit_before_the_head_alone_is_warned_of():
    """
    No heartbeat keeps it off: the head and a comment at once do.
    """
    (finding,) = judged(OK_STREAM, first_byte(2.0, status=504), *whole(None, None), of=scenario(PROBE)).findings
    assert (finding.code, finding.severity) == ("http-error", "warning")
    assert "at once" in finding.fixes[0].text
    idle, *_ = judged(OK_STREAM, first_byte(2.0, status=504), *whole(2.0, None), of=scenario(PROBE)).findings
    assert "not even its head, is given up after 2s" in idle.message


def test_a_heartbeat_outlives_a_limit_on_silence_or_was_not_needed():
    """
    Also where it was cut for its age later; where no limit on silence was met, nothing is said of keeping open.
    """
    assert search(*whole(2.0, 6.0)).heartbeat.every == 1.0
    assert search(*whole(None, 6.0)).heartbeat.every is None


# --- heartbeats ---------------------------------------------------------------------------------------------------------


def beats(size: int, *, through: bool) -> StreamRecording:
    """A heartbeat of this size twice a second: seen each time, or only every second time, two together."""
    seen = [0.05, *(n * 0.5 for n in range(1, 8))] if through else [0.05, 1.5, 3.0]
    return arm("heartbeat", 4.0, rhythm=0.5, size=size, comments=seen)


def test_the_smallest_heartbeat_that_comes_through_is_bracketed():
    """
    Small ones are held back, larger ones pass: the finding names both, and recommends the buffer's size.
    """
    streams = [*(beats(size, through=False) for size in (13, 1024, 3500)), *(beats(size, through=True) for size in (3900, 8192))]
    found = search(*streams)
    assert (found.heartbeat.swallowed, found.heartbeat.passed) == (3500, 3900)
    (finding,) = judged(OK_STREAM, *streams, of=scenario(PROBE)).findings
    assert finding.code == "no-heartbeat"
    assert "at least 4,096 bytes" in finding.fixes[0].text
    assert open_sizes([found]) == {}


def test_how_small_a_heartbeat_may_be_is_asked_until_it_is_known():
    """
    Nothing is asked where the shortest passes; else powers of two, then between the two that enclose the buffer.
    """
    assert open_sizes([search(*whole(None, None))]) == {}
    assert open_sizes([search(beats(13, through=False))]) == {"wallet": (13, None)}
    assert [a.size for a in sizes_between(13, None)] == [256, 1024, 2048, 4096, 8192, 16384, 32768, 65536]
    assert open_sizes([search(beats(2048, through=False), beats(4096, through=True))]) == {"wallet": (2048, 4096)}
    assert [a.size for a in sizes_between(13, 65536)] == [256, 1024, 2048, 4096, 8192, 16384, 32768]
    assert [a.size for a in sizes_between(2048, 4096)] == [2304, 2560, 2816, 3072, 3328, 3584, 3840]


def test_a_heartbeat_without_even_a_head_is_held_back_if_the_server_is_known_to_have_heard():
    """
    A buffer that holds the head as well; of a server that never answered the search, nothing is said.
    """
    held = arm("heartbeat", rhythm=1.0, size=13, head=None, comments=[])
    assert search(held, beats(8192, through=True)).heartbeat.swallowed == 13
    assert search(held).heartbeat.swallowed is None


def test_a_heartbeat_that_was_late_once_is_not_swallowed():
    """
    Another of the same size came through one by one: a buffer that counts bytes would have held it too.
    """
    hiccup = arm("heartbeat", rhythm=1.0, size=13, comments=[0.05, *range(1, 5), 6, 6.01, *range(7, 11)])
    found = search(hiccup, arm("heartbeat", rhythm=2.5, size=13)).heartbeat
    assert (found.swallowed, found.passed) == (None, 13)


# --- findings and reports ------------------------------------------------------------------------------------------------


def test_a_limit_is_a_warning_with_the_heartbeat_that_lives_under_it():
    """
    The stream itself streams: the deployment is viable, and the report says what keeps it so; outputs carry the seconds.
    """
    outcome = judged(OK_STREAM, *whole(2.0, 6.0), of=scenario(PROBE))
    assert outcome.verdict == "viable"
    assert [(f.code, f.severity) for f in outcome.findings] == [("idle-timeout", "warning"), ("duration-limit", "warning")]
    idle, total = outcome.findings
    assert idle.evidence["idle_timeout"] == pytest.approx(1.95)
    assert idle.evidence["heartbeat_interval"] == 0.5
    assert total.evidence["max_duration"] == 6.0
    assert "every 500ms" in idle.fixes[0].text


def test_a_stream_that_was_cut_itself_keeps_its_error_and_gains_the_measured_limit():
    """
    One finding for the code: the fault of the stream, with the figure of the search beside it.
    """
    cut = stream(every(0.2, 5), ended="truncated", end=3.0)
    outcome = judged(cut, *whole(2.0, None), of=scenario(PROBE))
    (finding,) = [f for f in outcome.findings if f.code == "idle-timeout"]
    assert (finding.severity, finding.streams) == ("error", (1,))
    assert finding.evidence["idle_timeout"] == pytest.approx(1.95)
    assert "A silent stream is cut" in finding.message


def test_a_stream_that_was_cut_at_another_time_than_the_measured_limit_is_not_explained_by_it():
    """
    After five seconds of silence, where the search found two: the figures stand beside each other, and prove nothing.
    """
    outcome = judged(stream(every(0.2, 5), ended="truncated", end=6.0), *whole(2.0, None), of=scenario(PROBE))
    (finding,) = [f for f in outcome.findings if f.code == "idle-timeout"]
    assert finding.confidence == "likely"


def test_a_stream_that_is_silent_for_longer_than_the_measured_limit_is_warned_of():
    """
    What was measured goes before what is documented: nginx says 60 s, this one cuts after 2.
    """
    slow = stream([0.1, 1.9, 3.7, 5.5], head=answer(server="nginx"))
    outcome = judged(slow, *whole(2.0, None), of=scenario(PROBE))
    (finding,) = [f for f in outcome.findings if f.code == "no-heartbeat"]
    assert finding.evidence["limit"] == pytest.approx(1.95)
    assert all("25 s" not in fix.text and "30s" not in fix.text for fix in finding.fixes)


def test_a_documented_limit_that_silent_streams_outlived_is_not_warned_of():
    """
    nginx has 60 s by default; this one was told otherwise, as streams that were silent for longer have shown.
    """
    plan = scenario(probe(limits=LimitSearch(until=150.0)), deadline_from="previous", event_deadline=60.0)
    slow = stream([0.1, 35.0, 70.0], head=answer(server="nginx"))
    assert [f.code for f in judged(slow, of=plan).findings] == ["no-heartbeat"]
    assert judged(slow, arm("silent", 150.0), arm("steady", 150.0, rhythm=0.5), of=plan).findings == ()


def test_the_measured_limit_stands_beside_the_documented_one():
    """
    In the finding and in the table of every report.
    """
    nginx = answer(server="nginx", sse_check_arm="silent")
    streams = [stream(every(0.2, 5), head=answer(server="nginx")), *(arm("silent", 2.0, cut=True, head=nginx), arm("steady", rhythm=0.5))]
    outcome = judged(*streams, of=scenario(PROBE))
    result = build_result(recording(*streams, scenario=scenario(PROBE)), outcome)
    assert "Documented by default: nginx 60s" in outcome.findings[0].message
    row = next(row for row in result.limit_table if row.limit.endswith("silence (idle)"))
    assert (row.measured, row.documented) == ("1.95s (1 stream)", "nginx 60s")
    assert any("1.95s" in line and "nginx 60s |" in line for line in summary_markdown(Report(result=result, pictures=())).splitlines())


def test_the_ceiling_behind_the_first_stands_in_its_finding():
    """
    The way past the proxies shows what who raises the first limit meets next.
    """
    behind = probe(limits=LimitSearch(until=UNTIL), compare=Compare(direct="http://origin.example.test/events"))
    direct = [arm("silent", 5.0, cut=True, factor="direct"), arm("steady", rhythm=0.5, factor="direct")]
    outcome = judged(OK_STREAM, *whole(2.0, None), *direct, of=scenario(behind))
    assert "there is another at 4.95s" in outcome.findings[0].message
    assert [found.way for found in outcome.limits] == ["target", "direct"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["silent", "heartbeat", "steady", "first-byte"]), st.floats(0.2, UNTIL), st.booleans(), st.booleans())
    )
)
def test_any_search_gives_limits_that_its_streams_allow(drawn):
    """
    Whatever came of the streams: no exception, and no stream on the way lived under a limit for longer than it allows.
    """
    streams = [
        arm(kind, lived, cut=cut, rhythm=0.5 if kind in ("heartbeat", "steady") else 0.0, hears=hears) for kind, lived, cut, hears in drawn
    ]
    outcome = judged(OK_STREAM, *streams, of=scenario(PROBE))
    for found in outcome.limits:
        if found.total.seconds is not None:
            steady = [s for s in streams if s.arm and s.arm.kind == "steady"]
            assert all(s.ended == "truncated" for s in steady if s.head and s.head.header(HEADER))


@pytest.mark.parametrize("change", [{"arm": Arm(kind="heartbeat", every=5e-324, size=13)}, {"url": "http://["}])
def test_any_recording_of_a_search_is_judged(change):
    """
    An interval of next to nothing, a URL that is none.
    """
    search(msgspec.structs.replace(arm("heartbeat", 5.0, rhythm=1.0, size=13), **change))


def test_credentials_in_the_paths_of_a_search_are_secrets():
    """
    A server may echo them anywhere.
    """
    plan = scenario(probe(limits=LimitSearch(until=UNTIL, silent="/silent?token=0123456789")))
    assert "0123456789" in _undeclared(plan)


# --- the arms themselves --------------------------------------------------------------------------------------------------


def test_the_examples_in_the_docstrings_are_true():
    """
    What the docstrings show is what happens.
    """
    for module in (arms_module, platforms_module):
        found = doctest.testmod(module)
        assert found.attempted > 0
        assert found.failed == 0


@pytest.mark.parametrize("until", [1.0, 4.0, 10.0, 150.0, 1000.0])
def test_every_arm_says_what_it_wants_and_fits_into_the_search(until):
    """
    The server understands what it is told; each interval is waited for at least twice.
    """
    wanted = arms(until)
    assert [understood(told(a)) for a in wanted] == list(wanted)
    assert {a.kind for a in wanted} >= {"first-byte", "silent", "steady"}
    assert all(a.every <= until / 2 for a in wanted)
    assert sum(until / a.every * a.size for a in wanted if a.every) < 2 * 1024 * 1024
    assert len(wanted) <= 9


@pytest.mark.parametrize(
    "text", ["", "loud", "heartbeat", "heartbeat;every=0", "heartbeat;every=x", "silent;size=99999999", "steady;every=1;x=2"]
)
def test_what_is_no_arm_is_not_understood(text):
    """
    Such a request is an ordinary one.
    """
    assert understood(text) is None


def test_a_beat_has_the_size_that_was_asked_for():
    """
    Down to the shortest, which is never cut.
    """
    assert [len(beat(size)) for size in (13, 256, 4096)] == [13, 256, 4096]
    assert beat(1) == HEARTBEAT


async def test_a_hop_that_ends_a_silent_response_properly_is_seen_to_cut_it():
    """
    It writes the last chunk, which is a read of its own and no sign of life: the silence before it is the limit.
    """

    async def impatient(head: bytes, writer: asyncio.StreamWriter) -> None:
        asked = understood(next((line[14:].strip().decode() for line in head.split(b"\r\n") if line.startswith(b"SSE-Check-Arm:")), ""))
        heard = b"SSE-Check-Arm: heard\r\n\r\n" if asked else b"\r\n"
        writer.write(SSE_HEAD.removesuffix(b"\r\n") + heard + chunk(b"data: x\n\n"))
        while asked and asked.kind not in ("first-byte", "silent"):
            await asyncio.sleep(0.25)
            writer.write(chunk(HEARTBEAT))
            await writer.drain()
        await asyncio.sleep(1.0 if asked else 0.0)
        writer.write(chunk(b""))

    async with raw_server(impatient) as base:
        plan = Scenario(version=1, target=Target(url=base), probes=(Probe(name="a", path="/", limits=LimitSearch(until=2.0)),))
        (found,) = (await check(plan)).result.limits
    assert found.idle.seconds == pytest.approx(1.0, abs=0.2)


async def test_the_embedded_server_sends_what_an_arm_asks_for():
    """
    Nothing before the head, nothing after it, comments of a size, or events; and it says that it heard.
    """
    with serving() as base:
        async with aiohttp.ClientSession() as session:

            async def ask(a: Arm, seconds: float = 0.7) -> tuple[str | None, bytes]:
                body = b""
                try:
                    async with asyncio.timeout(seconds), session.get(f"{base}/events", headers={HEADER: told(a)}) as response:
                        heard = response.headers.get(HEADER)
                        async with asyncio.timeout(seconds):
                            async for piece in response.content.iter_any():
                                body += piece
                except TimeoutError:
                    return (heard if body else None), body
                raise AssertionError("it ended by itself")

            nothing, silent, heartbeat, steady = await asyncio.gather(
                ask(Arm(kind="first-byte")),
                ask(Arm(kind="silent")),
                ask(Arm(kind="heartbeat", every=0.2, size=100)),
                ask(Arm(kind="steady", every=0.2)),
            )
    assert nothing == (None, b"")
    assert silent == ("silent", b": open\n\n")
    assert heartbeat[1].count(beat(100)) in (2, 3)
    assert steady[1].count(b"data: ") in (2, 3)


def test_a_search_is_part_of_a_run_and_of_its_recording(tmp_path, server):
    """
    `limits:` in a scenario: the streams are opened, recorded, judged again alike, and do not count for the criteria.
    """
    plan = tmp_path / "s.yml"
    plan.write_text(
        f"version: 1\ntarget: {{url: '{server}'}}\nprobes: [{{name: a, path: '/events?count=3&every=50ms', until: {{event: complete}}, limits: {{until: 1s}}}}]\n"
    )
    done = sse_check("run", plan, "--report-dir", tmp_path / "r", "--format", "json")
    again = sse_check("judge", tmp_path / "r/recording.ndjson", "--format", "json")
    assert (done.returncode, done.stdout) == (0, again.stdout)
    assert '"test_results": [' in done.stdout
    assert done.stdout.count('"phase": "stream"') == 1
    assert '"seconds": null' in done.stdout
