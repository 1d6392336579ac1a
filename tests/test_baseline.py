"""A run against an earlier one: what is called worse, what is not, and how often without a reason."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from sse_check.baseline import BaselineError, Change, Comparison, Run, compare, read_run, regressions
from sse_check.baseline.noise import chance_of_more, share, share_allowance, t_quantile
from sse_check.baseline.run import (
    Evidence,
    RunBound,
    RunCriterion,
    RunEnvironment,
    RunError,
    RunFinding,
    RunHeartbeat,
    RunHop,
    RunLimits,
    RunStream,
)
from sse_check.report import build_report, build_result, report_json
from sse_check.report.result import as_run
from sse_check.verdict import judge
from tests.support.noise import EVENTS, Noise, Truth, invented
from tests.support.streams import every, probe, recording, scenario, stream


def run(first: Sequence[float] = (0.3, 0.31, 0.33), *, came: int = EVENTS, probe: str = "wallet", **more: Any) -> Run:
    """A run of one probe, whose streams have their first events at these seconds."""
    streams = tuple(
        RunStream(probe=probe, stream=n, expected_events=EVENTS, on_time_events=came, first_event_time=at) for n, at in enumerate(first, 1)
    )
    defaults = {"test_timestamp": "2026-01-15T10:30:00Z", "verdict": "viable", "test_results": streams}
    return Run(schema_version=1, **{**defaults, **more})


def found(code: str, *streams: int, probe: str = "wallet", **evidence: float) -> RunFinding:
    """A finding."""
    return RunFinding(code=code, probe=probe, streams=streams, evidence=Evidence(**evidence))


def searched(**limits: Any) -> tuple[RunLimits, ...]:
    """What a search for limits found."""
    return (RunLimits(probe="wallet", **limits),)


def cut(*seconds: float) -> RunBound:
    """A limit that streams were cut at."""
    middle = sorted(seconds)[len(seconds) // 2]
    return RunBound(seconds=middle, survived=min(seconds), cuts=len(seconds), earliest=min(seconds), latest=max(seconds))


def only(comparison: Comparison) -> Change:
    """The only change."""
    (change,) = comparison.changes
    return change


def worse(now: Run, before: Run) -> list[str]:
    """What is called a regression, as its messages have it."""
    return [finding.message for finding in regressions(compare(now, before))]


# --- times and rates --------------------------------------------------------------------------------------------------


def test_a_first_event_that_takes_four_times_as_long_is_a_regression() -> None:
    """Three streams each: the change names both times and what the streams vary by, and the finding repeats them as figures."""
    comparison = compare(run([1.2, 1.25, 1.1]), run([0.3, 0.31, 0.29]))

    change = only(comparison)
    assert (change.figure, change.before, change.after, change.direction, change.confidence) == (
        "first_event_time",
        0.3,
        1.2,
        "worse",
        "likely",
    )
    assert change.detail.startswith("first event after 1.2s instead of 300ms; within the two runs it varies by up to ")
    (finding,) = regressions(comparison)
    assert (finding.code, finding.severity, finding.probe, finding.confidence) == ("regression", "warning", "wallet", "likely")
    assert finding.evidence == {"first_event_time": 1.2, "first_event_time_before": 0.3, "first_event_time_noise": change.noise}
    assert finding.message.startswith("Worse than in the run of `2026-01-15T10:30:00Z`: first event after 1.2s")
    assert finding.fixes


def test_what_got_better_is_a_change_and_no_regression() -> None:
    """The same the other way round."""
    comparison = compare(run([0.3, 0.31, 0.29]), run([1.2, 1.25, 1.1]))

    assert (only(comparison).direction, regressions(comparison)) == ("better", ())


def test_the_same_run_has_no_change() -> None:
    """Held against itself, nothing differs."""
    assert compare(run(), run()) == Comparison(test_timestamp="2026-01-15T10:30:00Z", verdict="viable", version="", changes=())


@pytest.mark.parametrize("first", [[0.3, 0.31, 3.0], [3.0, 0.31, 0.3]])
def test_one_cold_start_moves_nothing(first: list[float]) -> None:
    """One stream of three that waits ten times as long is no change."""
    assert compare(run(first), run()).changes == ()


def test_a_cold_start_in_the_earlier_run_does_not_hide_a_change() -> None:
    """One slow stream then, all of them slow now."""
    assert worse(run([1.2, 1.25, 1.1]), run([3.0, 0.31, 0.29]))


def test_five_thousand_streams_show_a_change_of_a_third_as_possible() -> None:
    """It is no chance, but runs at different times differ by as much: it is listed, and no regression."""
    rng = random.Random(1)
    comparison = compare(invented(rng, (5000,), Noise(), Truth(first_event=0.39)), invented(rng, (5000,), Noise()))

    assert {(c.figure, c.direction, c.confidence) for c in comparison.changes} == {("first_event_time", "worse", "possible")}
    assert "from run to run it may by more" in comparison.changes[0].detail
    assert regressions(comparison) == ()


def test_one_stream_alone_is_never_a_regression_in_time() -> None:
    """It does not show how much it varies: a threefold time is listed as possible, less is not, and it is said why."""
    comparison = compare(run([1.2]), run([0.3]))

    assert (only(comparison).confidence, only(comparison).noise) == ("possible", None)
    assert regressions(comparison) == ()
    assert compare(run([0.8]), run([0.3])).changes == ()
    assert comparison.not_compared[0].startswith("One stream of `wallet` does not show how much it varies")


def test_what_is_too_short_to_notice_is_no_change() -> None:
    """Three times as long, and still less than anybody notices."""
    assert compare(run([0.03, 0.03, 0.031]), run([0.01, 0.01, 0.011])).changes == ()


def test_what_the_machine_may_have_done_is_no_regression() -> None:
    """A difference no longer than one of the measuring machines stood still is listed as possible at most; within its usual error, not at all."""
    now, before = run([1.2, 1.25, 1.1]), run()
    frozen = run(environment=RunEnvironment(loop_lag_max=1.0))
    late = run(environment=RunEnvironment(loop_lag_p99=0.5))
    wrong = run(environment=RunEnvironment(measurement_error=RunError(p99=0.5)))
    exact = run(environment=RunEnvironment(loop_lag_p99=0.5, measurement_error=RunError(p99=0.0001)))

    assert worse(now, before)
    assert worse(now, exact)
    assert compare(now, wrong).changes == ()
    assert only(compare(now, frozen)).confidence == "possible"
    assert compare(now, late).changes == ()


def test_a_gap_that_is_gone_is_not_called_better() -> None:
    """Events that are held back come together: a shorter gap is a change of either kind."""
    gaps = [run(test_results=tuple(RunStream(probe="wallet", stream=n, median_gap=gap) for n in range(1, 4))) for gap in (0.0, 1.0)]

    assert (only(compare(gaps[0], gaps[1])).direction, only(compare(gaps[1], gaps[0])).direction) == ("changed", "worse")


def test_events_that_all_streams_lose_are_a_regression() -> None:
    """From all events to four of five, in each of five streams."""
    comparison = compare(run([0.3] * 5, came=16), run([0.3] * 5))

    change = only(comparison)
    assert (change.figure, change.before, change.after, change.unit, change.confidence) == ("success_rate", 100.0, 80.0, "%", "likely")
    assert change.detail.startswith("80 % of the events on time instead of 100 %")


def test_one_stream_that_is_broken_off_is_no_regression() -> None:
    """Its events share its fate: they count as one mishap, not as twelve."""
    broken = msgspec.structs.replace(run().test_results[0], on_time_events=8)

    assert not worse(run(test_results=(broken, *run().test_results[1:])), run())


def test_a_few_streams_of_many_that_are_broken_off_are_no_regression() -> None:
    """Three of twenty may be cut by chance where none was before: it is listed as possible. Eight may not."""
    whole = run([0.3] * 20)

    def broken(count: int) -> Run:
        cut_short = [msgspec.structs.replace(s, on_time_events=10) for s in whole.test_results[:count]]
        return run(test_results=(*cut_short, *whole.test_results[count:]))

    assert only(compare(broken(3), whole)).confidence == "possible"
    assert worse(broken(8), whole)


def test_a_sentence_says_what_is_compared_with_other_streams() -> None:
    """A probe that one run has alone, and a load that is more than twice another."""
    comparison = compare(run([0.3] * 7), run(test_results=(*run().test_results, RunStream(probe="old"))))

    assert comparison.not_compared == (
        "Only the earlier run has `old`.",
        "`wallet` had 7 streams instead of 3: under another load its figures are not compared.",
    )


# --- faults -----------------------------------------------------------------------------------------------------------


def test_a_new_fault_of_a_configuration_is_a_regression_by_one_stream() -> None:
    """What a proxy does, it does to every stream."""
    comparison = compare(run([0.3], findings=(found("buffered-full", 1),)), run([0.3]))

    assert (only(comparison).figure, only(comparison).confidence, only(comparison).after) == ("buffered-full", "certain", 1)
    assert only(comparison).detail == "new: buffered-full in 1 of 1 streams"
    assert [f.confidence for f in regressions(comparison)] == ["certain"]


@pytest.mark.parametrize(
    ("code", "now", "before", "is_worse"),
    [
        ("truncated", (1, 2, 3), (), True),
        ("truncated", (1,), (), False),  # one in three may be cut now and then
        ("truncated", (1, 2, 3), (1,), False),
        ("lost-events", (1, 2, 3), (), False),  # one event of twenty is enough for it
        ("slow-first-event", (1, 2, 3), (), False),  # the time itself is compared
        ("redirected", (1,), (2,), False),
    ],
)
def test_a_fault_that_may_be_chance_is_a_regression_only_in_all_streams(
    code: str, now: tuple[int, ...], before: tuple[int, ...], is_worse: bool
) -> None:
    """All of at least three streams, and none before."""
    assert bool(worse(run(findings=(found(code, *now),)), run(findings=(found(code, *before),) if before else ()))) is is_worse


def test_two_streams_are_too_few_to_call_their_fault_new() -> None:
    """It would be so in one pair of runs in sixteen, of a fault that every second stream has."""
    assert not worse(run([0.3, 0.3], findings=(found("truncated", 1, 2),)), run([0.3, 0.3]))
    assert not worse(run([0.3, 0.3], findings=(found("truncated", 1, 2),)), run([0.3, 0.3, 0.3]))


def test_many_streams_show_that_a_fault_is_more_frequent() -> None:
    """From one in a hundred to one in five, and back."""
    rare, frequent = (run([0.3] * 100, findings=(found("truncated", *range(1, n + 1)),)) for n in (1, 20))

    assert only(compare(frequent, rare)).detail == "truncated in 20 of 100 streams instead of 1 of 100"
    assert worse(frequent, rare)
    assert only(compare(rare, frequent)).direction == "better"


def test_a_fault_that_is_gone_is_better() -> None:
    """And no finding."""
    comparison = compare(run(), run(findings=(found("buffered-full", 1, 2, 3),)))

    assert (only(comparison).direction, only(comparison).detail) == ("better", "buffered-full is gone, which 3 of 3 streams had")


def test_what_could_not_be_seen_before_is_not_worse() -> None:
    """Streams that are opened now, and were refused before, may have had the fault all along."""
    comparison = compare(run(findings=(found("buffered-full", 1, 2, 3),)), run(findings=(found("refused", 1, 2, 3),)))

    assert {(c.figure, c.direction) for c in comparison.changes} == {("buffered-full", "changed"), ("refused", "better")}
    assert regressions(comparison) == ()


def test_a_fault_that_was_only_possible_is_not_compared() -> None:
    """Neither is the measuring machine's own, nor an earlier regression."""
    guess = msgspec.structs.replace(found("buffered-full", 1, 2, 3), confidence="possible")

    assert compare(run(findings=(guess, found("regression"))), run()).changes == ()


