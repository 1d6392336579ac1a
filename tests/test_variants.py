"""What HTTP/2 changes for a stream, and what the same stream over another protocol or version of IP says of its faults."""

from typing import Any

import pytest

from sse_check.diagnosis import Finding
from sse_check.recording import StreamRecording
from sse_check.scenario import Scenario
from sse_check.scenario.derive import expanded
from tests.support.streams import every, judged, probe, scenario, stream

SECONDS = every(1.0, 6)
H1, H2 = "wallet over HTTP/1.1", "wallet over HTTP/2"


def both(**rest: Any) -> Scenario:
    """A scenario whose one probe is asked over both protocols."""
    return expanded(scenario(probe(protocol="both", **rest)))


def first(*streams: StreamRecording, of: Scenario) -> Finding:
    """The first finding on these streams."""
    return judged(*streams, of=of).findings[0]


def held(name: str, **rest: Any) -> StreamRecording:
    """A stream that was held back whole."""
    return stream([6.0] * 6, sent=SECONDS, probe=name, **rest)


def healthy(name: str, **rest: Any) -> StreamRecording:
    """A stream that was passed on as it was sent."""
    return stream(SECONDS, sent=SECONDS, probe=name, **rest)


# --- the limit of streams on one connection ---------------------------------------------------------------------------


def together(*heads: float | None, places: int | None, **rest: Any) -> tuple[StreamRecording, ...]:
    """Streams that were opened together over HTTP/2, by when their heads came; None: never."""
    return tuple(
        stream(head=None, ended="timeout", end=9.0, number=number, phase="concurrency", max_streams=places)
        if at is None
        else stream([at, at + 1.0], head_at=at, number=number, phase="concurrency", max_streams=places, **rest)
        for number, at in enumerate(heads, 1)
    )


def test_the_limit_of_streams_on_one_connection_is_named():
    """
    Streams that waited because the server allows fewer than were opened: certain, with the limit, without asking one alone.
    """
    finding = first(*together(0.1, 0.1, 3.0, 3.0, places=2), of=scenario(probe(protocol="h2", streams=4)))
    assert (finding.code, finding.confidence, finding.streams) == ("concurrency-limited", "certain", (3, 4))
    assert finding.evidence["max_concurrent_streams"] == 2
    assert "allows only 2 streams on one HTTP/2 connection" in finding.message


def test_a_stream_that_never_got_its_place_is_limited_as_well():
    """
    A stream that waited until it was given up waited for a place, where the server's limit is below the number of streams.
    """
    finding = first(*together(0.1, None, places=1), of=scenario(probe(protocol="h2", streams=2, timeout=9.0)))
    assert (finding.code, finding.streams, finding.evidence["max_concurrent_streams"]) == ("concurrency-limited", (2,), 1)
    assert "allows only 1 stream on" in finding.message


@pytest.mark.parametrize("places", [None, 4, 100])
def test_a_limit_that_was_not_reached_is_not_blamed(places):
    """
    Without a limit, or with one that leaves room for all, the wait has another cause, and is only likely.
    """
    finding = first(*together(0.1, 0.1, 3.0, 3.0, places=places), of=scenario(probe(protocol="h2", streams=4)))
    assert (finding.code, finding.confidence) == ("concurrency-limited", "likely")
    assert "max_concurrent_streams" not in finding.evidence
    assert "HTTP/2" not in finding.message


def test_a_stream_that_was_refused_did_not_wait():
    """
    A stream that the server resets with REFUSED_STREAM was sent: its own limit on streams is kept by waiting.
    """
    opened = together(0.1, 0.1, places=2)
    refusal = stream(head=None, ended="reset", reason="no-response", error="REFUSED_STREAM", number=3, phase="concurrency", max_streams=2)
    finding = first(*opened, refusal, of=scenario(probe(protocol="h2", streams=3)))
    assert (finding.code, finding.streams) == ("concurrency-limited", (3,))
    assert "max_concurrent_streams" not in finding.evidence
    assert "REFUSED_STREAM" in finding.message


