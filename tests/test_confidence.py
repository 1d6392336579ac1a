"""How sure a success rate is: the interval, what a limit comes to with it, and how many more events would tell."""

from xml.etree import ElementTree

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sse_check.confidence import more_events, rate_met, wilson
from sse_check.report import build_report, junit_xml
from sse_check.scenario import ScenarioError, load
from tests.support.streams import every, judged, probe, recording, scenario, stream

COUNTS = st.integers(1, 3000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


def rated(on_time: int, of: int, limit: float = 90.0, confidence: float | None = 95.0):
    """What a healthy stream comes to of which so many of the events that were due came."""
    plan = scenario(probe(expect={"events": of}), success_rate=limit, confidence=confidence)
    return judged(stream(every(0.001, on_time), ended="until", planned_end="event"), of=plan)


@pytest.mark.parametrize(
    ("successes", "of", "low", "high"),
    # R. G. Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17, 1998, table I, method 3.
    [(81, 263, 25.53, 36.62), (15, 148, 6.24, 16.05), (0, 20, 0.0, 16.11), (1, 29, 0.61, 17.18), (29, 29, 88.30, 100.0)],
)
def test_the_interval_is_the_published_one(successes: int, of: int, low: float, high: float):
    """
    At 95 % the ends are those of the literature; none and all have an end that is exact.
    """
    assert wilson(successes, of, 95.0) == pytest.approx((low, high), abs=0.005)


def test_a_limit_that_is_hardly_any_and_a_confidence_that_is_all_have_their_answers():
    """
    A recording may hold any of both: no figure becomes infinite, and nothing is divided by nothing.
    """
    assert more_events(0, 20, 1e-300, 95.0) is None
    assert wilson(19, 20, 100.0) == wilson(19, 20, 99.9999)


@given(COUNTS, st.sampled_from([50.0, 80.0, 95.0, 99.9]), st.floats(1, 99))
def test_a_limit_is_decided_where_the_counted_share_is_too_far_from_it_for_chance(counts: tuple[int, int], confidence: float, limit: float):
    """
    The interval holds the limits from which the share is less than z standard deviations away: the test that it inverts.
    """
    successes, of = counts
    low, high = wilson(successes, of, confidence)
    assert 0 <= low <= 100 * successes / of <= high <= 100
    deviations = {50.0: 0.674490, 80.0: 1.281552, 95.0: 1.959964, 99.9: 3.290527}[confidence]
    distance = abs(successes / of - limit / 100) / (limit / 100 * (1 - limit / 100) / of) ** 0.5
    assume(abs(distance - deviations) > 1e-4)

    assert rate_met(successes, of, limit, confidence) is (None if distance < deviations else 100 * successes > limit * of)


@given(
    st.integers(5, 95),
    st.integers(1, 3),
    st.sampled_from([80.0, 95.0, 99.0]),
    st.sampled_from([-4, -2, -1, 0, 1, 2, 4]),
    st.integers(2, 50),
)
def test_so_many_more_events_decide_at_the_same_rate_and_fewer_do_not(percent: int, hundreds: int, confidence: float, off: int, times: int):
    """
    The same share of `times` as many events is decided if and only if that is at least so many more; never where it is the limit.
    """
    successes, of, limit = percent * hundreds, 100 * hundreds, float(percent + off)
    assume(rate_met(successes, of, limit, confidence) is None)
    more = more_events(successes, of, limit, confidence)
    decided = rate_met(successes * times, of * times, limit, confidence) is not None
    if more is None:
        assert off == 0
        assert not decided
    else:
        assert decided is (of * times >= of + more)


def test_a_rate_near_its_limit_is_not_decided_and_the_report_says_what_would():
    """
    19 of 20 is 95 %, but 20 events do not show that it is 90 % in truth; 139 of them would.
    """
    outcome = rated(19, 20)
    rate = outcome.criteria[0]

    assert (outcome.verdict, outcome.recommendation) == ("inconclusive", "MEASURE AGAIN")
    assert (rate.passed, rate.observed, rate.more_events) == (None, 95.0, 119)
    assert (rate.low, rate.high) == pytest.approx((76.386869, 99.111925))
    assert rate.detail == (
        "19 of 20 events within 25s of the request. With 95 % confidence the rate is between 76.3 % and 99.1 %, so 90 % is not decided; "
        "about 119 more events at this rate would."
    )
    assert outcome.reasons == (f"`wallet`: {rate.detail}",)


@pytest.mark.parametrize(
    ("on_time", "of", "limit", "verdict", "says"),
    [
        pytest.param(133, 139, 90.0, "viable", "between 90.9 % and 98.0 %.", id="surely above"),
        pytest.param(20, 40, 90.0, "not-viable", "between 35.1 % and 64.8 %.", id="surely below"),
        pytest.param(
            18, 20, 90.0, "inconclusive", "so 90 % is not decided, nor would any number of events at this rate.", id="at the limit"
        ),
        pytest.param(
            20, 20, 99.95, "inconclusive", "between 83.88 % and 100.00 %, so 99.95 % is not decided; about 7,660 more", id="a fine limit"
        ),
        pytest.param(
            20, 20, 100.0, "inconclusive", "so 100 % is not decided, nor would any number of events at this rate.", id="all, of all"
        ),
        pytest.param(1999, 2000, 100.0, "not-viable", "between 99.7 % and 99.9 %.", id="one less than all"),
        pytest.param(1, 20, 0.0, "viable", "between 0.8 % and 23.6 %.", id="no limit"),
    ],
)
def test_the_verdict_is_no_surer_than_the_rate(on_time: int, of: int, limit: float, verdict: str, says: str):
    """
    With a confidence the whole interval decides, and not the rate in its middle.
    """
    outcome = rated(on_time, of, limit)

    assert outcome.verdict == verdict
    assert says in outcome.criteria[0].detail


def test_a_rate_that_is_not_sure_enough_leaves_no_fault_unseen():
    """
    In junit.xml the rate alone is skipped: the streams were watched to their ends, and showed no fault.
    """
    plan = scenario(probe(expect={"events": 20}), confidence=95.0)
    result = build_report(recording(stream(every(0.1, 19), ended="until", planned_end="event"), scenario=plan)).result
    cases = {case.get("name"): case.find("skipped") is not None for case in ElementTree.fromstring(junit_xml(result)).iter("testcase")}

    assert cases == {"verdict": True, "success_rate": True, "first_event": False, "no streaming fault": False}


def test_without_a_confidence_a_rate_is_taken_as_it_was_counted():
    """
    The default: 18 of 20 are 90 %, and no interval is told.
    """
    outcome = rated(18, 20, confidence=None)

    assert (outcome.verdict, outcome.criteria[0].low, outcome.criteria[0].detail) == (
        "viable",
        None,
        "18 of 20 events within 25s of the request.",
    )


def test_a_fault_is_no_matter_of_chance():
    """
    A stream that was cut is not viable, however little its events prove of the rate.
    """
    plan = scenario(probe(), confidence=95.0)

    assert judged(stream(every(0.1, 5), ended="reset"), of=plan).verdict == "not-viable"


@pytest.mark.parametrize(
    ("criteria", "wrong"),
    [
        ("{confidence: 100%}", "nothing is measured with 100 % confidence. Write for example 95%."),
        ("{confidence: 0}", "nothing is measured with 0 % confidence. Write for example 95%."),
        (
            "{success_rate: 100%, confidence: 95%}",
            "no number of events proves a success rate of 100 %. Make success_rate less, for example 99%, or leave confidence out.",
        ),
        ("{confidence: sure}", '"sure" is not a percentage. Write 90% or 90.'),
    ],
)
def test_a_confidence_that_nothing_can_have_is_a_mistake_of_the_scenario(criteria: str, wrong: str):
    """
    It is said before anything is sent, with its place.
    """
    text = f"version: 1\ncriteria: {criteria}\nprobes: [{{name: a, url: 'https://app.example.test/'}}]\n"
    with pytest.raises(ScenarioError) as raised:
        load(text.encode(), file="test.yml")
    assert [(m.line, m.path, f"{m.wrong} {m.right}") for m in raised.value.mistakes] == [(2, "criteria.confidence", wrong)]


@pytest.mark.parametrize("confidence", [0.0, 100.0])
def test_a_confidence_that_there_is_not_has_an_interval_too(confidence: float) -> None:
    """
    A recording may name one; its verdict is as good as its scenario, and no defect.
    """
    low, high = wilson(18, 20, confidence)
    assert 0.0 <= low <= 90.0 <= high <= 100.0
    assert rate_met(18, 20, 90.0, confidence) in (True, None)
    assert more_events(19, 20, 90.0, confidence)