# --- limits -----------------------------------------------------------------------------------------------------------

NONE = RunBound(survived=90.0)


@pytest.mark.parametrize(
    ("now", "before", "direction", "detail"),
    [
        (cut(30, 30.2), cut(60, 60.1), "worse", "limit on silence 30.2s instead of 60.1s"),
        (cut(60, 60.1), cut(30, 30.2), "better", "limit on silence 60.1s instead of 30.2s"),
        (cut(30, 30.2), NONE, "worse", "limit on silence 30.2s; before, 90s were survived"),
        (NONE, cut(30, 30.2), "better", "limit on silence 30.2s is gone: 90s were survived"),
    ],
)
def test_a_limit_that_fell_or_appeared_is_worse(now: RunBound, before: RunBound, direction: str, detail: str) -> None:
    """One that rose or vanished is better."""
    change = only(compare(run(limits=searched(idle=now)), run(limits=searched(idle=before))))

    assert (change.figure, change.direction, change.confidence) == ("idle", direction, "certain")
    assert change.detail == detail


@pytest.mark.parametrize(("now", "before"), [(cut(30.0), cut(30.4)), (cut(62.0), cut(60.0)), (cut(30, 30, 33), cut(33.0))])
def test_limits_within_half_a_second_a_twentieth_or_their_own_spread_are_the_same(now: RunBound, before: RunBound) -> None:
    """Proxies keep time by ticks of their own."""
    assert compare(run(limits=searched(idle=now)), run(limits=searched(idle=before))).changes == ()


