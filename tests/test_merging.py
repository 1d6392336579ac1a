"""Several recordings as one: shards give what one machine would have recorded, and other runs are told apart."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sse_check.merging import merge
from sse_check.recording import Calibration, FallbackRecording, Recording, RecordingError, Shard, StreamRecording, from_lines, to_lines
from sse_check.shards import Part, share
from sse_check.verdict import judge
from tests.support import drawn
from tests.support.streams import every, probe, recording, scenario, stream

PLAN = scenario(probe("alone"), probe("other"), probe("together", streams=9))


@st.composite
def runs(draw: st.DrawFn) -> list[list[StreamRecording]]:
    """What one machine observes of PLAN, in groups as they follow each other."""

    def observed(name: str, phase: Any, count: int = 1) -> list[StreamRecording]:
        return [replace(draw(drawn.streams((name,))), phase=phase, stream=number) for number in range(1, count + 1)]

    return [observed("alone", "stream"), observed("other", "stream"), observed("together", "concurrency", 9)]


def shards_of(whole: Recording, parts: list[list[StreamRecording]], **rest: Any) -> list[Recording]:
    """A run taken apart: the recordings of its shards, each with its share of the machine's samples."""
    of = len(parts)
    samples = whole.environment.loop_lag_samples // of
    environment = replace(whole.environment, loop_lag_samples=samples)
    return [
        replace(whole, streams=tuple(mine), shard=Shard(index=index, of=of, **rest), environment=environment)
        for index, mine in enumerate(parts, 1)
    ]


@settings(max_examples=60)
@given(groups=runs(), of=st.integers(2, 8), later=st.lists(drawn.streams(("alone", "together")), max_size=3), order=st.randoms())
def test_shards_judged_together_give_what_one_recording_gives(groups, of, later, order):
    """
    Whatever the streams: the same recording, so the same verdict, counts and percentiles, in whatever order the files are named.
    """
    later = [replace(s, phase=phase) for s, phase in zip(later, ("follow-up", "resume", "limits"), strict=False)]
    whole = recording(*(s for group in groups for s in group), *later, scenario=PLAN, loop_lag_samples=840)
    parts = [[s for group in share(groups, Part(index=index, of=of)) for s in group] for index in range(1, of + 1)]
    parts[order.randrange(of)] += later
    shards = shards_of(whole, parts, start_at="2026-01-15T10:30:00Z")
    order.shuffle(shards)

    # Whether they were open together is the machines' clocks' to say, and has a test of its own.
    assert replace(merge(shards), environment=whole.environment, apart=()) == whole


def test_every_shard_checks_the_health_and_the_answer_is_the_same():
    """
    A health check more changes no verdict and no figure of a stream.
    """
    plan = scenario(probe(streams=4), health="/health")
    health = stream(probe="health", phase="connect")
    streams = [stream(every(0.5, 10), number=number, phase="concurrency") for number in (1, 2, 3, 4)]
    whole = recording(health, *streams, scenario=plan)
    together = merge(shards_of(whole, [[health, streams[0], streams[2]], [health, streams[1], streams[3]]]))

    assert judge(together) == judge(whole)
    assert judge(together).verdict == "viable"


@pytest.mark.parametrize(
    ("indexes", "message"),
    [
        ([1, 2, 4], "^shard 3 of 4 is missing"),
        ([3], "^shards 1, 2 and 4 of 4 are missing"),
        ([1, 2, 2, 3, 4], "^shard 2 of 4 is there more than once"),
        ([1, 2, 2, 4], "^shard 2 of 4 is there more than once"),
    ],
)
def test_a_missing_shard_is_an_error_that_names_it(indexes, message):
    """
    What was not observed is not judged; nor is a shard counted twice.
    """
    shards = [replace(recording(scenario=PLAN), shard=Shard(index=index, of=4)) for index in indexes]

    with pytest.raises(RecordingError, match=message):
        merge(shards)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (None, "some are not"),
        (Shard(index=2, of=3), "different runs: one of 2 and 3 shards each"),
        (Shard(index=2, of=2, start_at="2026-01-15T10:40:00Z"), "begin at 2026-01-15T10:30:00Z and 2026-01-15T10:40:00Z"),
        (Shard(index=2, of=2), "begin at 2026-01-15T10:30:00Z and no common instant"),
    ],
)
def test_shards_of_different_runs_are_refused(other, message):
    """
    A recording that was left from an earlier run must not take the place of one that is missing.
    """
    first = replace(recording(scenario=PLAN), shard=Shard(index=1, of=2, start_at="2026-01-15T10:30:00Z"))

    with pytest.raises(RecordingError, match=message):
        merge([first, replace(recording(scenario=PLAN), shard=other)])


