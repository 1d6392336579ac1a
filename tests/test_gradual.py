"""Streams that are made gradually and have no time stamps: when they were collected, and what only looks like it."""

from typing import Any

import msgspec
import pytest

from sse_check.diagnosis import Finding, follow_ups
from sse_check.recording import StreamRecording
from sse_check.scenario import Compare
from tests.support.streams import answer, every, judged, measured, probe, scenario, stream

GRADUAL: dict[str, Any] = {"expect": {"gradual": True}, "until": {"data": "[DONE]"}}
TOKENS_60 = every(0.04, 60, first=0.3)  # a model at its usual pace
ENCODED = answer(Content_Encoding="gzip")


def done(arrivals: list[float], **rest: Any) -> StreamRecording:
    """A stream that ended as planned, with its last event."""
    return stream(arrivals, ended="until", end=arrivals[-1], planned_end="data", **rest)


def in_blocks(*blocks: tuple[float, int, int], last: tuple[float, int, int]) -> StreamRecording:
    """Deliveries as (time, events, bytes), each in one read that ends inside of an event, but for the last."""
    deliveries = (*blocks, last)
    whole = done([at for at, events, _ in deliveries for _ in range(events)])
    reads = msgspec.structs.replace(whole.reads, body_bytes=[size for *_, size in deliveries], mid_event=[*(True for _ in blocks), False])
    return msgspec.structs.replace(whole, reads=reads)


def findings(*streams: StreamRecording, **plan: Any) -> list[Finding]:
    return list(judged(*streams, of=scenario(probe(**{**GRADUAL, **plan}))).findings)


def codes(*streams: StreamRecording, **plan: Any) -> list[str]:
    return [finding.code for finding in findings(*streams, **plan)]


def again(observed: StreamRecording, factor: str) -> StreamRecording:
    return msgspec.structs.replace(observed, factor=factor, phase="follow-up")


# --- all at once ------------------------------------------------------------------------------------------------------


def test_gradual_events_that_all_come_at_once_and_late_were_collected():
    """
    Sixty tokens in one moment, two seconds after the request, and the end with them: buffered, likely.
    """
    (finding,) = findings(done([1.9] * 60))
    assert (finding.code, finding.confidence) == ("buffered-full", "likely")
    assert finding.evidence["events"] == 60
    assert "the application itself" in finding.message


def test_without_the_hint_nothing_is_claimed():
    """
    A slow application and a buffer look alike where nobody says that the events are made one after the other.
    """
    assert codes(done([1.9] * 60), expect={}) == []


@pytest.mark.parametrize(
    "observed",
    [
        pytest.param(done(TOKENS_60), id="at a model's pace"),
        pytest.param(done([0.05] * 60), id="a mock that does not wait"),
        pytest.param(done([0.4] * 60), id="a mock with a short wait"),
        pytest.param(done([1.9] * 7), id="a short answer"),
        pytest.param(done(every(0.0005, 60, first=1.5)), id="a very fast model, each token in a read of its own"),
        pytest.param(done(every(0.005, 60, first=1.5)), id="a fast model after a while of thinking"),
        pytest.param(done([*([1.0] * 10), *every(0.04, 40, first=1.04)]), id="ten tokens at once, and then one by one"),
    ],
)
def test_what_only_looks_collected_is_no_fault(observed: StreamRecording):
    """
    Early, few, or each read by itself: no finding.
    """
    assert codes(observed) == []


def test_a_stream_that_goes_on_after_the_bunch_is_not_held_back_whole():
    """
    Where the end is not right behind, the response was not held until its end.
    """
    assert "buffered-full" not in codes(stream([1.0] * 20, ended="until", end=4.0, planned_end="data"))


def test_only_what_is_made_gradually_counts():
    """
    The events around the tokens may come early (`message_start`): it is the tokens that came at once.
    """
    observed = done([0.1, 0.1, *[2.0] * 20, 2.0], tokens=[0, 0, *[4] * 20, 0])
    (finding,) = findings(observed)
    assert (finding.code, finding.evidence["events"], finding.evidence["first_event"]) == ("buffered-full", 20, 2.0)


def test_where_the_sending_is_known_that_decides():
    """
    Time stamps that say that all was sent at once go before the hint.
    """
    at = [1.9] * 20
    assert "buffered-full" not in codes(done(at, sent=[1.8 + number / 1000 for number in range(20)]))


# --- in blocks --------------------------------------------------------------------------------------------------------


def test_blocks_that_end_inside_of_an_event_are_a_buffer_that_fills():
    """
    4 KB at a time, cut in mid-event: buffered in blocks, likely, with the size of the buffer.
    """
    (finding,) = findings(in_blocks((1.0, 18, 4096), (1.8, 19, 4096), (2.6, 19, 4096), last=(2.9, 6, 1200)))
    assert (finding.code, finding.confidence, finding.evidence["bytes_at_once"]) == ("buffered-block", "likely", 4096)
    assert finding.evidence["held_back_most"] == pytest.approx(0.8)


