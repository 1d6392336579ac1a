"""The error of a measurement: stated for every event, and never taken for the deployment's fault."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_check.precision import event_errors, measurement_error
from sse_check.recording import Calibration, StreamRecording
from sse_check.report import build_report, report_html, summary_markdown, terminal_text
from sse_check.scenario import Scenario
from tests.support.streams import codes, every, judged, measured, ns, probe, recording, scenario, stream

CALIBRATION = Calibration(samples=1000, error_p50=0.00001, error_p99=0.00005, error_max=0.0002, clock="kernel")
# Three events in the first read, one in the second.
TOGETHER = [1.0, 1.0, 1.0, 2.0]
# An event a second for 20 s, of which this process read none before the end: the kernel gave all of them one stamp.
SLEPT = stream([20.0] * 20, sent=every(1.0, 20), clock="kernel", errors=[19.9])


def cut(observed: StreamRecording, *mid_event: bool) -> StreamRecording:
    """The stream, with reads that ended inside of an event."""
    return msgspec.structs.replace(observed, reads=msgspec.structs.replace(observed.reads, mid_event=mid_event))


@pytest.mark.parametrize(
    ("observed", "calibration", "expected"),
    [
        pytest.param(stream(TOGETHER, clock="kernel", errors=[0.5, 0.1]), None, [0.5, 0.5, 0.0, 0.0], id="the kernel's stamp is the last byte's"),
        pytest.param(
            stream(TOGETHER, clock="kernel", errors=[0.5, 0.1], exact=[False, True]), None, [0.5, 0.5, 0.5, 0.0], id="of something else"
        ),
        pytest.param(stream(TOGETHER, errors=[0.5, 0.1]), None, [0.5, 0.5, 0.5, 0.1], id="ours is later than all bytes"),
        pytest.param(
            stream(TOGETHER, clock="mixed", errors=[0.5, 0.1], exact=[True, False]), None, [0.5, 0.5, 0.0, 0.1], id="one of each"
        ),
        pytest.param(
            stream(TOGETHER, clock="kernel", errors=[0.5, 0.0]), CALIBRATION, [0.5, 0.5, 0.00005, 0.00005], id="no better than calibrated"
        ),
        pytest.param(stream(TOGETHER, clock="kernel"), CALIBRATION, [], id="not known"),
    ],
)  # fmt: skip
def test_the_error_of_each_event(observed: StreamRecording, calibration: Calibration | None, expected: list[float]):
    """
    A stamp of the kernel's is exact for the event that its last byte ended, and for no other; what was not written down is not known.
    """
    assert list(event_errors(observed, calibration)) == list(map(ns, expected))


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=30), st.integers(1, 4))
def test_the_error_of_a_run_is_over_all_its_events(errors: list[int], parts: int):
    """
    However the events fall on streams, the percentiles are those of all events together, rounded up to three digits.
    """
    streams = []
    for part in range(parts):
        mine = errors[part::parts]
        streams.append(stream(every(1.0, len(mine)), errors=[error / 1e9 for error in mine]))
    found = measurement_error(streams)

    assert found is not None
    ordered = sorted(errors)
    for stated, actual in ((found.p50, ordered[(len(ordered) + 1) // 2 - 1]), (found.max, ordered[-1])):
        assert actual / 1e9 <= stated + 1e-12 <= actual / 1e9 * 1.011 + 2e-9  # rounded up to three digits


def test_the_error_of_a_run_is_not_known_where_that_of_a_part_is_not():
    """
    An error that holds for some of the events only is none of the run.
    """
    assert measurement_error([stream([1.0], errors=[0.1]), stream([1.0])]) is None
    assert measurement_error([stream([])]) is None


def test_what_was_read_late_was_not_held_back():
    """
    Twenty events in one read are a buffer's work, unless this process may have slept over all of them.
    """
    assert codes(msgspec.structs.replace(SLEPT, reads=msgspec.structs.replace(SLEPT.reads, error_ns=()))) == ["buffered-full"]
    assert "buffered-full" not in codes(SLEPT)


@pytest.mark.parametrize(
    ("read", "plan", "beside"),
    [
        pytest.param([5.0] * 40, {"expect": {"gradual": True}}, (), id="gradual events at once"),
        pytest.param([5.0] * 8, {}, (stream(every(0.6, 8), phase="follow-up", factor="direct"),), id="beside the view past the proxies"),
        pytest.param([1.0] * 10 + [3.0] * 10 + [5.0] * 10, {"expect": {"gradual": True}}, (), id="gradual events in blocks"),
    ],
)
def test_what_was_read_late_did_not_come_together(read: list[float], plan: dict[str, Any], beside: tuple[StreamRecording, ...]):
    """
    The same where stamps of the server are missing: what may have arrived one by one is no bunch.
    """
    count = len(set(read))

    def found(error: float) -> set[str]:
        observed = cut(stream(read, errors=[error] * count), *[True] * (count - 1), False)
        return {"buffered-full", "buffered-block"} & set(codes(observed, *beside, of=scenario(probe(**plan), first_event=30.0)))

    assert len(found(0.0001)) == 1
    assert not found(4.9)


def test_held_back_is_what_is_beyond_the_error():
    """
    Events that a timer lets go every 2 s are held back by as much, however late they were read: the error is taken off, and no more.
    """
    at = [2.0 * (1 + number // 20) for number in range(200)]
    timed = [stream(at, sent=every(0.1, 200, first=0.0), clock="kernel", errors=[error] * 10) for error in (0.0, 0.3, 1.9)]

    held = [[f.evidence["held_back_most"] for f in judged(s).findings if f.code == "buffered-time"] for s in timed]
    assert held == [[pytest.approx(1.9, abs=0.01)], [pytest.approx(1.6, abs=0.01)], []]


@pytest.mark.parametrize(
    ("observed", "of", "verdict"),
    [
        pytest.param(
            stream(every(1.0, 9, first=2.05), errors=[0.1] * 9), scenario(), "inconclusive", id="the first event, perhaps in time"
        ),
        pytest.param(stream(every(1.0, 9, first=2.05), errors=[0.01] * 9), scenario(), "not-viable", id="the first event, surely late"),
        pytest.param(stream(every(1.0, 9, first=1.95), errors=[0.1] * 9), scenario(), "viable", id="the first event, surely in time"),
        pytest.param(
            stream([0.1, 5.1, 5.1], errors=[0.0, 0.2]), scenario(event_deadline=5.0), "inconclusive", id="others, perhaps in time"
        ),
        pytest.param(stream([0.1, 5.1, 5.1], errors=[0.0, 0.05]), scenario(event_deadline=5.0), "not-viable", id="others, surely late"),
    ],
)
def test_what_lies_within_the_error_of_a_limit_is_not_known(observed: StreamRecording, of: Scenario, verdict: str):
    """
    A time that meets its limit or misses it by less than its own error proves neither.
    """
    assert judged(observed, of=of).verdict == verdict


GOOD = stream(every(0.5, 20), sent=every(0.5, 20, first=0.09), clock="kernel", errors=[0.0001] * 20)
STARVED: dict[str, Any] = {"loop_lag_p99": 0.3, "loop_lag_max": 0.8}


def test_a_lagging_loop_does_not_blind_who_has_the_kernels_stamps():
    """
    The error that is stated goes before the loop's lag, which was only a guess at it: small, and the stream is judged; large, and it is not.
    """
    by_kernel, guessed = judged(GOOD, **STARVED), judged(stream(every(0.5, 20)), **STARVED)
    late = judged(stream(every(0.5, 20), errors=[0.3] * 20))

    assert (by_kernel.verdict, [f.code for f in by_kernel.findings]) == ("viable", [])
    assert (guessed.verdict, [f.code for f in guessed.findings]) == ("inconclusive", ["runner-noise"])
    assert (late.verdict, [f.code for f in late.findings]) == ("inconclusive", ["runner-noise"])
    assert late.findings[0].evidence["error_p99"] == pytest.approx(0.3)


def test_what_came_together_later_leaves_the_first_event_exact():
    """
    A tight limit on the first event is judged by how exactly first events are timed, whatever came together in one read after them.
    """
    at = [time for time in every(0.5, 20, first=0.05) for _ in range(2)][1:]
    pairs = stream(at, clock="kernel", errors=[0.0001, *[0.02] * 19])
    late = stream(at, clock="kernel", errors=[0.02] * 20, exact=[False] * 20)

    assert judged(pairs, of=scenario(first_event=0.1)).verdict == "viable"
    assert judged(late, of=scenario(first_event=0.1)).verdict == "inconclusive"


@pytest.mark.parametrize(
    "observed",
    [
        pytest.param(stream(every(0.5, 20, first=2.3), clock="kernel", errors=[0.0001] * 20), id="late"),
        pytest.param(
            stream([4.0] * 8 + every(0.5, 8, first=4.5), sent=every(0.25, 16, first=2.0), clock="kernel", errors=[0.0001] * 9), id="bunched"
        ),
    ],
)
def test_a_starved_machine_never_makes_a_deployment_look_bad(observed: StreamRecording):
    """
    Who stood still may have sent his request late, or starved the server beside him: exact stamps do not show that.
    """
    assert judged(observed).verdict == "not-viable"
    assert judged(observed, **STARVED).verdict == "inconclusive"


def test_every_report_states_the_error_beside_the_times():
    """
    The first event is shown with its error and no more exactly than that, in every report; the whole run's stands beside the times.
    """
    # A read in which something follows its last event leaves that one's own arrival open.
    observed = stream(every(0.5, 20, first=0.3127), clock="kernel", errors=[0.0123] * 20, exact=[False] * 20)
    report = build_report(recording(observed, loop_lag_max=0.0))
    texts = (terminal_text(report.result), summary_markdown(report), report_html(report).decode())

    assert report.result.environment.measurement_error is not None
    assert all("310ms ± 12.3ms" in text for text in texts)
    assert all("Times of 99 of 100 events are right to 12.3ms" in text for text in texts)


def test_who_stamped_is_told_by_the_streams_that_had_something_to_stamp():
    """
    A stream that was refused has no read, so nobody stamped it.
    """
    timed = stream(every(0.5, 20), clock="kernel", errors=[0.0001] * 20)
    refused = stream([], head=None, ended="error", reason="tcp", number=2)
    assert build_report(recording(timed, refused)).result.environment.clock == "kernel"


def test_without_an_error_the_loops_lag_is_stated():
    """
    Recordings of older versions have no error: the reports say how late the machine was.
    """
    report = build_report(recording(stream(every(0.5, 20, first=0.3127))))

    assert report.result.environment.measurement_error is None
    assert "The measuring machine itself was late by up to 0.4ms" in terminal_text(report.result)
    assert "first after 313ms," in terminal_text(report.result)


def test_the_errors_of_a_stream_are_among_its_figures():
    """
    What 99 of 100 events may be wrong by, and the first event; both unknown where nothing was written down.
    """
    errors: Sequence[float] = [0.02, *[0.001] * 19]

    assert (
        measured(stream(every(1.0, 20), errors=errors)).first_event_error,
        measured(stream(every(1.0, 20), errors=errors)).error_p99,
    ) == (
        0.02,
        0.02,
    )
    assert measured(stream(every(1.0, 20))).error_p99 is None