@pytest.mark.parametrize("which", [0, 1])
def test_a_limit_beyond_what_the_other_search_saw_is_not_compared(which: int) -> None:
    """The shorter search cannot know, and a sentence says so."""
    runs = [run(limits=searched(idle=cut(60.0))), run(limits=searched(idle=RunBound(survived=20.0)))]
    comparison = compare(runs[which], runs[1 - which])

    assert comparison.changes == ()
    assert "is not compared, as" in comparison.not_compared[0]


def test_heartbeats_that_are_held_back_now_are_worse() -> None:
    """Sizes are searched for by powers of two: less than twice as much is the same."""
    passing, held, larger = (
        run(limits=searched(heartbeat=RunHeartbeat(passed=passed, swallowed=swallowed)))
        for passed, swallowed in ((16, None), (4096, 2048), (4096, 3072))
    )

    assert only(compare(held, passing)).detail == "heartbeats of up to 2,048 bytes are held back, instead of none"
    assert worse(held, passing)
    assert only(compare(passing, held)).direction == "better"
    assert compare(larger, held).changes == ()


def test_limits_that_streams_ran_into_are_compared_without_a_search() -> None:
    """By the seconds in the findings of both runs."""
    now, before = (run(findings=(found("duration-limit", 1, 2, 3, max_duration=s),)) for s in (30.0, 60.0))

    assert (only(compare(now, before)).figure, only(compare(now, before)).direction) == ("total", "worse")