def test_an_answer_that_is_no_http_2_is_called_so():
    """
    Where HTTP/2 was asked for, what is missing is HTTP/2, not HTTP.
    """
    said = "the server does not speak HTTP/2 (ALPN chose http/1.1)"
    refused = stream(head=None, ended="error", reason="protocol", error=said)
    assert "not HTTP/2:" in first(refused, of=scenario(probe(protocol="h2"))).message
    assert "not HTTP:" in first(refused, of=scenario()).message


# --- what the other variant shows -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("faulty", "fine", "how"), [(H2, H1, "Over HTTP/1.1"), (H1, H2, "Over HTTP/2")])
def test_a_fault_that_the_other_protocol_does_not_show_is_said_to_be_its_own(faulty, fine, how):
    """
    The finding names the protocol over which the same stream is without a fault, and only the faulty probe has a finding.
    """
    outcome = judged(held(faulty), healthy(fine), of=both())
    assert [(f.code, f.probe) for f in outcome.findings] == [("buffered-full", faulty)]
    assert outcome.findings[0].message.endswith(f"{how} the same stream shows no such fault.")


def test_a_fault_that_both_show_is_nobodys_own():
    """
    Where both protocols show the same, nothing is said of either.
    """
    outcome = judged(held(H1), held(H2), of=both())
    assert [f.code for f in outcome.findings] == ["buffered-full"] * 2
    assert not any("same stream shows" in f.message for f in outcome.findings)


def test_another_fault_of_the_other_protocol_is_named():
    """
    Where the protocols show different faults each finding names the other's.
    """
    missing = stream(head=None, ended="error", reason="no-response", error="closed", probe=H2)
    messages = {f.code: f.message for f in judged(held(H1), missing, of=both()).findings}
    assert "Over HTTP/2 the same stream shows another fault (refused)." in messages["buffered-full"]
    assert "Over HTTP/1.1 the same stream shows another fault (buffered-full)." in messages["refused"]


def test_a_variant_that_was_not_watched_to_its_end_proves_nothing():
    """
    A stream that was stopped, and one that was never opened, are no evidence that the fault is not there.
    """
    stopped = stream(SECONDS[:2], sent=SECONDS[:2], ended="timeout", reason="budget", probe=H2)
    for beside in ((stopped,), ()):
        assert not any("same stream" in f.message for f in judged(held(H1), *beside, of=both()).findings)


def test_versions_of_ip_are_compared_as_well_and_one_difference_at_a_time():
    """
    Of a probe that is asked in four ways, those that differ in one thing are compared: the fault of IPv6 is not HTTP/2's.
    """
    plan = expanded(scenario(probe(protocol="both", ip="both")))
    names = [p.name for p in plan.probes]
    streams = [stream(head=None, ended="error", reason="tcp", error="no route", probe=n) if "IPv6" in n else healthy(n) for n in names]
    findings = judged(*streams, of=plan).findings
    assert len(findings) == 2
    for finding in findings:
        assert "Over IPv4 the same stream shows no such fault." in finding.message
        assert "HTTP/1.1" not in finding.message
        assert "HTTP/2" not in finding.message


def late(by: float, name: str) -> list[StreamRecording]:
    """Three streams together of which each second event is late by so much."""
    arrivals = [at + (by if number % 2 else 0.0) for number, at in enumerate(SECONDS)]
    return [stream(arrivals, sent=SECONDS, probe=name, number=number, phase="concurrency", ended="truncated") for number in (1, 2, 3)]


def test_streams_that_wait_for_each_other_on_one_connection_are_said_to():
    """
    Delays that are clearly larger on one connection than on several are told beside the fault that was found.
    """
    of = both(streams=3, expect={"events": 20})
    message = next(f.message for f in judged(*late(0.1, H1), *late(0.9, H2), of=of).findings if f.probe == H2)
    assert "Together on one HTTP/2 connection events were up to 900ms late, on connections of their own 100ms" in message
    for apart, shared in ((0.5, 0.9), (0.9, 0.9), (0.9, 0.1), (0.05, 0.4)):
        findings = judged(*late(apart, H1), *late(shared, H2), of=of).findings
        assert not any("wait for each other" in f.message for f in findings)
