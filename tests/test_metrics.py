"""Figures of a stream: each by its definition and the example in its docstring."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_check.metrics import expected_events, lateness, percent, percentile
from sse_check.scenario import Criteria
from sse_check.stamps import Stamps
from tests.support.streams import every, measured, probe, scenario, stream

STAMPS = Stamps(field="ts", resolution=0.001, sent=(0.0, 1.0, 2.0), arrived=(2.1, 2.1, 2.1), events=(0, 1, 2))


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(19, 20, 95.0), (1, 3, 33.3), (0, 0, 0.0), (0, 5, 0.0), (5, 5, 100.0)],
)
def test_percent_is_to_a_tenth_and_of_nothing_zero(part: int, whole: int, expected: float):
    """
    19 of 20 are 95.0 %, 1 of 3 are 33.3 %, and of nothing it is 0.
    """
    assert percent(part, whole) == expected


def test_percent_is_never_rounded_up_to_all():
    """
    Where something is missing the figure is below 100.
    """
    assert percent(9_999, 10_000) < 100.0


def test_the_success_rate_is_on_time_events_of_the_expected_ones():
    """
    19 of 20 expected events on time are 95.0 %.
    """
    m = measured(stream([*every(1.0, 19), 26.0]), scenario(probe(expect={"events": 20})))

    assert (m.on_time, m.expected, m.success_rate) == (19, 20, 95.0)


def test_the_median_gap_is_the_middle_one():
    """
    Of the gaps 0.1, 0.1 and 5.0 it is 0.1; with fewer than two events there is none.
    """
    assert measured(stream([1.0, 1.1, 1.2, 6.2])).median_gap == pytest.approx(0.1)
    assert measured(stream([1.0])).median_gap is None
    assert measured(stream([])).median_gap is None


def test_the_figures_of_a_stream():
    """
    All figures count from the request, in seconds; the gaps are those between events, a gap of zero among them.
    """
    m = measured(stream([0.5, 1.5, 1.5, 4.0], head_at=0.2, ended="timeout", end=9.0))

    assert (m.total, m.connection, m.first_event, m.last_event, m.ended, m.span, m.longest_gap, m.silence) == (
        4, 0.2, 0.5, 4.0, 9.0, 3.5, 2.5, 5.0,
    )  # fmt: skip


def test_a_stream_without_events_has_no_first_one():
    """
    What did not happen has no time.
    """
    m = measured(stream(head=None, ended="error", reason="tcp", end=3.0))

    assert (m.total, m.connection, m.first_event, m.last_event, m.longest_gap, m.silence) == (0, None, None, None, None, 3.0)


@pytest.mark.parametrize(
    ("observed", "silence"),
    [
        pytest.param(stream([1.0, 2.0], end=10.0), 8.0, id="since the last event"),
        pytest.param(stream([1.0, 2.0], comments=[5.0, 7.0], end=10.0), 3.0, id="a comment is a sign of life"),
        pytest.param(stream([], head_at=4.0, end=10.0), 6.0, id="else since the head"),
        pytest.param(stream([], head=None, end=10.0), 10.0, id="else since the request"),
    ],
)
def test_silence_runs_from_the_last_sign_of_life_to_the_end(observed: Any, silence: float):
    """
    Event, comment or head: what came last begins the silence that the end closes.
    """
    assert measured(observed).silence == silence


@pytest.mark.parametrize(
    ("deadline_from", "at", "stamps", "expected"),
    [
        ("request", [1.0, 2.0, 30.0], None, [1.0, 2.0, 30.0]),
        ("previous", [1.0, 2.0, 30.0], None, [1.0, 1.0, 28.0]),
        ("sent", [2.1, 2.1, 2.1], STAMPS, [2.0, 1.0, 0.0]),
        ("sent", [2.1, 2.1, 2.1, 9.0], STAMPS, [2.0, 1.0, 0.0, 0.0]),
        ("sent", [1.0, 2.0, 30.0], None, [1.0, 2.0, 30.0]),
        ("previous", [], None, []),
    ],
)
def test_lateness_counts_from_what_the_scenario_names(deadline_from: Any, at: list[float], stamps: Stamps | None, expected: list[float]):
    """
    From the request, from the event before (the first from the request), or from the server's own stamp where there is one.
    """
    assert list(lateness(at, stamps, Criteria(deadline_from=deadline_from))) == expected


@pytest.mark.parametrize(
    ("deadline_from", "on_time"),
    [("request", 25), ("previous", 60), ("sent", 60)],
)
def test_a_healthy_minute_is_late_only_by_its_age(deadline_from: Any, on_time: int):
    """
    Of an event a second for a minute, 25 come within 25 s of the request, and all within 25 s of the one before and of their sending.
    """
    m = measured(stream(every(1.0, 60), sent=every(1.0, 60, first=0.09)), scenario(deadline_from=deadline_from))

    assert (m.on_time, m.expected) == (on_time, 60)


@pytest.mark.parametrize("deadline_from", ["request", "previous", "sent"])
def test_a_missing_event_counts_as_late(deadline_from: Any):
    """
    Twenty were due and twelve came: the rate is 60 %, however the deadline counts.
    """
    m = measured(stream(every(0.5, 12), sent=every(0.5, 12)), scenario(probe(expect={"events": 20}), deadline_from=deadline_from))

    assert (m.on_time, m.expected, m.success_rate) == (12, 20, 60.0)


def test_more_events_than_expected_are_no_more_than_all():
    """
    Thirty events where twenty were expected are 100 %, not 150 %.
    """
    assert measured(stream(every(0.1, 30)), scenario(probe(expect={"events": 20}))).success_rate == 100.0


def test_an_event_at_the_deadline_is_on_time():
    """
    Within 25 s means 25 s and no more.
    """
    assert measured(stream([1.0, 25.0, 25.001])).on_time == 2


@pytest.mark.parametrize(
    ("plan", "observed", "expected"),
    [
        pytest.param({}, stream(every(1, 5)), 5, id="what came"),
        pytest.param({"expect": {"events": 20}}, stream(every(1, 5)), 20, id="what the scenario expects"),
        pytest.param({"expect": {"events": 20}}, stream(every(0.1, 30)), 20, id="no more than it expects"),
        pytest.param(
            {"expect": {"events": 20}, "until": {"duration": 5.0}},
            stream(every(1, 5), planned_end="duration"),
            20,
            id="expected in that time",
        ),
        pytest.param({"until": {"events": 20}}, stream(every(1, 5)), 20, id="as many as end it"),
        pytest.param(
            {"until": {"events": 20, "duration": 5.0}}, stream(every(1, 5), planned_end="duration"), 5, id="unless the time ended it"
        ),
        pytest.param(
            {"until": {"events": 9}, "expect": {"events": 20}}, stream(every(1, 9), planned_end="events"), 20, id="the hint goes first"
        ),
        pytest.param({"until": {"event": "complete"}}, stream(every(1, 5), planned_end="event"), 5, id="with its terminal event"),
        pytest.param({"until": {"event": "complete"}}, stream(every(1, 5)), 6, id="without its terminal event"),
        pytest.param({"until": {"data": "[DONE]"}}, stream(every(1, 5), ended="timeout"), 6, id="without its terminal data"),
        pytest.param(
            {"until": {"event": "complete", "duration": 5.0}}, stream(every(1, 5), planned_end="duration"), 5, id="the time came first"
        ),
        pytest.param({}, stream(every(1, 5), ended="truncated"), 6, id="truncated"),
        pytest.param({}, stream(every(1, 5), ended="reset"), 6, id="reset"),
        pytest.param({}, stream([], head=None, ended="error", reason="dns"), 1, id="never opened"),
        pytest.param({}, stream([]), 1, id="ended without any event"),
        pytest.param({"until": {"duration": 5.0}}, stream([], planned_end="duration", ended="until"), 0, id="silent as long as planned"),
        pytest.param({}, stream([], comments=every(1, 5), ended="timeout"), 0, id="open and silent"),
    ],
)
def test_how_many_events_are_expected(plan: dict[str, Any], observed: Any, expected: int):
    """
    What the scenario says, else what came, and one more where the stream owes one.
    """
    assert expected_events(observed, probe(**plan)) == expected


@given(st.lists(st.floats(0, 100), max_size=20).map(sorted), st.sampled_from(["request", "previous", "sent"]), st.integers(1, 30))
def test_on_time_events_are_never_more_than_the_expected_ones(arrivals: list[float], deadline_from: Any, due: int):
    """
    Whatever arrives, the rate stays between 0 and 100 %.
    """
    m = measured(stream(arrivals, sent=arrivals), scenario(probe(expect={"events": due}), deadline_from=deadline_from))

    assert 0 <= m.on_time <= m.expected
    assert 0.0 <= m.success_rate <= 100.0


def test_the_figures_of_tokens_are_of_the_events_that_bring_any():
    """
    Of events at 0.2, 0.9, 1.0, 1.1 and 3.1, the first of them without text: the first token at 0.9, the gaps 0.1, 0.1, 2.0.
    """
    m = measured(stream([0.2, 0.9, 1.0, 1.1, 3.1], tokens=[0, 3, 4, 4, 1]))

    assert m.token_times == (0.9, 1.0, 1.1, 3.1)
    assert m.token_gap_median == pytest.approx(0.1)
    assert m.token_gap_p99 == pytest.approx(2.0)


def test_without_a_preset_there_are_no_tokens():
    """
    Nobody says what a token is, or there is one only: no figure.
    """
    assert measured(stream([0.2, 0.9])).token_times == ()
    assert measured(stream([0.2, 0.9])).token_gap_median is None
    assert measured(stream([0.2, 0.9], tokens=[0, 5])).token_gap_p99 is None


@pytest.mark.parametrize(
    ("values", "p", "expected"),
    [([], 50, None), ([3.0], 99, 3.0), ([4, 2, 1, 3], 50, 2), ([4, 2, 1, 3], 99, 4), (range(1, 101), 99, 99), (range(1, 101), 50, 50)],
)
def test_a_percentile_is_the_nearest_rank(values: Any, p: int, expected: float | None):
    """
    The 99th of 1 to 100 is 99, of four values the largest; of none there is none.
    """
    assert percentile(values, p) == expected