# --- the way, and runs that carry no answer ---------------------------------------------------------------------------


def test_hops_and_protocols_that_came_or_went_stand_beside_a_regression() -> None:
    """They are no regression by themselves, but may be its cause."""
    streams = tuple(msgspec.structs.replace(s, protocol="h2", first_event_time=1.2) for s in run().test_results)
    before = tuple(msgspec.structs.replace(s, protocol="http/1.1") for s in run().test_results)
    comparison = compare(
        run(test_results=streams, hops=(RunHop(name="Cloudflare"),)), run(test_results=before, hops=(RunHop(name="nginx"),))
    )

    assert [c.detail for c in comparison.changes if c.direction == "changed"] == [
        "Cloudflare came on the way", "nginx went on the way", "h2 instead of http/1.1",
    ]  # fmt: skip
    assert regressions(comparison)[0].message.endswith(
        " Between the two runs: Cloudflare came on the way; nginx went on the way; h2 instead of http/1.1."
    )


def test_another_verdict_is_a_change_and_no_regression_by_itself() -> None:
    """Near a criterion it falls on either side by chance."""
    comparison = compare(run(verdict="not-viable"), run())

    assert (only(comparison).figure, only(comparison).direction, regressions(comparison)) == ("verdict", "worse", ())
    assert only(compare(run(verdict="inconclusive"), run())).direction == "changed"


@pytest.mark.parametrize("noisy", [0, 1])
def test_a_machine_that_was_late_makes_no_regression(noisy: int) -> None:
    """Of neither run, and a sentence says so."""
    runs = [run([1.2, 1.25, 1.1], came=10, findings=(found("buffered-full", 1),)), run()]
    runs[noisy] = msgspec.structs.replace(runs[noisy], findings=(*runs[noisy].findings, found("runner-noise", probe="")))
    comparison = compare(*runs)

    assert comparison.changes == ()
    assert "was measured by a machine that was too late to judge" in comparison.not_compared[0]


def test_an_interrupted_run_is_not_blamed_for_events_that_never_came() -> None:
    """Times are still compared."""
    comparison = compare(run([1.2, 1.25, 1.1], came=10, interrupted="SIGINT"), run())

    assert [c.figure for c in comparison.changes] == ["first_event_time"]
    assert comparison.not_compared == ("This run was interrupted: success rates are not compared.",)