def test_a_fallback_that_fails_for_one_shard_has_failed():
    """
    Each stands once, in the scenario's order, as if one machine had tried them.
    """

    def tried(kind: Any, worked: bool) -> FallbackRecording:
        return FallbackRecording(kind=kind, url="https://app.example.test/", worked=worked, seconds=0.2, detail="")

    shards = shards_of(recording(scenario=PLAN), [[], [], []])
    shards[0] = replace(shards[0], fallbacks=(tried("websocket", True),))
    shards[2] = replace(shards[2], fallbacks=(tried("websocket", False), tried("batch", True)))

    assert merge(shards).fallbacks == (tried("websocket", False), tried("batch", True))


def test_the_worst_of_every_machine_counts():
    """
    One freeze of one machine may have delayed what it saw.
    """
    sharp, blunt = (Calibration(samples=9, error_p50=e, error_p99=e, error_max=e, clock="kernel") for e in (1e-5, 1e-3))
    slow = recording(loop_lag_p99=0.02, loop_lag_max=0.03, calibration=sharp)
    frozen = recording(loop_lag_p99=0.001, loop_lag_max=4.0, calibration=blunt)
    environment = merge([slow, frozen]).environment

    assert (environment.loop_lag_p99, environment.loop_lag_max, environment.loop_lag_samples) == (0.02, 4.0, 2000)
    assert environment.calibration == blunt


@pytest.mark.parametrize(("later", "apart"), [(0.0, 0), (4.0, 0), (95.0, 1)])
def test_shards_that_did_not_overlap_prove_nothing_of_streams_at_once(later, apart):
    """
    Streams that were over on one machine before they began on another were not open at once: never viable, and the reports say why,
    those of the merged recording too.
    """
    one, two = (stream(every(0.5, 10), probe="together", number=number, phase="concurrency") for number in (1, 2))
    shards = shards_of(recording(scenario=PLAN), [[one], [replace(two, sent_at=two.sent_at + later)]])
    merged = merge(shards)

    assert from_lines(to_lines(merged), file="merged") == merged
    assert len(merged.apart) == apart
    for text in merged.apart:
        assert "those of shard 2 began 90.4s after those of shard 1" in text
        assert (judge(merged).verdict, judge(merged).reasons) == ("inconclusive", (text,))


def test_parts_of_one_run_are_judged_as_one():
    """
    The parts' streams and fallbacks stand together, the run began with the first part, and the machine is the latest of all.
    """
    plan = scenario(probe(streams=3))
    tried = FallbackRecording(kind="batch", url="https://app.example.test/batch", worked=True, seconds=0.2, detail="status 200")
    streams = [stream(every(0.5, 10), number=number, phase="concurrency") for number in (1, 2, 3)]
    first = recording(streams[0], scenario=plan, loop_lag_p99=0.001)
    second = replace(recording(*streams[1:], scenario=plan, fallbacks=[tried], loop_lag_p99=0.09), started_at="2026-01-15T10:29:59Z")
    whole = merge([first, second])

    assert whole == replace(second, streams=tuple(streams), environment=replace(second.environment, loop_lag_samples=2000))
    assert judge(whole).verdict == "viable"


def test_runs_that_number_their_streams_alike_are_told_apart():
    """
    Of two regions each has a first stream: the later one's are counted on, so that a fault of one is not the other's.
    """
    plan = scenario(probe(streams=2))
    good = [stream(every(0.5, 10), number=number, phase="concurrency") for number in (1, 2)]
    bad = [stream(head=None, ended="error", reason="tcp", number=number, phase="concurrency") for number in (1, 2)]
    whole = merge([recording(*good, scenario=plan), recording(*bad, scenario=plan)])

    assert [s.stream for s in whole.streams] == [1, 2, 3, 4]
    assert judge(whole).passed == (True, True, False, False)


def test_one_part_alone_stays_as_it_is():
    """
    One recording merged with nothing is itself.
    """
    value = recording(stream([0.1]))

    assert merge([value]) == value


def test_an_interrupted_part_interrupts_the_whole():
    """
    What one part did not see, the whole did not see.
    """
    parts = [recording(stream(every(0.5, 9))), recording(stream(every(0.5, 9), number=2), interrupted="SIGTERM")]

    assert merge(parts).interrupted == "SIGTERM"
    assert judge(merge(parts)).verdict == "inconclusive"


def test_parts_of_different_scenarios_are_refused():
    """
    Recordings of different scenarios have no verdict in common.
    """
    with pytest.raises(RecordingError, match="different scenarios"):
        merge([recording(), recording(scenario=scenario(first_event=3.0))])