def test_the_first_block_is_smaller_by_the_head_of_the_response():
    """
    A buffer that holds the response's head as well has less room for the first events.
    """
    assert codes(in_blocks((1.0, 16, 3600), (1.8, 19, 4096), (2.6, 19, 4096), last=(2.9, 6, 1200))) == ["buffered-block"]


@pytest.mark.parametrize(
    "observed",
    [
        pytest.param(
            in_blocks((1.0, 18, 4096), (1.1, 19, 4096), (1.2, 19, 4096), last=(1.3, 6, 1200)), id="too soon after each other to matter"
        ),
        pytest.param(in_blocks((1.0, 1, 1448), (1.8, 1, 1448), (2.6, 1, 1448), last=(3.4, 9, 900)), id="events larger than a packet"),
        pytest.param(in_blocks((1.0, 18, 4096), (1.8, 4, 900), (2.6, 30, 7000), last=(2.9, 6, 1200)), id="of uneven sizes"),
        pytest.param(done([t for t in every(0.8, 5) for _ in range(8)]), id="bursts of whole events"),
    ],
)
def test_what_only_looks_like_blocks_is_no_fault(observed: StreamRecording):
    """
    Without the marks of a buffer that counts bytes: no finding.
    """
    assert codes(observed) == []


# --- follow-ups -------------------------------------------------------------------------------------------------------


def asked(observed: StreamRecording, **plan: Any) -> list[str]:
    m = measured(observed, scenario(probe(**{**GRADUAL, **plan})))
    return [question.factor for question in follow_ups([m])]


@pytest.mark.parametrize(
    "observed",
    [
        pytest.param(done([1.9] * 60), id="at once"),
        pytest.param(in_blocks((1.0, 18, 4096), (1.8, 19, 4096), last=(2.9, 6, 1200)), id="in blocks"),
        pytest.param(stream([], ended="timeout", end=5.0, head_at=None, head=None), id="nothing"),
    ],
)
def test_what_is_held_back_is_asked_for_without_compression_and_past_the_proxies(observed: StreamRecording):
    """
    The same follow-ups as for streams with time stamps, and no other.
    """
    assert asked(observed) == ["identity"]
    assert asked(observed, compare=Compare(direct="http://origin.test/events")) == ["identity", "direct"]


def test_a_healthy_stream_is_asked_for_nothing_more():
    """
    A follow-up costs tokens.
    """
    assert asked(done(TOKENS_60), compare=Compare(direct="http://origin.test/events")) == []


def test_compression_is_told_apart():
    """
    Collected with compression, at the model's pace without: compressed-buffered, and nothing beside it.
    """
    held = done([2.7] * 60, head=ENCODED)
    (finding,) = findings(held, again(done(TOKENS_60), "identity"))
    assert (finding.code, finding.confidence) == ("compressed-buffered", "certain")
    assert codes(held, again(done([2.7] * 60), "identity")) == ["buffered-full"]


def test_a_stream_that_never_ends_is_compressed_into_silence():
    """
    Of an endless stream a compressor lets nothing go at all; asked without it flows.
    """
    silent = stream([], ended="timeout", end=8.0, head=ENCODED, head_at=0.1)
    assert codes(silent, again(done(TOKENS_60), "identity")) == ["compressed-buffered"]


def test_silence_is_laid_to_the_way_only_where_the_stream_flows_past_it():
    """
    Nothing at all, but at once when it is asked directly: held back. Nothing there either: a stall like any other.
    """
    silent = stream([], ended="timeout", end=8.0, head=None, head_at=None)
    assert codes(silent, again(done(TOKENS_60), "direct")) == ["buffered-full"]
    assert codes(silent, again(silent, "direct")) == ["stalled"]
    assert codes(silent) == ["stalled"]


def test_the_way_past_the_proxies_says_who_collects():
    """
    Spread when asked directly, it is certain; just the same there, it is the application.
    """
    held = done([2.7] * 60)
    (spread,) = findings(held, again(done(TOKENS_60), "direct"))
    (same,) = findings(held, again(done([2.7] * 60), "direct"))
    assert (spread.code, spread.confidence) == ("buffered-full", "certain")
    assert (same.code, same.confidence) == ("buffered-full", "likely")
    assert "the application collects them" in same.message


def test_the_head_that_comes_with_what_was_collected_is_not_reported_beside_it():
    """
    A late head and late events have one cause here.
    """
    assert codes(done([2.7] * 60, head_at=2.69)) == ["buffered-full"]
