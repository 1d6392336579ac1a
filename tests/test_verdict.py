"""The verdict: viable, not viable, or not known, and the sentences it rests on."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_check.merging import merge
from sse_check.recording import FallbackRecording, Redirect, ServiceRecording, Shard, StreamRecording
from sse_check.scenario import BatchFallback, Fallback, Scenario, WebSocketFallback
from sse_check.verdict import CriterionResult, judge
from tests.support.streams import answer, every, judged, probe, recording, scenario, stream

SECONDS_20 = every(1.0, 20)
HELD = stream([1.9] * 20, sent=every(0.095, 20, first=0.05))
TERMINAL = {"event": "complete"}

WEBSOCKET = Fallback(websocket=WebSocketFallback(url="wss://app.example.test/ws"))
BATCH = Fallback(batch=BatchFallback(url="https://app.example.test/batch"))


def at_once(*streams: StreamRecording, count: int = 3, **rest: Any) -> Any:
    """What streams come to that were opened together, numbered in their order."""
    plan = scenario(probe(streams=count))
    return judged(*(renumbered(s, number) for number, s in enumerate(streams, 1)), of=plan, **rest)


def renumbered(value: StreamRecording, number: int) -> StreamRecording:
    return msgspec.structs.replace(value, stream=number, phase="concurrency")


# --- the three answers ------------------------------------------------------------------------------------------------


def test_a_stream_that_meets_every_criterion_is_viable():
    """
    Every criterion met and no fault found: streaming may be switched on.
    """
    outcome = judged(stream(SECONDS_20))

    assert (outcome.verdict, outcome.streaming_enabled, outcome.recommendation) == ("viable", True, "PROCEED with SSE")
    assert outcome.reasons == ("Every criterion is met and no streaming fault was found.",)
    assert outcome.criteria == (
        CriterionResult(
            probe="wallet",
            criterion="success_rate",
            passed=True,
            observed=100.0,
            limit=90.0,
            detail="20 of 20 events within 25s of the request.",
        ),
        CriterionResult(
            probe="wallet", criterion="first_event", passed=True, observed=0.1, limit=2.0, detail="First event after 100ms, limit 2s."
        ),
    )


NOT_VIABLE = [
    pytest.param(stream(SECONDS_20), {"expect": {"events": 40}}, id="too few on time"),
    pytest.param(stream(every(1.0, 9, first=2.1), head_at=2.05), {}, id="a late first event"),
    pytest.param(HELD, {}, id="a fault, although every percentage is met"),
    pytest.param(stream(SECONDS_20, ended="reset"), {}, id="cut, although 95 % arrived"),
    pytest.param(stream(SECONDS_20, ids=[str(n + (n > 10)) for n in range(20)]), {}, id="an event lost, although 95 % arrived"),
    pytest.param(stream(head=None, ended="error", reason="dns"), {}, id="refused"),
    pytest.param(stream(head=answer(503), body=9), {}, id="an error"),
    pytest.param(stream(SECONDS_20, head=answer(content_type="application/json")), {}, id="another type"),
    pytest.param(stream(head=None, ended="timeout", end=30.0), {}, id="no answer"),
    pytest.param(stream(every(1.0, 5), ended="timeout", end=30.0), {"until": TERMINAL}, id="stalled"),
]


@pytest.mark.parametrize(("observed", "plan"), NOT_VIABLE)
def test_a_missed_criterion_or_a_fault_is_not_viable(observed: StreamRecording, plan: dict[str, Any]):
    """
    Either is enough, and the reasons say which.
    """
    outcome = judged(observed, of=scenario(probe(**plan)))

    assert (outcome.verdict, outcome.streaming_enabled, outcome.recommendation) == ("not-viable", False, "PUNT to WebSocket")
    assert outcome.reasons


def test_a_response_held_back_whole_fails_although_it_meets_the_percentages():
    """
    All events within 25 s and the first within 2 s, yet let go in one piece: the founding criteria are met and the verdict is no.
    """
    outcome = judged(HELD)

    assert [c.passed for c in outcome.criteria] == [True, True]
    assert (outcome.verdict, outcome.findings[0].code) == ("not-viable", "buffered-full")
    assert outcome.reasons == (outcome.findings[0].message,)


def test_a_warning_alone_does_not_fail():
    """
    A redirect on the way is worth a word, not a verdict.
    """
    hop = Redirect(status=302, location="https://app.example.test/there", at_ns=1)
    outcome = judged(stream(SECONDS_20, redirects=[hop]))

    assert (outcome.verdict, [f.code for f in outcome.findings]) == ("viable", ["redirected"])


UNKNOWN = [
    pytest.param((), {}, id="nothing was observed"),
    pytest.param((stream([], comments=[0.1], ended="timeout", end=9.0),), {}, id="one comment"),
    pytest.param((stream(every(1.0, 20), ended="timeout", end=20.5),), {"until": TERMINAL}, id="given up while events flowed"),
    pytest.param((stream(SECONDS_20, probe="another"),), {}, id="streams of other probes only"),
]


def test_a_quiet_stream_whose_heartbeats_come_through_streams():
    """
    No event was due and none came, but heartbeats arrived one by one: small pieces pass at once, which is the question.
    """
    assert judged(stream([], comments=every(1.0, 30), ended="timeout")).verdict == "viable"


@pytest.mark.parametrize(("streams", "plan"), UNKNOWN)
def test_what_was_not_seen_is_not_fine(streams: tuple[StreamRecording, ...], plan: dict[str, Any]):
    """
    Where nothing could be judged the verdict is neither yes nor no, and says why.
    """
    outcome = judged(*streams, of=scenario(probe(**plan)))

    assert (outcome.verdict, outcome.streaming_enabled, outcome.recommendation) == ("inconclusive", False, "MEASURE AGAIN")
    assert outcome.reasons[0]


def test_one_probe_that_was_not_observed_leaves_the_whole_open():
    """
    Two probes were asked for and one has streams: good as it looks, the other is named as not observed.
    """
    outcome = judged(stream(SECONDS_20, probe="a"), of=scenario(probe("a"), probe("b")))

    assert (outcome.verdict, outcome.reasons) == ("inconclusive", ("Not observed: `b`.",))


def test_one_probe_that_fails_fails_the_whole():
    """
    A fault of one probe is a no, whatever the others did or did not do.
    """
    outcome = judged(stream(SECONDS_20, probe="a"), stream(head=answer(500), probe="b"), of=scenario(probe("a"), probe("b"), probe("c")))

    assert (outcome.verdict, [c.passed for c in outcome.criteria]) == ("not-viable", [True, True, False, False])


@pytest.mark.parametrize("why", ["SIGINT", "SIGTERM", "budget", "the recording is not complete"])
@pytest.mark.parametrize(
    "observed", [stream(SECONDS_20), stream(head=answer(500)), stream(every(1, 3), ended="timeout", reason="interrupted")]
)
def test_an_interrupted_run_is_inconclusive(observed: StreamRecording, why: str):
    """
    However good or bad it looked: what was not completed is not judged, and the first reason says what ended it.
    """
    outcome = judged(observed, interrupted=why)

    assert (outcome.verdict, outcome.reasons[0]) == ("inconclusive", f"The run was not completed (`{why}`).")


@pytest.mark.parametrize(
    ("observed", "verdict"),
    [
        pytest.param(stream(SECONDS_20), "inconclusive", id="good"),
        pytest.param(stream([9.0] * 5, head_at=9.0), "inconclusive", id="late"),
        pytest.param(HELD, "inconclusive", id="held back, or not read"),
        pytest.param(stream(head=answer(500)), "not-viable", id="an error"),
        pytest.param(stream(head=None, ended="error", reason="dns"), "not-viable", id="refused"),
        pytest.param(stream(head=answer(content_type="text/html"), body=9, unknown_lines=1), "not-viable", id="a page"),
    ],
)
def test_a_noisy_machine_judges_no_times(observed: StreamRecording, verdict: str):
    """
    Where the machine itself was late no lateness can be blamed on anyone; a status or a type is what it is all the same.
    """
    assert judged(observed, loop_lag_p99=0.5).verdict == verdict


@pytest.mark.parametrize(
    "observed",
    [
        pytest.param(stream([5.05] * 10, sent=every(0.5, 10), head_at=5.05), id="looks held back"),
        pytest.param(stream([5.05, 5.5, 6.0, 6.5], head_at=5.05), id="looks late"),
    ],
)
def test_a_machine_that_froze_once_judges_no_times(observed: StreamRecording):
    """
    One freeze of five seconds is a single late sample among hundreds, too rare for the 99th percentile, yet it delays all that came
    meanwhile: what looks like a buffer may have been the machine itself.
    """
    assert judged(observed, loop_lag_p99=0.001, loop_lag_max=5.0).verdict == "inconclusive"


# --- the criteria -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("came", "due", "limit", "passed"),
    [(18, 20, 90.0, True), (17, 20, 90.0, False), (1_799, 2_000, 90.0, False), (1_999, 2_000, 100.0, False), (1_800, 2_000, 90.0, True)],
)
def test_the_success_rate_is_judged_as_it_is_and_not_rounded(came: int, due: int, limit: float, passed: bool):
    """
    At least 90 % means at least: 89.95 % is less, and one event lost of two thousand is not all.
    """
    outcome = judged(stream(every(0.005, came)), of=scenario(probe(expect={"events": due}), success_rate=limit))

    assert (outcome.criteria[0].passed, outcome.verdict) == (passed, "viable" if passed else "not-viable")


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 100))
def test_the_success_rate_is_met_exactly_where_its_fraction_is(came: int, due: int, limit: int):
    """
    For every number of events the criterion says what the fraction says.
    """
    outcome = judged(stream(every(0.001, came)), of=scenario(probe(expect={"events": due}), success_rate=float(limit)))

    assert outcome.criteria[0].passed is (100 * min(came, due) >= limit * due)


def test_no_first_event_where_one_was_due_is_a_miss():
    """
    A first event that never came is not "not known": it was owed.
    """
    outcome = judged(stream([], ended="timeout", end=30.0), of=scenario(probe(until=TERMINAL)))

    assert [(c.criterion, c.passed, c.detail) for c in outcome.criteria] == [
        ("success_rate", False, "0 of 1 events within 25s of the request."),
        ("first_event", False, "No first event in 1 of 1 streams."),
    ]


def test_the_slowest_stream_counts_for_the_first_event():
    """
    Three at once, one of them late: the criterion is that of the slowest.
    """
    outcome = at_once(stream(SECONDS_20), stream(SECONDS_20), stream(every(1, 20, first=2.5), head_at=2.4))

    assert [(c.criterion, c.passed, c.observed) for c in outcome.criteria] == [
        ("success_rate", True, 100.0),
        ("first_event", False, 2.5),
        ("streams", False, 2),
    ]


MINUTE = stream(every(1.0, 60))


def test_a_healthy_stream_that_outlasts_the_deadline_is_told_from_a_slow_one():
    """
    Late only by its age: the criterion is missed as the founding criteria have it, nothing is found, and the detail names the setting.
    """
    outcome = judged(MINUTE)
    (rate, first) = outcome.criteria

    assert (outcome.verdict, outcome.findings, rate.passed, first.passed) == ("not-viable", (), False, True)
    assert rate.detail.startswith(
        "25 of 60 events within 25s of the request. The stream is healthy and only lasts longer than the deadline"
    )
    assert "criteria.deadline_from: previous" in rate.detail
    assert "criteria.deadline_from: previous" in outcome.reasons[0]


@pytest.mark.parametrize("deadline_from", ["previous", "sent"])
def test_a_healthy_minute_is_viable_by_the_setting_that_is_named(deadline_from: str):
    """
    What the detail advises works.
    """
    observed = stream(every(1.0, 60), sent=every(1.0, 60, first=0.05))

    assert judged(observed, of=scenario(deadline_from=deadline_from)).verdict == "viable"


@pytest.mark.parametrize("until", [TERMINAL, {"data": "[DONE]"}, {"events": 60}])
def test_a_healthy_stream_that_sse_check_itself_gave_up_on_is_late_by_its_age_only(until: dict[str, Any]):
    """
    A minute's stream is given up after 30 s, as nothing says that it may last longer: what is missing was not due yet, so the detail
    names its age and the setting, and blames nobody.
    """
    outcome = judged(stream(every(1.0, 30), ended="timeout", end=30.0), of=scenario(probe(until=until)))

    assert "lasts longer than the deadline" in outcome.criteria[0].detail
    assert "criteria.deadline_from: previous" in outcome.criteria[0].detail


@pytest.mark.parametrize(
    "observed",
    [
        pytest.param(stream(every(1.0, 20) + [t + 50 for t in every(1.0, 20)]), id="a gap longer than the deadline"),
        pytest.param(stream(every(1.0, 40), ended="reset"), id="cut"),
        pytest.param(stream(every(1.0, 20, first=26.0), head_at=0.1), id="a first event after the deadline"),
    ],
)
def test_what_has_more_than_age_against_it_is_not_called_healthy(observed: StreamRecording):
    """
    The word "healthy" is kept for a stream that is.
    """
    assert all("healthy" not in c.detail for c in judged(observed).criteria)


def test_a_missing_event_is_no_matter_of_age():
    """
    Forty of sixty events came in 40 s and the response ended: the missing ones are missing.
    """
    outcome = judged(stream(every(1.0, 40)), of=scenario(probe(expect={"events": 60})))

    assert outcome.criteria[0].detail == "25 of 60 events within 25s of the request."


def test_without_stamps_nothing_is_said_to_count_from_its_sending():
    """
    `deadline_from: sent` needs stamps; where there are none events are counted from the request, and the detail does not say otherwise.
    """
    detail = judged(MINUTE, of=scenario(deadline_from="sent")).criteria[0].detail

    assert "of its sending" not in detail


# --- streams at once --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("streams", "passed", "observed"),
    [
        pytest.param([stream(SECONDS_20)] * 3, True, 3, id="all"),
        pytest.param([stream(SECONDS_20)] * 2 + [stream(SECONDS_20, ended="reset")], False, 2, id="one cut"),
        pytest.param([stream(SECONDS_20)] * 2 + [stream(head=answer(429))], False, 2, id="one turned away"),
        pytest.param([stream(head=answer(429))] * 3, False, 0, id="none"),
        pytest.param([stream([], comments=[0.1], ended="timeout", end=9.0)] * 3, None, 0, id="nothing to judge by"),
    ],
)
def test_streams_at_once_must_all_be_good(streams: list[StreamRecording], passed: bool | None, observed: int):
    """
    Three at once is met by three good streams, not by a good average.
    """
    (criterion,) = (c for c in at_once(*streams).criteria if c.criterion == "streams")

    assert criterion == CriterionResult(
        probe="wallet",
        criterion="streams",
        passed=passed,
        observed=observed,
        limit=3,
        detail=f"{observed} of 3 streams at once met the criteria.",
    )


def test_one_bad_stream_of_three_is_not_averaged_away():
    """
    Two streams in time and one late by half: 83 % together, and of the third alone 50 %: not viable even with a limit of 80 %.
    """
    late = stream(every(0.1, 10) + [t + 30 for t in every(0.1, 10)])
    plan = scenario(probe(streams=3), success_rate=80.0)
    streams = [renumbered(s, n) for n, s in enumerate([stream(SECONDS_20), stream(SECONDS_20), late], 1)]

    assert [c.passed for c in judged(*streams, of=plan).criteria] == [True, True, False]


def test_part_of_the_streams_alone_proves_nothing_about_all_at_once():
    """
    One recording of three shards: its one good stream says neither that three work nor that they do not.
    """
    outcome = at_once(stream(SECONDS_20))

    assert (outcome.verdict, outcome.criteria[-1].passed) == ("inconclusive", None)


def test_two_whole_runs_judged_as_one_can_be_viable():
    """
    The same scenario run twice: six good streams, three at once each time.
    """
    plan = scenario(probe(streams=3))
    run = recording(*(renumbered(stream(SECONDS_20), n) for n in (1, 2, 3)), scenario=plan)

    assert judge(merge([run, run])).verdict == "viable"


def test_a_shard_is_no_yes_and_can_be_a_no():
    """
    Good streams of a shard prove nothing of the others', and the reason says which shard it is; a fault is one of the whole.
    """
    plan = scenario(probe(streams=4), probe("elsewhere"))

    def seen(observed: StreamRecording) -> Any:
        return judge(msgspec.structs.replace(recording(renumbered(observed, 2), scenario=plan), shard=Shard(index=2, of=4)))

    good = seen(stream(SECONDS_20))
    assert (good.verdict, good.streaming_enabled) == ("inconclusive", False)
    assert "shard 2 of 4" in good.reasons[0]
    assert seen(HELD).verdict == "not-viable"


# --- the health check -------------------------------------------------------------------------------------------------


def health(**facts: Any) -> StreamRecording:
    """The health check as it was answered."""
    return stream(probe="health", phase="connect", **facts)


@pytest.mark.parametrize(
    ("check", "word"),
    [
        pytest.param(health(head=answer(503)), "503", id="an error"),
        pytest.param(health(head=answer(204, content_type=None)), "204", id="204"),
        pytest.param(health(head=answer(302)), "302", id="a redirect without a target"),
        pytest.param(health(head=None, ended="error", reason="dns", error="no such host"), "no such host", id="refused"),
        pytest.param(health(head=None, ended="error", reason="protocol", error="bad status line"), "bad status line", id="not HTTP"),
        pytest.param(health(head=None, ended="timeout", end=15.0), "15s", id="no answer"),
    ],
)
def test_a_health_check_that_is_not_answered_with_200_is_not_viable(check: StreamRecording, word: str):
    """
    Nothing else was asked, and the verdict's first reason is what the health check met.
    """
    outcome = judged(check, of=scenario(health="/health"))

    assert (outcome.verdict, outcome.criteria, outcome.metrics) == ("not-viable", (), ())
    assert word in outcome.reasons[0]


def test_a_probe_that_is_called_health_is_not_the_health_check():
    """
    What the health check met is no stream's fault, whatever the probes are called.
    """
    plan = scenario(probe("health"), health="/health")
    outcome = judged(health(head=answer(503)), stream(every(0.5, 10), probe="health"), of=plan)

    assert outcome.passed == (True,)
    assert outcome.verdict == "not-viable"


@pytest.mark.parametrize(
    "check",
    [
        health(head=answer(content_type="application/json"), body=20),
        health(head=answer(content_type=None)),
        health(head=answer(content_type="text/html"), body=900, ended="truncated"),
    ],
)
def test_a_health_check_need_not_be_a_stream(check: StreamRecording):
    """
    Answered with 200, it has done its part, whatever its body is.
    """
    assert judged(check, stream(SECONDS_20), of=scenario(health="/health")).verdict == "viable"


# --- the recommendation -----------------------------------------------------------------------------------------------


def tried(kind: Any, worked: bool) -> FallbackRecording:
    return FallbackRecording(kind=kind, url="https://app.example.test/x", worked=worked, seconds=0.1, detail="status 200")


@pytest.mark.parametrize(
    ("fallbacks", "results", "recommendation"),
    [
        pytest.param([], [], "PUNT to WebSocket", id="none named"),
        pytest.param([WEBSOCKET], [tried("websocket", True)], "PUNT to WebSocket", id="the one works"),
        pytest.param([BATCH], [tried("batch", True)], "PUNT to batch API", id="the batch API works"),
        pytest.param([WEBSOCKET, BATCH], [tried("websocket", False), tried("batch", True)], "PUNT to batch API", id="the first that works"),
        pytest.param([BATCH, WEBSOCKET], [tried("batch", True), tried("websocket", True)], "PUNT to batch API", id="in their order"),
        pytest.param([WEBSOCKET, BATCH], [tried("websocket", False), tried("batch", False)], "BLOCKED: no fallback works", id="none works"),
        pytest.param([WEBSOCKET], [tried("websocket", False)], "BLOCKED: no fallback works", id="the one does not work"),
    ],
)
def test_the_recommendation_is_the_first_fallback_that_works(
    fallbacks: list[Fallback], results: list[FallbackRecording], recommendation: str
):
    """
    Where SSE is not viable: the first of the scenario's fallbacks that worked, or that none does.
    """
    outcome = judged(stream(head=answer(500)), of=scenario(fallbacks=fallbacks), fallbacks=results)

    assert (outcome.verdict, outcome.recommendation) == ("not-viable", recommendation)


@pytest.mark.parametrize(
    ("observed", "interrupted", "recommendation"),
    [(stream(SECONDS_20), None, "PROCEED with SSE"), (stream(SECONDS_20), "SIGTERM", "MEASURE AGAIN")],
)
def test_fallbacks_count_only_where_sse_is_not_viable(observed: StreamRecording, interrupted: str | None, recommendation: str):
    """
    A fallback that works is no reason against a stream that works, nor for judging what was interrupted.
    """
    outcome = judged(observed, of=scenario(fallbacks=[WEBSOCKET]), fallbacks=[tried("websocket", True)], interrupted=interrupted)

    assert outcome.recommendation == recommendation


# --- purity -----------------------------------------------------------------------------------------------------------


def test_a_recording_can_be_judged_by_another_scenario():
    """
    A threshold can be changed after the fact: the same recording, other criteria, another verdict.
    """
    value = recording(stream(every(1.0, 9, first=2.5), head_at=2.4))
    other: Scenario = scenario(first_event=3.0)

    assert (judge(value).verdict, judge(value, other).verdict, judge(value).verdict) == ("not-viable", "viable", "not-viable")


# --- services -----------------------------------------------------------------------------------------------------------


def test_a_service_that_never_got_ready_leaves_everything_open():
    """
    Nothing was asked, so nothing is known; the reason is the service's.
    """
    failed = ServiceRecording(name="app", image="x", error="The service app cannot be asked: it exited with status 1 before it was ready.")
    outcome = judged(services=[failed])

    assert (outcome.verdict, outcome.recommendation) == ("inconclusive", "MEASURE AGAIN")
    assert outcome.reasons == (failed.error,)


def test_a_service_that_went_down_is_among_the_reasons():
    """
    What the stream shows decides, and that its service is gone is said beside it.
    """
    gone = ServiceRecording(name="app", image="x", seconds=0.1, state="exited with status 137")
    broken = judged(stream(every(1, 4), ended="truncated"), services=[gone])

    assert broken.verdict == "not-viable"
    assert broken.reasons[-1] == "The service `app` exited with status 137 while it was asked."
    assert judged(stream(SECONDS_20), services=[gone]).verdict == "viable"