def test_other_questions_are_said() -> None:
    """Another target, other criteria, another meaning of on time."""
    now = run(
        came=10, target_url="https://new.example", criteria=(RunCriterion(probe="wallet", criterion="success_rate", limit=95),),
        event_deadline=5.0, deadline_from="request",
    )  # fmt: skip
    before = run(
        target_url="https://old.example", criteria=(RunCriterion(probe="wallet", criterion="success_rate", limit=90),),
        event_deadline=25.0, deadline_from="request",
    )  # fmt: skip
    comparison = compare(now, before)

    assert comparison.changes == ()
    assert comparison.not_compared == (
        "The earlier run asked `https://old.example`, this one `https://new.example`: changes may be differences between the two.",
        "The two runs had other criteria: the verdicts are not to be compared.",
        "Events were on time within 5s from request now, and 25s from request before: success rates are not compared.",
    )


def test_the_worst_comes_first() -> None:
    """The verdict, then what is certain before what is likely before what is possible; what got better comes last."""
    now = run([1.2, 1.25, 1.1], verdict="not-viable", findings=(found("buffered-full", 1),))
    before = run(findings=(found("cached", 1),))

    assert [c.figure for c in compare(now, before).changes] == ["verdict", "buffered-full", "first_event_time", "cached"]


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_report_as_it_is_written_reads_as_the_run_that_it_is_of() -> None:
    """The present result and its report.json come to the same run, so that one comparison serves both."""
    made = recording(stream(every(1.0, 20)), stream([20.0] * 20, number=2))
    result = build_result(made, judge(made))
    present = msgspec.convert(result, Run, from_attributes=True)

    assert read_run(report_json(result), "report.json") == present
    assert present.test_results[0].first_event_time == 0.1
    assert compare(present, present).changes == ()


def test_a_report_of_another_release_is_read_leniently() -> None:
    """Keys that it has more are passed over, keys that it lacks are filled in."""
    old = read_run(
        b'{"schema_version": 1, "verdict": "viable", "new": {"x": [1]}, "test_results": [{"probe": "a", "colour": 1}]}', "old.json"
    )

    assert old == Run(schema_version=1, verdict="viable", test_results=(RunStream(probe="a"),))


def _report(stream: str) -> bytes:
    return b'{"schema_version": 1, "verdict": "viable", "test_results": [{"probe": "a", %s}]}' % stream.encode()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (_report('"phase": "\\ud800"'), "is not JSON"),
        (b"[]", "is no report of sse-check"),
        (b'{"schema_version": 1}', "is no report of sse-check"),
        (b'{"schema_version": 2, "verdict": "viable", "test_results": []}', "has the schema_version 2; this release compares with version 1"),
        (_report('"first_event_time": NaN'), "is not JSON"),
        (_report('"first_event_time": 1e400'), "is no report of sse-check: Number out of range"),
        (_report('"first_event_time": 1e300'), "is no report of sse-check"),
        (_report('"first_event_time": -1'), "is no report of sse-check"),
        (_report('"first_event_time": "1"'), "is no report of sse-check"),
        (_report('"on_time_events": 1.5'), "is no report of sse-check"),
        (_report('"on_time_events": 99999999999999999999'), "is no report of sse-check"),
        (_report('"x": ' + "[" * 200_000), "is no report of sse-check: it is nested too deeply"),
        (b" " * 100_000_001, "has 100,000,001 bytes, more than any report"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_report_is_refused_with_what_would_be_right(raw: bytes, said: str) -> None:
    """The message names the file and what is wrong with it."""
    with pytest.raises(BaselineError) as error:
        read_run(raw, "a\x1bb.json")

    assert str(error.value).startswith("`a\\x1bb.json` ")
    assert said in str(error.value)
    assert "report.json of an earlier run" in str(error.value) or "report of this release" in str(error.value)


@pytest.mark.parametrize("delay", ["1e300", "-5"])
def test_a_delay_by_stamps_of_no_clock_is_none(delay: str) -> None:
    """A server may stamp its events with any numbers: the report that says so is one all the same, and that delay is not compared."""
    assert read_run(_report(f'"delay_p99": {delay}'), "report.json").test_results[0].delay_p99 is None


def test_what_a_report_says_is_harmless_in_a_sentence() -> None:
    """Names, codes and times of a report from anywhere cannot move a cursor or become markup."""
    evil = "\x1b[2J`x`\n::error::"
    streams = tuple(msgspec.structs.replace(s, probe=evil, protocol=evil) for s in run().test_results)
    before = run(
        test_results=(*run().test_results, *streams), verdict=evil, test_timestamp=evil, target_url=evil, hops=(RunHop(name=evil),),
        findings=(found(evil, 1),), interrupted="no", environment=RunEnvironment(version=evil),
    )  # fmt: skip
    comparison = compare(run(), before)
    texts = [
        *(c.detail + c.name + c.figure + str(c.before) for c in comparison.changes),
        *comparison.not_compared, comparison.test_timestamp, comparison.verdict, comparison.version,
    ]  # fmt: skip

    assert len(comparison.changes) > 1
    assert all(text.isprintable() for text in texts)


def test_a_comparison_is_json() -> None:
    """It goes into report.json as it is, and comes back the same."""
    comparison = compare(run([1.2, 1.25, 1.1], hops=(RunHop(name="nginx"),)), run())

    assert msgspec.json.decode(msgspec.json.encode(comparison), type=Comparison) == comparison


# --- chance -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tail", "freedom", "quantile"),
    [(0.025, 10, 2.228), (0.025, 5, 2.571), (0.0025, 4, 5.598), (0.0025, 10, 3.581), (0.001, 30, 3.385), (0.025, 1e9, 1.960)],
)
def test_students_t_is_that_of_the_tables(tail: float, freedom: float, quantile: float) -> None:
    """Within 2 % from four degrees of freedom on."""
    assert t_quantile(tail, freedom) == pytest.approx(quantile, rel=0.02)


def test_fishers_test_is_that_of_the_tables() -> None:
    """The lady who tasted tea: 3 of 4 right, 0.243; all right, 1 in 70."""
    assert chance_of_more(3, 4, 1, 4) == pytest.approx(17 / 70)
    assert chance_of_more(4, 4, 0, 4) == pytest.approx(1 / 70)


def test_events_of_streams_that_differ_are_worth_fewer() -> None:
    """Twelve events that one stream of three lost say little more than one stream does; four that each lost are twelve."""
    assert share([(16, 20)] * 3).worth == 60
    assert share([(20, 20), (20, 20), (8, 20)]).worth == pytest.approx(4)
    assert share([(20, 20)]).worth == 1


def test_newcombes_interval_is_that_of_his_paper() -> None:
    """Newcombe 1998, table II (a): 56/70 and 48/80 differ by 0.2, from 0.0524 on at 95 % by method 10."""
    one, other = (share([(right // 2, of // 2)] * 2) for right, of in ((56, 70), (48, 80)))

    assert 0.2 - share_allowance(one, other, 0.025) == pytest.approx(0.0524, abs=0.0001)


FALSE_ALARMS = {
    "streams vary": Noise(within=0.5),
    "some take ten times as long": Noise(within=0.3, outliers=0.02),
    "a heavy tail": Noise(pareto=1.5),
    "events are lost and streams cut": Noise(lost=0.05, cut=0.02),
    "runs differ": Noise(drift=0.2),
    "all of it": Noise(within=0.3, outliers=0.02, drift=0.15, lost=0.01, cut=0.02),
}


@pytest.mark.parametrize("noise", FALSE_ALARMS.values(), ids=FALSE_ALARMS.keys())
@pytest.mark.parametrize("shape", [(3,), (3, 1), (20,)], ids=str)
def test_runs_of_one_deployment_are_called_worse_less_than_once_in_a_hundred(noise: Noise, shape: tuple[int, ...]) -> None:
    """Whatever varies: streams, runs, events."""
    rng, pairs = random.Random(20), 400 if 20 in shape else 1000
    alarms = sum(bool(worse(invented(rng, shape, noise), invented(rng, shape, noise))) for _ in range(pairs))

    assert alarms < pairs / 100


@pytest.mark.parametrize(
    ("shape", "truth"),
    [((3,), Truth(first_event=1.2)), ((5,), Truth(arrive=0.8)), ((3, 1), Truth(fault="truncated"))],
    ids=["four times the first event", "a fifth of the events", "a new fault"],
)
def test_what_changed_is_noticed_nine_times_in_ten(shape: tuple[int, ...], truth: Truth) -> None:
    """Runs differ by 10 % here besides."""
    rng, noise = random.Random(20), Noise(drift=0.1)
    noticed = sum(bool(worse(invented(rng, shape, noise, truth), invented(rng, shape, noise))) for _ in range(200))

    assert noticed >= 180


# --- a cure -----------------------------------------------------------------------------------------------------------

CADENCE = every(0.2, 20)
STREAMING = recording(*(stream(CADENCE, sent=CADENCE, number=n) for n in (1, 2, 3)))
HELD_BACK = {
    "whole": [4.0] * 20,
    "in blocks": [at for at in (1.0, 2.0, 3.0, 4.0) for _ in range(5)],
    "by a timer": [at for at in (0.9, 1.9, 2.9, 3.9) for _ in range(5)],
}


@pytest.mark.parametrize("arrivals", HELD_BACK.values(), ids=HELD_BACK)
def test_a_cure_is_no_regression(arrivals: list[float]) -> None:
    """Events that were held back came together; that they come one by one again is better, and their pace is not compared."""
    held = recording(*(stream(arrivals, sent=CADENCE, number=n) for n in (1, 2, 3)))
    now, before = (as_run(build_result(value, judge(value))) for value in (STREAMING, held))
    comparison = compare(now, before)

    assert before.findings
    assert regressions(comparison) == ()
    assert {c.direction for c in comparison.changes if c.confidence != "possible"} == {"better"}
    assert any(c.figure == "verdict" and c.confidence == "certain" for c in comparison.changes)
    assert not any(c.figure == "median_gap" for c in comparison.changes)


def test_the_verdict_is_told_and_is_no_regression_by_itself() -> None:
    """It falls on either side of a criterion by chance; what made it fall is compared."""
    comparison = compare(run(verdict="not-viable"), run())

    assert only(comparison).detail == "the verdict is not-viable instead of viable"
    assert regressions(comparison) == ()


# --- odd runs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stamps", [[1e15, 1e300, 2e15], [1e15, -1e15, 3e15, 4e15]])
def test_a_server_that_stamps_nonsense_is_compared_all_the_same(stamps: list[float]) -> None:
    """Delays that no run has are left out: what a server writes ends no comparison."""
    plan = scenario(probe(timestamps={"field": "ts", "unit": "ms"}))
    odd = recording(stream(every(1, len(stamps)), fields={"ts": stamps}), scenario=plan)
    sound = recording(stream(every(1, 3)))

    assert build_report(odd, before=sound).result.baseline is not None
    assert build_report(sound, before=odd).result.baseline is not None


def test_a_limit_that_the_earlier_run_was_too_short_for_is_no_regression() -> None:
    """Streams of five seconds cannot have met a limit of thirty."""
    short = tuple(msgspec.structs.replace(s, end_time=5.0) for s in run().test_results)
    comparison = compare(run(findings=(found("idle-timeout", 1, 2, 3, idle_timeout=30.0),)), run(test_results=short))

    assert regressions(comparison) == ()
    assert only(comparison).direction == "changed"


def test_another_path_is_another_question() -> None:
    """The same probe at another path is not compared, and that is said; another host or query is."""

    def at(url: str, *first: float) -> Run:
        return run(test_results=tuple(msgspec.structs.replace(s, url=url) for s in run(first).test_results))

    slow, fast = (1.2, 1.25, 1.1), (0.3, 0.31, 0.29)
    moved = compare(at("http://a/1", *slow), at("http://a/2", *fast))

    assert moved.changes == ()
    assert any("another path with `wallet`" in sentence for sentence in moved.not_compared)
    assert only(compare(at("http://a/1?x=1", *slow), at("http://b/1", *fast))).figure == "first_event_time"


def test_a_fault_that_is_only_known_by_a_new_hint_is_no_regression() -> None:
    """The same stream, judged by more than before: what is seen now may have been there all the time."""
    arrivals = stream([10.0] * 20)
    now = build_report(recording(arrivals, scenario=scenario(probe(expect={"every": 0.5}), first_event=15.0))).result
    before = build_report(recording(arrivals, scenario=scenario(probe(), first_event=15.0))).result
    comparison = compare(as_run(now), as_run(before))

    assert [f.code for f in now.findings] == ["buffered-full"]
    assert before.findings == ()
    assert regressions(comparison) == ()
    assert any("something else of `wallet`" in sentence for sentence in comparison.not_compared)
